//! Options of `dedup`. Same names as in Python and on the command line.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dedup::bands::Bands;
use crate::dedup::exact_key::TextForm;
use crate::dedup::keep::Keep;
use crate::dedup::segments::Part;
use crate::dedup::units::{Normalize, Unit};
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::pipeline::folder::names::OutputNames;
use crate::pipeline::sharding::options::ShardConfig;

/// The verb.
pub const DEDUP: &str = "dedup";
/// The verb of a folder of decisions that parts of `dedup` write by.
pub const DECIDE: &str = "decide";
/// Folder of what an unfinished run has found out.
pub const SCRATCH_FOLDER: &str = ".dedup";
/// Name of the list of what was dropped, and of whom it repeats.
pub const DUPLICATES_NAME: &str = "duplicates.jsonl";
/// Name of the list of repeated parts.
pub const SPANS_NAME: &str = "spans.jsonl";
/// Name of the file of repeated parts that the last pass reads.
pub const SPANS_FILE: &str = "spans";
/// The least memory for tables and sorting.
const LEAST_BYTES: u64 = 16 << 20;

/// Options that decide what is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupConfig {
    /// Where the text of a record is.
    pub text_field: String,
    /// Equal documents.
    pub exact: Option<ExactConfig>,
    /// Similar documents.
    pub near: Option<NearConfig>,
    /// Repeated parts of documents.
    pub repeated: Option<Repeated>,
    /// Which of similar documents stay.
    pub keep: Keep,
    /// Whether no shards are written.
    pub report_only: bool,
    /// What else documents are compared with, as the user named it.
    pub against: Vec<String>,
    /// How shards are written.
    pub shards: ShardConfig,
}

/// Which documents are equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactConfig {
    /// What makes their texts equal.
    pub normalize: TextForm,
}

/// Which parts of documents are repeated, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeated {
    /// What a part is.
    pub part: Part,
    /// What becomes of repeated ones.
    pub action: Action,
    /// Of repeated windows, only whole lines are cut out.
    pub whole_lines: bool,
    /// The share of its words that a document may have in repeated windows, if it is to stay ([`Action::Drop`]).
    pub max_share: f64,
}

/// What becomes of repeated parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They are cut out; a document that consists of nothing else is dropped.
    Cut,
    /// Documents with too many of them are dropped, others stay as they are.
    Drop,
    /// Their places are added to the record.
    Mark,
}

impl Repeated {
    /// Units of a part.
    pub fn units_of_part(&self) -> u64 {
        match self.part {
            Part::Windows { words, .. } => words as u64,
            Part::Paragraphs(_) | Part::Lines(_) => 1,
        }
    }

    fn validate(&self) -> Result<()> {
        if let Part::Windows { words, .. } = self.part
            && !(1..=100_000).contains(&words)
        {
            return Err(Error::config("words", format!("expected 1 to 100000, got {words}")));
        }
        if !(0.0..=1.0).contains(&self.max_share) {
            return Err(Error::config("max_share", format!("expected 0 to 1, got {}", self.max_share)));
        }
        Ok(())
    }
}

/// Which documents are similar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearConfig {
    /// Jaccard similarity from which on they are.
    pub threshold: f64,
    /// How signatures are made.
    #[serde(flatten)]
    pub signature: SignatureConfig,
    /// Bands of signatures; chosen by the threshold if not given.
    pub bands: Option<usize>,
    /// Rows of a band.
    pub rows: Option<usize>,
    /// Whether candidates are compared by their texts, or else by their signatures alone.
    pub verify: bool,
    /// Bands in Bloom filters, in place of candidates on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bloom: Option<BloomConfig>,
}

/// Bloom filters for bands: they decide what is dropped, so their size is an option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BloomConfig {
    /// Bytes of all filters.
    pub bytes: u64,
    /// Documents that they are made for.
    pub expected_documents: u64,
    /// The chance with which a document that resembles none may be taken for a duplicate.
    pub max_false_positive: f64,
}

/// What a signature depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureConfig {
    /// Slots.
    pub num_perm: usize,
    /// Words or characters.
    pub unit: Unit,
    /// Which of them are equal.
    pub normalize: Normalize,
    /// Units of a shingle.
    pub shingle_size: usize,
}

impl SignatureConfig {
    /// Bytes of a signature.
    pub fn signature_bytes(&self) -> usize {
        2 * self.num_perm
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the option.
    pub fn validate(&self) -> Result<()> {
        if !(1..=65_536).contains(&self.num_perm) {
            let reason = format!("expected 1 to 65536, got {}", self.num_perm);
            return Err(Error::config("num_perm", reason));
        }
        if !(1..=1000).contains(&self.shingle_size) {
            return Err(Error::config("words", format!("expected 1 to 1000, got {}", self.shingle_size)));
        }
        Ok(())
    }
}

impl NearConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the option.
    pub fn validate(&self) -> Result<()> {
        self.signature.validate()?;
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            let reason = format!("expected more than 0 and at most 1, got {}", self.threshold);
            return Err(Error::config("threshold", reason));
        }
        if let Some(bloom) = &self.bloom {
            if bloom.expected_documents == 0 || bloom.bytes == 0 {
                return Err(Error::config("expected_documents", "expected 1 or more for index=\"bloom\""));
            }
            if !(0.0..=1.0).contains(&bloom.max_false_positive) {
                let reason = format!("expected 0 to 1, got {}", bloom.max_false_positive);
                return Err(Error::config("max_false_positive", reason));
            }
        }
        self.bands().map(|_| ())
    }

    /// The bands of signatures.
    ///
    /// # Errors
    /// Numbers that do not fit.
    pub fn bands(&self) -> Result<Bands> {
        Bands::choose(self.threshold, self.signature.num_perm, self.bands, self.rows)
    }

    /// The least estimate with which a pair is looked at: four standard errors below the threshold.
    pub fn least_estimate(&self) -> f64 {
        let variance = self.threshold * (1.0 - self.threshold);
        self.threshold - 4.0 * (variance / crate::token::double(self.signature.num_perm as u64)).sqrt()
    }
}

impl DedupConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the option.
    pub fn validate(&self) -> Result<()> {
        self.shards.validate()?;
        self.field()?;
        if self.exact.is_none() && self.near.is_none() && self.repeated.is_none() {
            let reason = "expected exact, near or substring, got none of them: nothing to look for";
            return Err(Error::config("exact", reason));
        }
        if let Some(repeated) = &self.repeated {
            repeated.validate()?;
        }
        if let Some(near) = &self.near {
            near.validate()?;
        }
        Ok(())
    }

    /// As manifests have it.
    ///
    /// # Errors
    /// Never, for what we hold.
    pub fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Where the text of a record is.
    ///
    /// # Errors
    /// An empty name or part.
    pub fn field(&self) -> Result<FieldPath> {
        FieldPath::parse(&self.text_field)
    }

    /// Names of the files that a run with these options writes.
    pub fn names(&self) -> OutputNames {
        let mut names = self.shards.names();
        names.last.push(DUPLICATES_NAME.to_owned());
        if self.repeated.is_some() {
            names.last.push(SPANS_NAME.to_owned());
        }
        names.folders.push(SCRATCH_FOLDER.to_owned());
        names
    }
}

/// Refuses a limit that is too low.
///
/// # Errors
/// Names the least one.
pub fn check_memory(memory_limit: u64) -> Result<()> {
    if memory_limit >= LEAST_BYTES {
        return Ok(());
    }
    let reason = format!("expected {LEAST_BYTES} bytes or more, got {memory_limit}");
    Err(Error::config("memory_limit", reason))
}
