//! Signatures that were made before, in place of a first pass.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::corpus::Part;
use super::options::DedupConfig;
use super::signature_file::SignatureFile;
use super::signing::{Signing, signature_path};
use crate::document::Position;
use crate::error::{Error, Result};
use crate::hash::hash_file;
use crate::ledger::Ledger;
use crate::pipeline::folder::books::{OnBadRecord, Snapshot};
use crate::pipeline::folder::manifest::Manifest;
use crate::pipeline::folder::plan::{PARTS_KEY, part_folder};
use crate::progress::Progress;
use crate::sources::Input;

/// Copies the `.sig` of every input out of the folders that the verb `signatures` has written. Content is compared if
/// `reads_inputs`; else that is left to who reads the inputs later on.
///
/// # Errors
/// An input without signatures, or with those of other content or other options; the system's reason.
pub(super) fn import(
    folders: &[PathBuf],
    signing: &Signing,
    part: &Part<'_>,
    config: &DedupConfig,
    reads_inputs: bool,
    progress: &Progress,
) -> Result<()> {
    let known = Known::read(folders)?;
    let mut ledger = Ledger::default();
    for (number, input) in part.inputs.inputs.iter().enumerate() {
        let path = signature_path(&part.folder, number);
        if path.exists() {
            ledger = SignatureFile::open(&path)?.header.books.ledger;
            continue;
        }
        let file = SignatureFile::open(known.find(input)?)?;
        if file.header.config != *signing.config() {
            let what = format!("signatures of {}: options", input.path.display());
            return Err(Error::mismatch(what, signing.config(), &file.header.config));
        }
        if reads_inputs {
            let (_, hasher) = hash_file(&input.path, None, progress)?;
            let of = file.header.input.as_ref().map_or("", |entry| &entry.hash);
            if of != hasher.hex() {
                let what = format!("signatures of {}: content", input.path.display());
                return Err(Error::mismatch(what, of, hasher.hex()));
            }
        }
        let own = file.header.books.ledger.since(&file.header.before);
        if own.quarantined() > 0 && (config.report_only || config.shards.on_bad_record == OnBadRecord::Raise)
        {
            let reason = format!(
                "{} has {} bad record(s): expected on_bad_record=\"quarantine\" and shards to write",
                input.path.display(),
                own.quarantined()
            );
            return Err(Error::config("signatures", reason));
        }
        let before = ledger.clone();
        ledger.add(&own);
        let position = Position { file: number + 1, ..Position::default() };
        file.copy_to(&path, before, Snapshot { position, ledger: ledger.clone(), ..Snapshot::default() })?;
    }
    Ok(())
}

/// All signatures of some folders.
struct Known {
    by_path: BTreeMap<PathBuf, PathBuf>,
    /// The same files may lie elsewhere on another machine.
    by_name: BTreeMap<(PathBuf, u64), PathBuf>,
}

impl Known {
    fn read(folders: &[PathBuf]) -> Result<Self> {
        let mut known = Self { by_path: BTreeMap::new(), by_name: BTreeMap::new() };
        for folder in folders {
            let manifest = Manifest::read(folder)?.filter(|manifest| manifest.verb == "signatures");
            let Some(manifest) = manifest else {
                let reason = format!("expected a finished output of `signatures`, got {}", folder.display());
                return Err(Error::config("signatures", reason));
            };
            match manifest.details.get(PARTS_KEY).and_then(Value::as_u64) {
                // Each part numbers its own inputs.
                Some(parts) => {
                    let folders: Vec<PathBuf> =
                        (0..parts).map(|number| part_folder(folder, number, parts)).collect();
                    known.add(Self::read(&folders)?);
                }
                None => known.add_folder(folder, manifest),
            }
        }
        Ok(known)
    }

    fn add(&mut self, other: Self) {
        self.by_path.extend(other.by_path);
        self.by_name.extend(other.by_name);
    }

    fn add_folder(&mut self, folder: &Path, manifest: Manifest) {
        for (number, input) in manifest.inputs.into_iter().enumerate() {
            let path = signature_path(folder, number);
            self.by_name.insert((name_of(&input.path), input.size), path.clone());
            self.by_path.insert(input.path, path);
        }
    }

    fn find(&self, input: &Input) -> Result<&Path> {
        let found = self.by_path.get(&input.path);
        let found = found.or_else(|| self.by_name.get(&(name_of(&input.path), input.size)));
        found.map(PathBuf::as_path).ok_or_else(|| {
            let reason = format!("expected those of every input, got none of {}", input.path.display());
            Error::config("signatures", reason)
        })
    }
}

fn name_of(path: &Path) -> PathBuf {
    path.file_name().map(PathBuf::from).unwrap_or_default()
}
