//! `verify` of a folder of parts: whether it is the one that was made of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::folder::manifest::{MANIFEST_NAME, Manifest, OutputEntry};
use super::folder::plan::{PARTS_KEY, PLAN_KEY, PLAN_NAME, Plan, is_part, part_name};

/// The name of the part that a file lies in, and its path there.
pub(super) fn part_of(output: &OutputEntry) -> Option<(&str, &str)> {
    output.path.split_once('/').filter(|(name, _)| is_part(name).is_some())
}

/// The plan, and what each part says of itself, must be what the folder was made of.
pub(super) fn check_parts(folder: &Path, manifest: &Manifest, report: &impl Fn(&str, String)) {
    let planned = manifest.details.get(PLAN_KEY).and_then(Value::as_str);
    match Plan::read(folder).and_then(|plan| plan.map(|plan| plan.hash()).transpose()) {
        Ok(hash) if hash.as_deref() == planned => {}
        Ok(_) => report(PLAN_NAME, "the plan is another one than the parts were made by".into()),
        Err(error) => report(PLAN_NAME, error.to_string()),
    }
    let parts = manifest.details.get(PARTS_KEY).and_then(Value::as_u64).unwrap_or_default();
    let mut listed: BTreeMap<&str, Vec<OutputEntry>> = BTreeMap::new();
    for output in &manifest.outputs {
        if let Some((name, path)) = part_of(output) {
            listed.entry(name).or_default().push(OutputEntry { path: path.to_owned(), ..output.clone() });
        }
    }
    for number in 0..parts {
        let name = part_name(number, parts);
        let place = format!("{name}/{MANIFEST_NAME}");
        let outputs = listed.remove(&*name).unwrap_or_default();
        match Manifest::read(&folder.join(&name)) {
            Ok(Some(part)) => {
                let is_planned = part.details.get(PLAN_KEY).and_then(Value::as_str) == planned;
                if !is_planned || part.outputs != outputs {
                    report(&place, "the part is another one than the folder was made of".into());
                }
            }
            Ok(None) => report(&place, "missing".into()),
            Err(error) => report(&place, error.to_string()),
        }
    }
    for name in listed.keys() {
        report(name, format!("a part beyond those of {parts}"));
    }
}
