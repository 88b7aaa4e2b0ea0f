//! Files, folders and patterns become an ordered list of inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::asking::ask_all;
use super::folders;
use super::input::{Input, describe, unsupported};
use super::inputs::{Ignored, InputList};
use super::patterns;
use super::pointers::refuse_pointer;
use crate::error::{Error, Result};
use crate::hash::content_key;

/// Expands what the user wrote, in that order; folders and patterns in natural order (`part-2` before `part-10`).
/// The folder `output`, if it lies inside one of the folders, is no input.
///
/// # Errors
/// Nothing found for a name, a file of unknown format named directly, a file that is named twice, or a pointer of Git
/// LFS in place of a file.
pub fn expand(patterns: &[String], output: Option<&Path>) -> Result<InputList> {
    if patterns.iter().any(|pattern| is_stdin(pattern)) {
        let reason = "the standard input can be read once only, and here inputs are read more than once: \
                      bloomdata-cli shard - --output shards/, and then name that folder";
        return Err(Error::config("inputs", reason));
    }
    expand_once(patterns, output)
}

/// Whether a name stands for the standard input.
fn is_stdin(pattern: &str) -> bool {
    matches!(pattern, "-" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0")
}

/// As [`expand`], for those who read each input once: `-` is the standard input.
///
/// # Errors
/// As for [`expand`].
pub fn expand_once(patterns: &[String], output: Option<&Path>) -> Result<InputList> {
    let mut list = InputList::default();
    if patterns.is_empty() {
        return Err(Error::config("inputs", "none given"));
    }
    for (at, pattern) in patterns.iter().enumerate() {
        let path = Path::new(pattern);
        if is_stdin(pattern) {
            list.inputs.push(Input::stdin());
        } else if path.is_dir() {
            folders::expand_folder(path, output, &mut list)?;
        } else if path.exists() || !pattern.contains(['*', '?', '[', '{']) {
            list.inputs.push(describe(path)?.ok_or_else(|| unsupported(path))?);
        } else {
            patterns::expand_pattern(pattern, &mut list)?;
        }
        list.patterns.resize(list.inputs.len(), at);
    }
    folders::note_promises(&mut list)?;
    for Ignored { path, .. } in &mut list.ignored {
        // Names that are not UTF-8 do not fit a manifest.
        *path = PathBuf::from(path.to_string_lossy().into_owned());
    }
    let is_link = ask_all(&list.inputs, |input| {
        refuse_pointer(input)?;
        let is_link = |path| std::fs::symlink_metadata(path).map(|found| found.is_symlink());
        Ok(!input.read_once && is_link(&input.path).map_err(Error::io(&input.path))?)
    })?;
    let (mut seen, mut folders) = (BTreeSet::new(), BTreeMap::new());
    for (input, is_link) in list.inputs.iter().zip(is_link) {
        let real =
            if input.read_once { input.path.clone() } else { real_path(&input.path, is_link, &mut folders)? };
        if !seen.insert(content_key(real.as_os_str().as_encoded_bytes())) {
            let reason =
                format!("{} is named twice; its documents would be read twice", input.path.display());
            return Err(Error::config("inputs", reason));
        }
    }
    Ok(list)
}

/// The path without links. Those of folders are remembered: a million files lie in few of them.
fn real_path(path: &Path, is_link: bool, folders: &mut BTreeMap<OsString, PathBuf>) -> Result<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return path.canonicalize().map_err(Error::io(path));
    };
    if is_link {
        return path.canonicalize().map_err(Error::io(path));
    }
    if let Some(real) = folders.get(folder.as_os_str()) {
        return Ok(real.join(name));
    }
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let real = here.canonicalize().map_err(Error::io(path))?;
    let found = real.join(name);
    folders.insert(folder.into(), real);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_named_twice_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "").unwrap();
        let name = path.display().to_string();
        assert!(matches!(expand(&[name.clone(), name], None), Err(Error::Config { .. })));
    }
}
