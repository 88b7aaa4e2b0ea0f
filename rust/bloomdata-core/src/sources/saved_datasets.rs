//! Folders that `datasets` has written: which of their files are the dataset.
//!
//! - `save_to_disk` of a `Dataset` leaves `state.json`, which names the files in order. Everything else in the folder,
//!   such as the cache of a later `map`, is not of the dataset.
//! - `save_to_disk` of a `DatasetDict` leaves `dataset_dict.json` and a folder for each split.
//! - A folder of its cache has `dataset_info.json`, and in one folder the files of all splits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// As much of `state.json` as is needed here.
#[derive(Debug, Deserialize)]
struct State {
    #[serde(rename = "_data_files")]
    data_files: Vec<DataFile>,
    /// The order of rows, if it is not that of the files; older versions have the other key.
    #[serde(rename = "_indices_files", alias = "_indices_data_files")]
    indices_files: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct DataFile {
    filename: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Splits {
    splits: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Info {
    splits: Map<String, Value>,
}

/// What of a folder is to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// These files, in this order, and nothing else.
    Files(Vec<PathBuf>),
    /// The folder of the only split, and nothing else.
    Split(PathBuf),
}

/// What `datasets` says of a folder that it has written; `None` for any other.
///
/// # Errors
/// Several splits, which must not be mixed; rows in another order than in the files; a file that is not there.
pub(super) fn saved_dataset(folder: &Path) -> Result<Option<Saved>> {
    if let Some(Splits { splits }) = read(&folder.join("dataset_dict.json")) {
        let [split] = &splits[..] else {
            let folders: Vec<String> =
                splits.iter().map(|split| folder.join(split).display().to_string()).collect();
            return Err(several_splits(folder, "a DatasetDict", &splits, &folders.join(", ")));
        };
        return Ok(Some(Saved::Split(folder.join(split))));
    }
    if let Some(State { data_files, indices_files }) = read(&folder.join("state.json")) {
        if indices_files.is_some_and(|files| !files.is_empty()) {
            return Err(reordered(folder));
        }
        let files: Vec<PathBuf> = data_files.into_iter().map(|file| folder.join(file.filename)).collect();
        for file in &files {
            std::fs::metadata(file).map_err(Error::io(file))?;
        }
        return Ok(Some(Saved::Files(files)));
    }
    if folder.join("indices.arrow").is_file() {
        return Err(reordered(folder));
    }
    if let Some(Info { splits }) = read(&folder.join("dataset_info.json")) {
        check_cache(folder, &splits)?;
    }
    Ok(None)
}

/// A file of JSON, if it is there and of this form: others use the same names.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn reordered(folder: &Path) -> Error {
    let reason = format!(
        "{} is a dataset whose rows are in another order than in its files (a mapping of indices); write it anew with \
         datasets.load_from_disk(...).flatten_indices().save_to_disk(...), or hand over the dataset itself",
        folder.display()
    );
    Error::config("inputs", reason)
}

fn several_splits(folder: &Path, what: &str, splits: &[String], names: &str) -> Error {
    let (folder, splits) = (folder.display(), splits.join(", "));
    Error::config(
        "inputs",
        format!("{folder} is {what} with the splits {splits}: name one of them ({names})"),
    )
}

/// Files of a cache are named `<dataset>-<split>.arrow` or `<dataset>-<split>-00000-of-00002.arrow`.
fn check_cache(folder: &Path, splits: &Map<String, Value>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    let mut found = BTreeSet::new();
    for name in entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let Some(stem) = name.strip_suffix(".arrow") else { continue };
        let of =
            |split: &&String| stem.ends_with(&format!("-{split}")) || stem.contains(&format!("-{split}-"));
        found.extend(splits.keys().filter(of).cloned());
    }
    if found.len() < 2 {
        return Ok(());
    }
    let names: Vec<String> =
        found.iter().map(|split| folder.join(format!("*-{split}*.arrow")).display().to_string()).collect();
    let found: Vec<String> = found.into_iter().collect();
    Err(several_splits(folder, "a cache of datasets", &found, &names.join(", ")))
}
