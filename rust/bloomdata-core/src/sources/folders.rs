//! What a folder or a pattern holds: every file is either an input or named as not read.
//!
//! A folder that `shard` wrote says in its manifest what is in it: a shard that is gone, or is not as it was written,
//! is an error here and not a corpus that is shorter than it was.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::inputs::{InputList, SUPPORTED, describe, natural_order, unsupported};
use crate::error::{Error, Result};
use crate::io::atomic::TEMPORARY_SUFFIX;

/// Files that our commands leave beside their outputs.
const BOOKKEEPING: [&str; 4] = ["manifest.json", "journal.jsonl", "quarantine.jsonl", "fetched.json"];
/// How a journal of ours begins.
pub const JOURNAL_START: &[u8] = br#"{"kind":"start","verb":"#;

/// As much of a manifest as is needed here.
#[derive(Debug, Deserialize)]
struct Promises {
    #[serde(rename = "bloomdata_version")]
    _version: String,
    outputs: Vec<Promise>,
}

/// What a manifest says of one output.
#[derive(Debug, Deserialize)]
struct Promise {
    path: PathBuf,
    size: u64,
    hash: String,
    lines: Option<u64>,
}

impl Promises {
    /// What the manifest of `folder` says; `None` without a manifest of ours.
    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).ok()?).ok()
    }
}

pub(super) fn expand_pattern(pattern: &str, list: &mut InputList) -> Result<()> {
    let is_literal =
        |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
    let base: PathBuf = Path::new(pattern).components().take_while(is_literal).collect();
    let rest: PathBuf = Path::new(pattern).components().skip_while(is_literal).collect();
    let rest = rest.to_string_lossy();
    let matcher = globset::GlobBuilder::new(&rest)
        .literal_separator(true)
        .build()
        .map_err(|error| Error::config("inputs", format!("{pattern}: {error}")))?
        .compile_matcher();
    let depth = if rest.contains("**") { usize::MAX } else { rest.matches('/').count() };
    let (before, mut paths) = (list.inputs.len(), Vec::new());
    for path in matches(
        &base,
        Path::new(""),
        depth,
        &|path| matcher.is_match(path),
        rest.split('/').any(|part| part.starts_with('.')),
    )? {
        if path.is_dir() || is_bookkeeping(&path) {
            list.ignored.push(path);
        } else {
            paths.push(path);
        }
    }
    paths.sort_by(|a, b| natural_order(a, b));
    for path in paths {
        list.inputs.push(describe(&path)?.ok_or_else(|| unsupported(&path))?);
    }
    if list.inputs.len() == before {
        return Err(Error::config("inputs", format!("no file matches {pattern}")));
    }
    Ok(())
}

/// Everything below `base` that a pattern matches. As in a shell, a star does not stand for a leading dot.
fn matches(
    base: &Path,
    inner: &Path,
    depth: usize,
    is_match: &dyn Fn(&Path) -> bool,
    with_hidden: bool,
) -> Result<Vec<PathBuf>> {
    let folder = base.join(inner);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name();
        let inner = inner.join(&name);
        let path = base.join(&inner);
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if is_match(&inner) && (!is_hidden || with_hidden) {
            found.push(path);
        } else if depth > 0 && !is_hidden && path.is_dir() && !is_books(&path) {
            found.extend(matches(base, &inner, depth - 1, is_match, with_hidden)?);
        }
    }
    Ok(found)
}

pub(super) fn expand_folder(folder: &Path, output: Option<&Path>, list: &mut InputList) -> Result<()> {
    let mut paths = Vec::new();
    let output = output.and_then(|output| output.canonicalize().ok());
    walk(folder, output.as_deref(), &mut paths, &mut list.ignored)?;
    paths.sort_by(|a, b| natural_order(a, b));
    let before = list.inputs.len();
    for path in paths {
        match describe(&path)? {
            Some(input) => list.inputs.push(input),
            None => list.ignored.push(path),
        }
    }
    list.ignored.sort_by(|a, b| natural_order(a, b));
    if list.inputs.len() == before {
        let reason = format!("folder {} holds no file that can be read ({SUPPORTED})", folder.display());
        return Err(Error::config("inputs", reason));
    }
    Ok(())
}

fn is_bookkeeping(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.ends_with(TEMPORARY_SUFFIX) || BOOKKEEPING.contains(&&*name)
}

/// The folder `a.jsonl.books` beside a file `a.jsonl`, which is the same file once more.
fn is_books(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "books")
        && path.with_extension("").is_file()
        && path.is_dir()
}

/// Hidden, or a folder of parts that another tool has not finished (`_temporary`).
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.starts_with('.') || (name.starts_with('_') && path.is_dir())
}

fn walk(
    folder: &Path,
    output: Option<&Path>,
    paths: &mut Vec<PathBuf>,
    ignored: &mut Vec<PathBuf>,
) -> Result<()> {
    let promises = Promises::read(folder);
    check_folder(folder, promises.as_ref())?;
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if promises.is_some() && path.ends_with("manifest.json") {
            continue;
        }
        if is_hidden(&path) || is_bookkeeping(&path) || is_books(&path) {
            ignored.push(path);
        } else if path.is_dir() {
            if output.is_none() || path.canonicalize().ok().as_deref() != output {
                walk(&path, output, paths, ignored)?;
            }
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Refuses folders that are no whole corpus.
fn check_folder(folder: &Path, promises: Option<&Promises>) -> Result<()> {
    let Some(promises) = promises else {
        let mut start = Vec::new();
        if let Ok(file) = std::fs::File::open(folder.join("journal.jsonl"))
            && file.take(JOURNAL_START.len() as u64).read_to_end(&mut start).is_ok()
            && JOURNAL_START.starts_with(&start)
        {
            let reason = format!("{} is the output of a run that has not finished", folder.display());
            return Err(Error::config("inputs", reason));
        }
        return Ok(());
    };
    let splits: Vec<&str> =
        ["train", "dev", "test"].into_iter().filter(|name| folder.join(name).is_dir()).collect();
    if splits.len() > 1 {
        let reason = format!("{} holds the splits {}: name one of them", folder.display(), splits.join(", "));
        return Err(Error::config("inputs", reason));
    }
    for promise in promises.outputs.iter().filter(|output| output.lines.is_some()) {
        let path = folder.join(&promise.path);
        std::fs::metadata(&path).map_err(Error::io(&path))?;
    }
    Ok(())
}

/// Compares inputs that `shard` wrote with what its manifest says of them.
pub(super) fn note_promises(list: &mut InputList) -> Result<()> {
    let mut read: BTreeMap<PathBuf, BTreeMap<PathBuf, Promise>> = BTreeMap::new();
    for input in &mut list.inputs {
        // A shard lies in the folder of the manifest, or in that of its split.
        for folder in input.path.ancestors().skip(1).take(2) {
            let promises = read.entry(folder.to_owned()).or_insert_with(|| {
                let outputs = Promises::read(folder).map(|promises| promises.outputs).unwrap_or_default();
                outputs.into_iter().map(|promise| (promise.path.clone(), promise)).collect()
            });
            let Ok(name) = input.path.strip_prefix(folder) else { continue };
            if let Some(promise) = promises.get(name) {
                if promise.size != input.size {
                    return Err(changed(&input.path, "size in bytes", promise.size, input.size));
                }
                input.promised_hash = Some(promise.hash.clone());
            }
        }
    }
    Ok(())
}

/// A file that is not what the manifest beside it says.
pub fn changed(
    path: &Path,
    what: &str,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Error {
    let advice = "changed since its manifest.json was written; without that file it is read as it is";
    Error::mismatch(format!("{}: {what} ({advice})", path.display()), expected, found)
}

#[cfg(test)]
mod tests {
    use super::super::inputs::expand;

    #[test]
    fn folders_name_what_they_leave_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("_temporary")).unwrap();
        let names = [
            "b.jsonl",
            "_x.jsonl",
            "a.txt.gz",
            "notes.csv",
            ".hidden.jsonl",
            "x.jsonl.tmp",
            "_temporary/c.jsonl",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let list = expand(&[folder.path().display().to_string()], None).unwrap();
        let names: Vec<_> = list.inputs.iter().map(|input| input.path.file_name().unwrap()).collect();
        assert_eq!(names, ["_x.jsonl", "a.txt.gz", "b.jsonl"]);
        let ignored = [".hidden.jsonl", "_temporary", "notes.csv", "x.jsonl.tmp"];
        assert_eq!(list.ignored, ignored.map(|name| folder.path().join(name)));
    }
}
