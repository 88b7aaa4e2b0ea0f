//! What a run leaves in its folder. Only files of its own names are ever removed, and links are never followed. That
//! names lie inside the folder is checked where they are read: by the journal and the manifest.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::journal::Entry;
use super::manifest::{MANIFEST_NAME, OutputEntry};
use super::names::NumberedName;
use crate::error::{Error, Result};
use crate::io::atomic::{TEMPORARY_SUFFIX, remove_if_present};

/// All that a run may have written.
#[derive(Debug, Default)]
struct Known {
    outputs: BTreeSet<String>,
    scratch: BTreeSet<String>,
    numbered: Vec<NumberedName>,
    folders: BTreeSet<String>,
}

impl Known {
    fn new(outputs: &[OutputEntry], entries: &[Entry]) -> Self {
        let mut known = Self::default();
        known.outputs.extend(outputs.iter().map(|output| output.path.clone()));
        for entry in entries {
            match entry {
                Entry::Start { names, .. } => {
                    known.outputs.extend(names.last.iter().cloned());
                    known.numbered.extend(names.numbered.iter().cloned());
                    known.scratch.extend(names.scratch.iter().cloned());
                    known.folders.extend(names.folders.iter().cloned());
                }
                Entry::Sealing { path } => {
                    known.outputs.insert(path.clone());
                }
                Entry::Step(step) => {
                    known.outputs.extend(step.outputs.iter().map(|output| output.path.clone()));
                }
            }
        }
        known
    }

    /// Whether a file of this name is an unfinished file of the run.
    fn is_temporary(&self, name: &str) -> bool {
        let Some(mut name) = name.strip_suffix(TEMPORARY_SUFFIX) else { return false };
        // Compressed HDF5 files are made from raw ones, and have the suffix twice.
        name = name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name);
        name == MANIFEST_NAME
            || self.outputs.contains(name)
            || self.scratch.contains(name)
            || self.numbered.iter().any(|numbered| numbered.is_match(name))
    }

    /// Sub-folders that hold files of the run, the folder itself as an empty name; the innermost come last.
    fn sub_folders(&self) -> BTreeSet<&str> {
        let names = self.outputs.iter().chain(&self.scratch).chain(&self.folders).map(String::as_str);
        let names = names.chain(self.numbered.iter().map(|numbered| &*numbered.before));
        let parents = names.flat_map(|name| name.match_indices('/').map(|(at, _)| &name[..at]));
        parents.chain([""]).collect()
    }

    /// Refuses sub-folders that are links.
    fn refuse_links(&self, folder: &Path) -> Result<()> {
        for inner in self.sub_folders() {
            if is_link(folder, inner) {
                let reason = format!(
                    "{} is a link: its target would be emptied; remove the link first",
                    folder.join(inner).display()
                );
                return Err(Error::config("output", reason));
            }
        }
        Ok(())
    }

    fn remove_temporaries(&self, folder: &Path) -> Result<()> {
        for inner in self.sub_folders() {
            if is_link(folder, inner) {
                continue;
            }
            let place = folder.join(inner);
            let listed = match std::fs::read_dir(&place) {
                Ok(listed) => listed,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io(&place)(error)),
            };
            for entry in listed {
                let entry = entry.map_err(Error::io(&place))?;
                let file_name = entry.file_name();
                let name = file_name.to_str().map(|name| join(inner, name)).unwrap_or_default();
                if self.is_temporary(&name) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    remove_if_present(&entry.path())?;
                }
            }
        }
        for name in &self.folders {
            let path = folder.join(name);
            if !is_link(folder, name) && path.is_dir() {
                std::fs::remove_dir_all(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(())
    }
}

/// Whether a name inside `folder` is a link, or leads through one. The folder itself, an empty name, may be a link.
fn is_link(folder: &Path, name: &str) -> bool {
    Path::new(name).ancestors().any(|path| *path != *"" && folder.join(path).is_symlink())
}

fn join(inner: &str, name: &str) -> String {
    if inner.is_empty() { name.to_owned() } else { format!("{inner}/{name}") }
}

/// Removes everything that an earlier run left: its outputs and its unfinished files.
///
/// # Errors
/// A sub-folder that is a link, before anything is removed; or the system's reason.
pub fn discard(folder: &Path, outputs: &[OutputEntry], entries: &[Entry]) -> Result<()> {
    let known = Known::new(outputs, entries);
    known.refuse_links(folder)?;
    // First the manifest: a kill from here on must not leave a folder that looks finished.
    remove_if_present(&folder.join(MANIFEST_NAME))?;
    for name in &known.outputs {
        remove_if_present(&folder.join(name))?;
    }
    known.remove_temporaries(folder)?;
    for inner in known.sub_folders().into_iter().rev().filter(|inner| !inner.is_empty()) {
        // One that holds something else stays.
        let _ = std::fs::remove_dir(folder.join(inner));
    }
    Ok(())
}

/// Removes the unfinished files of a run that has finished.
///
/// # Errors
/// The system's reason.
pub fn sweep(folder: &Path, outputs: &[OutputEntry], entries: &[Entry]) -> Result<()> {
    Known::new(outputs, entries).remove_temporaries(folder)
}

/// Makes `folder` and what is above it; the folders that were not there before, the outermost first.
///
/// # Errors
/// The system's reason.
pub fn create_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let missing =
        folder.ancestors().take_while(|path| *path.as_os_str() != *OsStr::new("") && !path.exists());
    let mut created: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    created.reverse();
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    Ok(created)
}

#[cfg(test)]
mod tests {
    use super::super::names::OutputNames;
    use super::*;

    fn known(names: OutputNames) -> Known {
        let start = Entry::Start {
            verb: "shard".into(),
            version: "1".into(),
            config: serde_json::Value::Null,
            inputs: Vec::new(),
            names,
        };
        Known::new(&[], &[start])
    }

    #[test]
    fn only_names_of_the_run_are_its_temporary_files() {
        let numbered = NumberedName { before: "train/part-".into(), after: ".jsonl.zst".into() };
        let known = known(OutputNames {
            last: vec!["quarantine.jsonl".into()],
            numbered: vec![numbered],
            scratch: vec!["data.lengths".into()],
            folders: Vec::new(),
        });
        for name in [
            "train/part-00012.jsonl.zst.tmp",
            "train/part-00012.jsonl.zst.tmp.tmp",
            "quarantine.jsonl.tmp",
            "data.lengths.tmp",
            "manifest.json.tmp",
        ] {
            assert!(known.is_temporary(name), "{name}");
        }
        for name in [
            "mine.tmp",
            "part-00012.jsonl.zst.tmp",
            "train/part-.jsonl.zst.tmp",
            "train/part-x1.jsonl.zst.tmp",
            "train/part-00012.jsonl.zst",
            "data.lengths",
            ".tmp",
        ] {
            assert!(!known.is_temporary(name), "{name}");
        }
        assert_eq!(known.sub_folders().into_iter().collect::<Vec<_>>(), ["", "train"]);
    }
}
