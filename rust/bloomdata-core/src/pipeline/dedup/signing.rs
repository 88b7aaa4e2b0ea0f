//! What the first pass finds out about each document: keys and signatures.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::bloom_index::BloomIndex;
use super::options::{DedupConfig, NearConfig, SignatureConfig};
use super::signature_file::{Column, Header, SignatureFile};
use crate::dedup::bands::Bands;
use crate::dedup::exact_key::{ExactKeys, TextForm};
use crate::dedup::minhash::MinHasher;
use crate::dedup::units::Units;
use crate::dedup::windows::Windows;
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::sources::Input;

/// What is wanted of each document.
#[derive(Debug, Clone)]
pub struct Signing {
    pub(super) fields: Vec<FieldPath>,
    /// Whether records without any text are no documents.
    pub(super) skips_empty: bool,
    signature: Option<SignatureConfig>,
    /// Set if band keys are wanted, and no signatures.
    bands: Option<Bands>,
    exact: Option<TextForm>,
    pub(super) columns: Vec<(Column, u64)>,
    pub(super) config: Value,
}

impl Signing {
    /// Of the options of a run.
    ///
    /// # Errors
    /// A field without a name.
    pub fn new(config: &DedupConfig) -> Result<Self> {
        let fields = vec![config.field()?];
        let signature = config.near.as_ref().map(|near| near.signature.clone());
        let exact = config.exact.as_ref().map(|exact| exact.normalize);
        let mut columns = Vec::new();
        let bloom = config.near.as_ref().filter(|near| near.bloom.is_some());
        let bands = bloom.map(NearConfig::bands).transpose()?;
        if let (Some(signature), None) = (&signature, bands) {
            columns.push((Column::Signature, signature.signature_bytes() as u64));
            columns.push((Column::Units, 16));
        }
        if exact.is_some() {
            columns.push((Column::Exact, 16));
        }
        columns.push((Column::Position, 24));
        let config = serde_json::json!({
            "text_field": config.text_field, "signature": &signature, "exact": exact,
        });
        Ok(Self { fields, skips_empty: false, signature, bands, exact, columns, config })
    }

    /// Of equal texts alone: those of one field, or of several together. Records without any text are left out.
    pub fn of_equal_texts(fields: Vec<FieldPath>, form: TextForm) -> Self {
        // The names of fields may be longer than the header.
        let config = serde_json::json!({"text_fields": fields.len(), "exact": form});
        let columns = vec![(Column::Exact, 16), (Column::Position, 24)];
        let (signature, bands, exact) = (None, None, Some(form));
        Self { fields, skips_empty: true, signature, bands, exact, columns, config }
    }

    /// What `.sig` files must say of the options.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// What the `.sig` of an input says, which an earlier attempt may have left.
    ///
    /// # Errors
    /// A file that is damaged, or is that of other options or of another input.
    pub fn header_of(&self, folder: &Path, number: usize, input: &Input) -> Result<Header> {
        let path = signature_path(folder, number);
        let header = SignatureFile::open(&path)?.header;
        let differs = |what: &str| format!("{}: {what}", path.display());
        if header.config != self.config || header.columns != self.columns {
            return Err(Error::mismatch(differs("options"), &self.config, &header.config));
        }
        let size = header.input.as_ref().map_or(0, |input| input.size);
        if size != input.size {
            return Err(Error::mismatch(differs("bytes of its input"), input.size, size));
        }
        let position = header.books.position.file;
        if position != number + 1 {
            return Err(Error::mismatch(differs("inputs read so far"), number + 1, position));
        }
        Ok(header)
    }
}

/// The `.sig` of an input.
pub fn signature_path(folder: &Path, input: usize) -> PathBuf {
    folder.join(format!("{input:05}.sig"))
}

/// What a thread needs.
pub(super) struct Worker {
    units: Option<(Units, Windows, MinHasher)>,
    exact: Option<ExactKeys>,
    bands: Option<Bands>,
    hashes: Vec<u64>,
    shingles: Vec<u64>,
    key_bytes: Vec<u8>,
    /// Of documents whose bands are wanted: whether each has units, and their keys.
    pub(super) has_units: Vec<bool>,
    pub(super) band_keys: Vec<u64>,
}

impl Worker {
    pub(super) fn new(signing: &Signing) -> Result<Self> {
        let units = match &signing.signature {
            Some(config) => Some((
                Units::new(config.unit, config.normalize)?,
                Windows::new(config.shingle_size),
                MinHasher::new(config.num_perm),
            )),
            None => None,
        };
        let exact = signing.exact.map(ExactKeys::new).transpose()?;
        Ok(Self {
            units,
            exact,
            bands: signing.bands,
            hashes: Vec::new(),
            shingles: Vec::new(),
            key_bytes: Vec::new(),
            has_units: Vec::new(),
            band_keys: Vec::new(),
        })
    }

    /// Appends what is to be known of a document, but its place. Signatures are of its first text, keys of all.
    pub(super) fn sign(&mut self, texts: &[Cow<'_, str>], entries: &mut [Vec<u8>]) {
        let mut at = 0;
        if let Some((units, windows, hasher)) = &mut self.units {
            units.hashes(texts.first().map_or("", |text| text), &mut self.hashes);
            windows.shingles(&self.hashes, &mut self.shingles);
            if let Some(bands) = self.bands {
                self.has_units.push(!self.hashes.is_empty());
                if !self.hashes.is_empty() {
                    self.key_bytes.clear();
                    hasher.append(&self.shingles, &mut self.key_bytes);
                    BloomIndex::append_keys(bands, &self.key_bytes, &mut self.band_keys);
                }
                return;
            }
            hasher.append(&self.shingles, &mut entries[0]);
            self.key_bytes.clear();
            self.key_bytes.extend(self.hashes.iter().flat_map(|hash| hash.to_le_bytes()));
            let key = if self.hashes.is_empty() { 0 } else { xxh3_128(&self.key_bytes) };
            entries[1].extend(key.to_le_bytes());
            at = 2;
        }
        if let Some(keys) = &mut self.exact {
            let key = match texts {
                [text] => keys.key(text),
                texts => {
                    self.key_bytes.clear();
                    self.key_bytes.extend(texts.iter().flat_map(|text| keys.key(text).to_le_bytes()));
                    xxh3_128(&self.key_bytes)
                }
            };
            entries[at].extend(key.to_le_bytes());
        }
    }
}
