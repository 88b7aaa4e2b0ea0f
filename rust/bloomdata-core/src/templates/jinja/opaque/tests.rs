use super::*;
use crate::templates::jinja::JinjaTemplate;

#[test]
fn stock() {
    let Ok(folder) = std::env::var("JT") else { return };
    let mut n = [0; 3];
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let Ok(t) = JinjaTemplate::new(&source, vec![], None) else { println!("COMPILE {file:?}"); continue };
        for (at, (roles, tools)) in [(&["user", "assistant"][..], false), (&["system", "user", "assistant"][..], false), (&["system", "user", "assistant"][..], true)].into_iter().enumerate() {
            let given = Given { roles: roles.iter().map(|s| s.to_string()).collect(), tools, documents: false };
            match t.prove(&given) {
                Ok(c) => { n[at] += 1; println!("OK {at} {:?} {c:?}", file.file_name().unwrap()); }
                Err(e) => println!("NO {at} {:?}: {e}", file.file_name().unwrap()),
            }
        }
    }
    println!("{n:?}");
}
