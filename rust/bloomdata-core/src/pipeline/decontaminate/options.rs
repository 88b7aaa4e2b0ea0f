//! Options of `decontaminate`. Same names as in Python and on the command line.

use serde::{Deserialize, Serialize};

use crate::decontaminate::cut::CutStyle;
use crate::decontaminate::rows::{self, Part};
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::pipeline::folder::names::OutputNames;
use crate::pipeline::sharding::options::ShardConfig;

/// The verb.
pub const DECONTAMINATE: &str = "decontaminate";
/// Folder of what an unfinished run has found out.
pub const SCRATCH_FOLDER: &str = ".decontaminate";
/// Name of the list of matches.
pub const MATCHES_NAME: &str = "contamination.jsonl";
/// Name of the list of what was not looked for.
pub const IGNORED_NAME: &str = "ignored.jsonl";

/// What becomes of contaminated documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They are listed; no shards are written.
    Report,
    /// They are left out.
    Drop,
    /// What is around their matches is kept.
    Cut,
}

/// Settings of another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// `filter_ngrams.py` of Megatron-LM: one n-gram is enough.
    Lineage,
}

/// Options that decide what is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecontaminateConfig {
    /// Where the text of a record is.
    pub text_field: String,
    /// Words of an n-gram.
    pub ngram: usize,
    /// The score that a long row needs.
    pub threshold: f64,
    /// An n-gram in more documents than this counts for no row.
    pub common: u64,
    /// Settings of another tool.
    pub preset: Option<Preset>,
    /// What becomes of contaminated documents.
    pub action: Action,
    /// How shards are written.
    pub shards: ShardConfig,
}

impl DecontaminateConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the option.
    pub fn validate(&self) -> Result<()> {
        self.shards.validate()?;
        self.field()?;
        if !(1..=1000).contains(&self.ngram) {
            return Err(Error::config("ngram", format!("expected 1 to 1000, got {}", self.ngram)));
        }
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            let reason = format!("expected more than 0 and at most 1, got {}", self.threshold);
            return Err(Error::config("threshold", reason));
        }
        if self.common == 0 {
            return Err(Error::config("common", "expected 1 or more, got 0"));
        }
        Ok(())
    }

    /// Where the text of a record is.
    ///
    /// # Errors
    /// An empty name or part.
    pub fn field(&self) -> Result<FieldPath> {
        FieldPath::parse(&self.text_field)
    }

    /// Whether a field of rows is looked for: there, only questions and texts are.
    pub fn looks_for(&self, part: Part) -> bool {
        self.preset.is_none() || part != Part::Passage
    }

    /// The score that a row of so many words needs.
    pub fn needed(&self, num_words: usize) -> f64 {
        match self.preset {
            Some(Preset::Lineage) => 0.0,
            None => rows::needed(num_words, self.threshold),
        }
    }

    /// How matches are cut out.
    pub fn cut_style(&self) -> CutStyle {
        match self.preset {
            Some(Preset::Lineage) => CutStyle::Sentences,
            None => CutStyle::Characters,
        }
    }

    /// Names of the files that a run with these options writes.
    pub fn names(&self) -> OutputNames {
        let mut names = self.shards.names();
        names.last.extend([MATCHES_NAME, IGNORED_NAME].map(str::to_owned));
        names.folders.push(SCRATCH_FOLDER.to_owned());
        names
    }
}
