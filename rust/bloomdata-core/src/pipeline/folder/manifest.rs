//! `manifest.json`: what a finished folder says about itself. Holds no times, so that equal runs give equal bytes.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::counts::InputCounts;
use super::names::check_inside;
use crate::error::{Error, Result};
use crate::hash::{hash_bytes, hash_file};
use crate::io::atomic::write_atomically;
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::sources::{Format, Input};

/// Version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Version of the folder layout and of everything that decides output bytes.
pub const FORMAT_VERSION: u32 = 1;
/// Name in every finished folder.
pub const MANIFEST_NAME: &str = "manifest.json";
/// Key of the details that names files of the folder without an entry of their own.
pub const UNHASHED_KEY: &str = "unhashed_outputs";

/// An input as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputEntry {
    /// As the user named it.
    pub path: PathBuf,
    /// What its records were.
    pub format: Format,
    /// Bytes as stored, of the range if there is one.
    pub size: u64,
    /// Start and end of the share that was read, as stored, where that is not the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[u64; 2]>,
    /// BLAKE3 as stored (of the rows as JSON lines for Arrow streams).
    pub hash: String,
    /// Decompressed bytes; rows for tables.
    pub content_bytes: u64,
    /// Documents written, and their tokens.
    #[serde(flatten)]
    pub counts: InputCounts,
}

/// Inputs that were read to their end, each with its place in the list.
pub type IndexedInputs = Vec<(usize, InputEntry)>;

/// An output file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputEntry {
    /// Relative to the folder, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3.
    pub hash: String,
    /// Counts and offsets by kind of file: `lines`, `rows`, `documents`, …
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// The whole manifest; its fields are sorted by their declaration here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of the library that wrote the folder.
    pub bloomdata_version: String,
    /// `shard`, `pack`, `merge`.
    pub verb: String,
    /// Every option that decides output bytes.
    pub config: Value,
    /// What was read, in order.
    pub inputs: Vec<InputEntry>,
    /// Files of input folders that were not read.
    pub ignored_inputs: Vec<PathBuf>,
    /// How many of them for which reason.
    #[serde(default)]
    pub ignored_reasons: BTreeMap<String, u64>,
    /// What was written.
    pub outputs: Vec<OutputEntry>,
    /// The books.
    pub ledger: Ledger,
    /// Facts of the verb: the tokenizer, ids, counts.
    pub details: Map<String, Value>,
    /// Hash over paths and hashes of all outputs: equal fingerprints mean equal data.
    pub fingerprint: String,
}

/// The fingerprint of a list of outputs.
pub fn fingerprint(outputs: &[OutputEntry]) -> String {
    let lines: Vec<String> =
        outputs.iter().map(|output| format!("{}  {}\n", output.hash, output.path)).collect();
    hash_bytes(lines.concat().as_bytes())
}

impl Manifest {
    /// Reads the manifest of `folder`; `None` when it has none.
    ///
    /// # Errors
    /// A manifest that cannot be read or understood, or that names a path outside the folder.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Error::corrupt(&path, 0, format!("not a manifest of bloomdata: {error}")))?;
        if manifest.format_version != FORMAT_VERSION {
            return Err(Error::Unsupported {
                path,
                found: format!("format version {}", manifest.format_version),
                supported: FORMAT_VERSION.to_string(),
            });
        }
        for name in manifest.outputs.iter().map(|output| &*output.path).chain(manifest.named_paths()) {
            check_inside(folder, name, &path)?;
        }
        Ok(Some(manifest))
    }

    /// Paths below the folder that stand outside the list of outputs.
    fn named_paths(&self) -> impl Iterator<Item = &str> {
        let tokenizer = self.details.get("tokenizer").and_then(|tokenizer| tokenizer.get("path"));
        let unhashed = self.details.get(UNHASHED_KEY).and_then(Value::as_array);
        tokenizer.into_iter().chain(unhashed.into_iter().flatten()).filter_map(Value::as_str)
    }

    /// As JSON text.
    ///
    /// # Errors
    /// Never, for what we hold.
    pub fn to_json(&self) -> Result<String> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| Error::Internal(error.to_string()))?;
        text.push('\n');
        Ok(text)
    }

    /// Writes it into `folder`, whole or not at all.
    ///
    /// # Errors
    /// The system's reason.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_atomically(&folder.join(MANIFEST_NAME), self.to_json()?.as_bytes()).map(|_| ())
    }

    /// Compares what was asked for then and now.
    ///
    /// # Errors
    /// [`Error::Mismatch`] names the first option or input that differs.
    pub fn check_same_run(verb: &str, old: (&str, &Value), new: &Value) -> Result<()> {
        if old.0 != verb {
            return Err(Error::mismatch(differs("verb"), old.0, verb));
        }
        let empty = Map::new();
        let (old, new) = (old.1.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
        for key in new.keys().chain(old.keys()) {
            let (before, now) = (old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null));
            if before != now {
                return Err(Error::mismatch(differs(&format!("option {key}")), before, now));
            }
        }
        Ok(())
    }
}

/// Finishes a folder that was put together from finished runs: `manifest` (as JSON) says what is in it, sizes and hashes
/// of its outputs are filled in here.
///
/// # Errors
/// An output that cannot be read, books that do not balance, or the system's reason.
pub fn finish_folder(folder: &Path, manifest: &str, progress: &Progress) -> Result<Manifest> {
    let mut manifest: Value =
        serde_json::from_str(manifest).map_err(|error| Error::Internal(error.to_string()))?;
    let outputs = manifest.get_mut("outputs").and_then(Value::as_array_mut);
    for output in outputs.into_iter().flatten() {
        let path = folder.join(output["path"].as_str().unwrap_or_default());
        let (size, hasher) = hash_file(&path, None, progress)?;
        (output["size"], output["hash"]) = (size.into(), hasher.hex().into());
    }
    manifest["format_version"] = FORMAT_VERSION.into();
    manifest["fingerprint"] = "".into();
    let mut manifest: Manifest =
        serde_json::from_value(manifest).map_err(|error| Error::Internal(error.to_string()))?;
    manifest.ledger.balance()?;
    manifest.fingerprint = fingerprint(&manifest.outputs);
    manifest.write(folder)?;
    Ok(manifest)
}

/// Compares the size of an output with what its manifest says.
///
/// # Errors
/// Another size, or the system's reason.
pub fn check_size(folder: &Path, output: &OutputEntry) -> Result<()> {
    let path = folder.join(&output.path);
    let found = match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let what =
                format!("{}: an output of a finished run (overwrite=True makes it anew)", path.display());
            return Err(Error::mismatch(what, format!("{} bytes", output.size), "no file"));
        }
        found => found.map_err(Error::io(&path))?.len(),
    };
    if found == output.size {
        return Ok(());
    }
    Err(Error::mismatch(
        format!("{}: size in bytes (changed since it was written)", path.display()),
        output.size,
        found,
    ))
}

/// Compares what an input was when a run was planned or begun with what it is now.
///
/// # Errors
/// [`Error::Mismatch`] names the first thing that differs.
pub fn check_same_input(then: &Input, now: &Input) -> Result<()> {
    let path = now.path.display();
    if then == now {
        return Ok(());
    }
    Err(if then.path != now.path {
        Error::mismatch(differs("input"), then.path.display(), path)
    } else if then.size != now.size {
        Error::mismatch(differs(&format!("size of input {path}")), then.size, now.size)
    } else if let (Some(before), Some(after)) = (&then.promised_hash, &now.promised_hash)
        && before != after
    {
        Error::mismatch(differs(&format!("content of input {path}")), before, after)
    } else if then.tag != now.tag {
        let text = |input: &Input| input.tag.as_deref().unwrap_or("none").to_owned();
        Error::mismatch(differs(&format!("ETag or last change of input {path}")), text(then), text(now))
    } else if then.modified_ns != now.modified_ns {
        let what = format!("last change of input {path} (in ns since 1970)");
        Error::mismatch(differs(&what), then.modified_ns, now.modified_ns)
    } else {
        Error::mismatch(differs(&format!("input {path}")), format!("{then:?}"), format!("{now:?}"))
    })
}

/// What to say of a rerun that asks for something else.
pub fn differs(what: &str) -> String {
    format!("the output folder belongs to another run (overwrite=True starts anew): {what}")
}

/// An input's entry, once it was read.
pub fn input_entry(input: &Input, hash: String, content_bytes: u64, counts: InputCounts) -> InputEntry {
    InputEntry {
        path: input.path.clone(),
        format: input.format,
        size: input.stored_bytes(),
        range: input.range().map(|range| range.stored),
        hash,
        content_bytes,
        counts,
    }
}
