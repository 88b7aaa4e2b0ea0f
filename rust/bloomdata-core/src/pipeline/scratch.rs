//! What verbs of several phases share: results of phases that are not found again, files that are steps of their own, and
//! what to say when an input is not what it was in an earlier pass.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;

use super::folder::books::QUARANTINE_NAME;
use super::folder::journal::Entry;
use super::folder::manifest::OutputEntry;
use super::folder::run::Run;
use super::sharding::engine::first_step;
use crate::error::{Error, Result};
use crate::hash::hash_file;
use crate::io::atomic::{AtomicFile, rename_durably, write_atomically};
use crate::progress::Progress;
use crate::sources::Format;
use crate::sources::inputs::InputList;
use crate::token::index;

/// Makes a folder inside of the scratch folder.
///
/// # Errors
/// The scratch folder is a link; the system's reason.
pub fn create_scratch(scratch: &Path, inner: &Path) -> Result<()> {
    if scratch.is_symlink() {
        let reason =
            format!("{} is a link: its target would be written to; remove the link first", scratch.display());
        return Err(Error::config("output", reason));
    }
    std::fs::create_dir_all(inner).map_err(Error::io(inner))
}

/// Refuses tables in memory and the standard input: they can be read once only. `option` is what needs them more than once.
///
/// # Errors
/// Such a table.
pub fn refuse_tables(option: &str, inputs: &InputList) -> Result<()> {
    match inputs.inputs.iter().find(|input| input.format == Format::Arrow || input.read_once) {
        Some(table) => {
            let reason =
                format!("expected files, which are read more than once, got {}", table.path.display());
            Err(Error::config(option, reason))
        }
        None => Ok(()),
    }
}

/// The result of a phase: as an earlier attempt has left it in the file `path`, or found now.
///
/// # Errors
/// What `find` returns; a file that is damaged; the system's reason.
pub fn once<T: Serialize + DeserializeOwned>(path: &Path, find: impl FnOnce() -> Result<T>) -> Result<T> {
    if path.exists() {
        let text = std::fs::read(path).map_err(Error::io(path))?;
        return serde_json::from_slice(&text).map_err(|error| Error::corrupt(path, 0, error.to_string()));
    }
    let found = find()?;
    let text = serde_json::to_vec(&found).map_err(|error| Error::Internal(error.to_string()))?;
    write_atomically(path, &text)?;
    Ok(found)
}

/// Writes a list for people as an output that is a step of its own, unless an earlier attempt has. `write` returns how many
/// lines it has, which the manifest has as `counted`.
///
/// # Errors
/// What `write` returns; the system's reason.
pub fn write_list(
    run: &mut Run<'_>,
    name: &str,
    counted: &str,
    write: impl FnOnce(&mut AtomicFile) -> Result<u64>,
) -> Result<OutputEntry> {
    if let Some(known) = run.done.outputs.iter().find(|output| output.path == name) {
        return Ok(known.clone());
    }
    let mut list = AtomicFile::create(&run.folder().join(name))?;
    let count = write(&mut list)?;
    run.journal.append(&Entry::Sealing { path: name.to_owned() })?;
    let sealed = list.seal()?;
    let details = Map::from_iter([(counted.to_owned(), count.into())]);
    let entry = OutputEntry { path: name.to_owned(), size: sealed.size, hash: sealed.hash, details };
    run.journal.append(&first_step(vec![entry.clone()])?)?;
    run.done.outputs.push(entry.clone());
    Ok(entry)
}

/// Makes a whole file of a scratch folder an output that is a step of its own, unless an earlier attempt has.
///
/// # Errors
/// The system's reason.
pub fn keep_file(run: &mut Run<'_>, file: &Path, progress: &Progress) -> Result<OutputEntry> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(known) = run.done.outputs.iter().find(|output| output.path == name) {
        return Ok(known.clone());
    }
    let path = run.folder().join(&name);
    if file.exists() {
        run.journal.append(&Entry::Sealing { path: name.clone() })?;
        rename_durably(file, &path)?;
    }
    let (size, hasher) = hash_file(&path, None, progress)?;
    let entry = OutputEntry { path: name, size, hash: hasher.hex(), details: Map::new() };
    run.journal.append(&first_step(vec![entry.clone()])?)?;
    run.done.outputs.push(entry.clone());
    Ok(entry)
}

/// Bad records that a pass has set aside, the first `bytes` of a file, as an output of the run's folder; none if there are
/// no `bytes`.
///
/// # Errors
/// The system's reason.
pub fn take_quarantine(folder: &Path, path: &Path, bytes: u64, records: u64) -> Result<Option<OutputEntry>> {
    if bytes == 0 {
        return Ok(None);
    }
    let content = std::fs::read(path).map_err(Error::io(path))?;
    let content = content.get(..index(bytes)).unwrap_or(&content);
    let sealed = write_atomically(&folder.join(QUARANTINE_NAME), content)?;
    let details = Map::from_iter([("records".to_owned(), records.into())]);
    Ok(Some(OutputEntry { path: QUARANTINE_NAME.into(), size: sealed.size, hash: sealed.hash, details }))
}

/// Checks that an input is what it was in the first pass.
///
/// # Errors
/// It has another hash.
pub fn check_same(input: &Path, first: &str, now: &str) -> Result<()> {
    if first == now {
        return Ok(());
    }
    let what = format!("{}: content (changed while it was read again)", input.display());
    Err(Error::mismatch(what, first, now))
}

/// A record of an input that was there in the first pass is not, or is another.
pub fn records_changed(input: &Path) -> Error {
    let what = format!("{}: records (changed while it was read again)", input.display());
    Error::mismatch(what, "those of the first pass", "others")
}
