//! What was decided once for all parts: a finished folder with the verdicts on all inputs, the lists of what is dropped, and
//! the books.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::editor::Editor;
use super::filter::Filter;
use super::options::{DECIDE, DedupConfig, SPANS_FILE};
use super::verdict_file::Verdicts;
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::ledger::Ledger;
use crate::pipeline::articles::texts::TextReader;
use crate::pipeline::folder::manifest::{Manifest, VERSION, check_size};
use crate::pipeline::folder::plan::DECISIONS_NAME;
use crate::pipeline::sharding::copier::Copier;
use crate::pipeline::sharding::options::ShardConfig;
use crate::sources::Input;
use crate::sources::inputs::InputList;

/// What was decided, in a finished folder beside the parts.
#[derive(Debug)]
pub struct Decided {
    folder: PathBuf,
    /// Its manifest, as a run without shards would have it.
    pub manifest: Manifest,
}

impl Decided {
    /// Opens the decisions on all inputs.
    ///
    /// # Errors
    /// There are none yet, or they are of another version, or on other inputs, or by other options.
    pub(super) fn read<'input>(
        root: &Path,
        config: &DedupConfig,
        inputs: impl ExactSizeIterator<Item = &'input Input>,
    ) -> Result<Self> {
        let decided = Self::open(root)?;
        let (folder, manifest) = (&decided.folder, &decided.manifest);
        let differs = |what: &str| format!("{}: {what} (overwrite=True decides anew)", folder.display());
        let (then, now) = (&manifest.config, &config.to_value()?);
        let keys = then.as_object().into_iter().flat_map(Map::keys);
        if let Some(key) = keys.into_iter().find(|key| then[*key] != now[*key]) {
            return Err(Error::mismatch(differs(&format!("option {key}")), &then[key], &now[key]));
        }
        let found = inputs.len();
        for (then, input) in manifest.inputs.iter().zip(inputs) {
            if then.path != input.path {
                return Err(Error::mismatch(differs("input"), then.path.display(), input.path.display()));
            }
            if then.size != input.size {
                let what = format!("size of input {}", input.path.display());
                return Err(Error::mismatch(differs(&what), then.size, input.size));
            }
        }
        if manifest.inputs.len() != found {
            return Err(Error::mismatch(differs("number of inputs"), manifest.inputs.len(), found));
        }
        Ok(decided)
    }

    /// Opens them, whatever they are on.
    ///
    /// # Errors
    /// There are none yet, or they are of another version.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = root.join(DECISIONS_NAME);
        let Some(manifest) = Manifest::read(&folder)?.filter(|manifest| manifest.verb == DECIDE) else {
            let reason = format!(
                "expected decisions on all inputs before any part, found none in {}: the same call with decide=True \
                 in place of part finds them (bloomdata-cli dedup ... --parts N --decide)",
                folder.display()
            );
            return Err(Error::config("decide", reason));
        };
        if manifest.bloomdata_version != VERSION {
            let what = format!("{}: version of bloomdata", folder.display());
            return Err(Error::mismatch(what, &manifest.bloomdata_version, VERSION));
        }
        manifest.outputs.iter().try_for_each(|output| check_size(&folder, output))?;
        Ok(Self { folder, manifest })
    }

    /// Makes lines of the records that stay.
    pub(super) fn filter<'run>(
        &self,
        config: &'run DedupConfig,
        shards: &'run ShardConfig,
        field: &'run FieldPath,
        (inputs, first): (&InputList, usize),
    ) -> Result<Filter<'run>> {
        let formats = inputs.inputs.iter().map(|input| input.format).collect();
        let editor = config.repeated.as_ref();
        let editor = editor.map(|repeated| Editor::open(repeated, field, &self.folder.join(SPANS_FILE)));
        Ok(Filter {
            copier: Copier::new(shards),
            reader: TextReader { fields: std::slice::from_ref(field), formats, source: None },
            verdicts: Verdicts::open(&self.folder, inputs, first)?,
            editor: editor.transpose()?,
        })
    }

    /// Opens the decisions that parts have written by, of which they know the fingerprint.
    ///
    /// # Errors
    /// They are gone, or others.
    pub fn of_parts(root: &Path, fingerprint: &Value) -> Result<Self> {
        let decided = Self::open(root)?;
        if decided.manifest.fingerprint != *fingerprint {
            let what = format!("{}: fingerprint of what parts have written by", decided.folder.display());
            return Err(Error::mismatch(what, fingerprint, &decided.manifest.fingerprint));
        }
        Ok(decided)
    }

    /// Checks that parts have found and written as many documents as were decided on.
    ///
    /// # Errors
    /// Other numbers, which is a defect.
    pub fn check_written(&self, written: &Ledger) -> Result<()> {
        let counts = |of: &Ledger| {
            let reasons = (of.documents_dropped.clone(), of.documents_quarantined.clone());
            (of.documents_in, of.documents_kept, reasons)
        };
        let (decided, written) = (counts(&self.manifest.ledger), counts(written));
        if decided != written {
            let reason = format!("decided on documents {decided:?}, but parts have {written:?}");
            return Err(Error::Ledger { reason });
        }
        Ok(())
    }
}
