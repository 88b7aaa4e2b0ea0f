//! What a folder holds: every file is either an input or named as not read.
//!
//! A folder that `shard` wrote says in its manifest what is in it: a shard that is gone, or is not as it was written,
//! is an error here and not a corpus that is shorter than it was.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::asking::ask_all;
use super::choosing::{nothing_found, take_records};
use super::folder_queue::FolderQueue;
use super::input::{look_at, natural_order};
use super::inputs::{Ignored, InputList, Reason};
use super::metadata_names::is_metadata;
use super::saved_datasets::{Saved, saved_dataset};
use crate::error::{Error, Result};
use crate::io::atomic::TEMPORARY_SUFFIX;

/// Files that our commands leave beside their outputs.
const BOOKKEEPING: [&str; 4] = ["manifest.json", "journal.jsonl", "quarantine.jsonl", "fetched.json"];
/// How a journal of ours begins.
pub const JOURNAL_START: &[u8] = br#"{"kind":"start","verb":"#;

/// How the plan of a run in parts begins.
const PLAN_START: &[u8] = br#"{"format_version":1,"bloomdata_version":"#;

/// As much of a manifest as is needed here.
#[derive(Debug, Deserialize)]
pub(super) struct Promises {
    #[serde(rename = "bloomdata_version")]
    _version: String,
    outputs: Vec<Promise>,
    /// What the folder was made of.
    #[serde(default)]
    pub(super) inputs: Vec<MadeOf>,
    #[serde(default)]
    details: Details,
}

/// What a manifest says beside its outputs.
#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    unhashed_outputs: Vec<PathBuf>,
}

/// What a manifest says of one input.
#[derive(Debug, Deserialize)]
pub(super) struct MadeOf {
    pub(super) path: PathBuf,
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
    /// Outputs without lines of data: lists of duplicates and the like.
    pub(super) fn lists(&self) -> Vec<&Path> {
        let outputs = self.outputs.iter().filter(|output| output.lines.is_none());
        outputs.map(|output| output.path.as_path()).collect()
    }

    /// Whether a folder inside holds what parts have counted before they wrote this one.
    fn has_counts(&self, inner: &Path) -> bool {
        inner.ends_with("counts")
            && self.details.unhashed_outputs.contains(&Path::new("counts").join("plan.json"))
    }

    /// What the manifest of `folder` says; `None` without a manifest of ours.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).ok()?).ok()
    }
}

pub(super) fn expand_folder(folder: &Path, output: Option<&Path>, list: &mut InputList) -> Result<()> {
    let output = output.and_then(|output| output.canonicalize().ok());
    let mut walked = walk(folder, output.as_deref())?;
    walked.paths.sort_by(|a, b| natural_order(a, b));
    let (before, before_ignored) = (list.inputs.len(), list.ignored.len());
    let facts = ask_all(&walked.paths, |path| look_at(path))?;
    let mut found = Vec::with_capacity(walked.paths.len());
    for (path, facts) in walked.paths.into_iter().zip(facts) {
        match facts {
            Some(facts) => found.push(facts.into_input(path)),
            None => walked.ignored.push(Ignored { path, reason: Reason::UnknownFormat }),
        }
    }
    list.ignored.append(&mut walked.ignored);
    take_records(found, list)?;
    list.ignored[before_ignored..].sort_by(|a, b| natural_order(&a.path, &b.path));
    if list.inputs.len() == before {
        let what = format!("folder {} holds no file that can be read", folder.display());
        return Err(nothing_found(&what, &list.ignored[before_ignored..]));
    }
    Ok(())
}

/// What a folder holds, sorted, and whether that is a folder, also behind a link.
pub(super) fn listed(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        // Known from the listing; only links have to be looked at.
        let is_dir = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            _ => path.is_dir(),
        };
        found.push((path, is_dir));
    }
    found.sort_by(|a, b| a.0.as_os_str().cmp(b.0.as_os_str()));
    Ok(found)
}

pub(super) fn is_bookkeeping(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.ends_with(TEMPORARY_SUFFIX) || BOOKKEEPING.contains(&&*name)
}

/// Whether a file is an output without lines of data, by the manifest beside it: a list of duplicates and the like.
pub(super) fn is_list(path: &Path, lists: &[&Path]) -> bool {
    path.file_name().is_some_and(|name| lists.contains(&Path::new(name)))
}

/// The folder `a.jsonl.books` beside a file `a.jsonl`, which is the same file once more.
pub(super) fn is_books(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "books")
        && path.with_extension("").is_file()
        && path.is_dir()
}

/// Hidden, or a folder of parts that another tool has not finished (`_temporary`).
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.starts_with('.') || (name.starts_with('_') && path.is_dir())
}

/// What a folder and the folders in it hold.
#[derive(Default)]
struct Walked {
    /// Files that may be data.
    paths: Vec<PathBuf>,
    ignored: Vec<Ignored>,
}

fn walk(folder: &Path, output: Option<&Path>) -> Result<Walked> {
    let mut walked = Walked::default();
    let mut folders = FolderQueue::new(folder.to_owned());
    while let Some(folder) = folders.next()? {
        let promises = Promises::read(&folder);
        check_folder(&folder, promises.as_ref())?;
        let saved = saved_dataset(&folder)?;
        let lists = promises.as_ref().map(Promises::lists).unwrap_or_default();
        for (path, is_dir) in listed(&folder)? {
            if promises.is_some() && (path.ends_with("manifest.json") || path.ends_with("plan.json")) {
                continue;
            }
            if promises.as_ref().is_some_and(|promises| promises.has_counts(&path)) {
                continue;
            }
            let is_ours = is_bookkeeping(&path) || is_books(&path) || is_list(&path, &lists);
            let reason = match &saved {
                Some(Saved::Files(files)) if files.contains(&path) => None,
                Some(Saved::Split(split)) if *split == path => None,
                _ if is_hidden(&path) => Some(Reason::Hidden),
                _ if is_ours => Some(Reason::Books),
                _ if is_metadata(&path) && !is_dir => Some(Reason::Metadata),
                Some(_) => Some(Reason::NotOfDataset),
                None => None,
            };
            if let Some(reason) = reason {
                walked.ignored.push(Ignored { path, reason });
            } else if !is_dir {
                walked.paths.push(path);
            } else if output.is_none() || path.canonicalize().ok().as_deref() != output {
                folders.push(path);
            }
        }
    }
    let repeated = folders.repeated.into_iter();
    walked.ignored.extend(repeated.map(|path| Ignored { path, reason: Reason::Linked }));
    Ok(walked)
}

/// Refuses folders that are no whole corpus.
fn check_folder(folder: &Path, promises: Option<&Promises>) -> Result<()> {
    let Some(promises) = promises else {
        for (name, start, what) in [
            ("journal.jsonl", JOURNAL_START, "a run that has not finished"),
            ("plan.json", PLAN_START, "a run in parts that was not finished (bloomdata-cli finish)"),
        ] {
            let mut found = Vec::new();
            if let Ok(file) = std::fs::File::open(folder.join(name))
                && file.take(start.len() as u64).read_to_end(&mut found).is_ok()
                && start.starts_with(&found)
            {
                let reason = format!("{} is the output of {what}", folder.display());
                return Err(Error::config("inputs", reason));
            }
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
    let mut read: BTreeMap<OsString, BTreeMap<PathBuf, Promise>> = BTreeMap::new();
    for input in &mut list.inputs {
        // A shard lies in the folder of the manifest, or in that of its split.
        for folder in input.path.ancestors().skip(1).take(2) {
            let promises = read.entry(folder.into()).or_insert_with(|| {
                let outputs = Promises::read(folder).map(|promises| promises.outputs).unwrap_or_default();
                outputs.into_iter().map(|promise| (promise.path.clone(), promise)).collect()
            });
            if promises.is_empty() {
                continue;
            }
            let Ok(name) = input.path.strip_prefix(folder) else { continue };
            if let Some(promise) = promises.get(name) {
                if promise.size != input.size {
                    return Err(changed(&input.path, "size in bytes", promise.size, input.size));
                }
                input.promised_hash = Some(promise.hash.as_str().into());
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
    use super::super::expand::expand;
    use super::*;

    #[test]
    fn folders_name_what_they_leave_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("_temporary")).unwrap();
        let names = [
            "b.jsonl",
            "_x.jsonl",
            "a.txt.gz",
            "notes.csv",
            "LICENSE.txt",
            ".hidden.jsonl",
            "x.jsonl.tmp",
            "_temporary/c.jsonl",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let list = expand(&[folder.path().display().to_string()], None).unwrap();
        let names: Vec<_> = list.inputs.iter().map(|input| input.path.file_name().unwrap()).collect();
        assert_eq!(names, ["_x.jsonl", "b.jsonl"]);
        let ignored = [
            (".hidden.jsonl", Reason::Hidden),
            ("LICENSE.txt", Reason::Metadata),
            ("_temporary", Reason::Hidden),
            ("a.txt.gz", Reason::TextBesideRecords),
            ("notes.csv", Reason::UnknownFormat),
            ("x.jsonl.tmp", Reason::Books),
        ];
        let ignored = ignored.map(|(name, reason)| Ignored { path: folder.path().join(name), reason });
        assert_eq!(list.ignored, ignored);
    }
}
