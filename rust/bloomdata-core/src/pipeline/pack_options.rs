//! Options of `pack`, and the names of its files.

use serde::{Deserialize, Serialize};

use super::articles::encoder::Encoder;
use super::articles::options::{Boundary, RecordConfig, RecordKind};
use super::articles::special_tokens::SpecialTokens;
use super::articles::worker::Worker;
use super::dedup::options::{ExactConfig, SCRATCH_FOLDER};
use super::folder::books::{OnBadRecord, QUARANTINE_NAME};
use super::folder::names::{NumberedName, OutputNames};
use crate::error::{Error, Result};
use crate::formats::megatron::LENGTHS_SUFFIX;
use crate::json_fields::FieldPath;
use crate::packing::{Overflow, Packing};
use crate::sources::Format;
use crate::stages::preference::Judgement;
use crate::templates::spans::TrainOn;
use crate::token::TokenDtype;
use crate::tokenizers::{Tokenizer, TokenizerOptions};

/// Where the tokenizer is kept in the output folder.
pub const TOKENIZER_PATH: &str = "tokenizer/tokenizer.json";

/// Tokens of an HDF5 file at most: a terabyte.
const MAX_FILE_TOKENS: u64 = 1 << 37;
/// Kind of the output files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackFormat {
    /// Documents in `.bin` and `.idx`, for trainers that cut sequences themselves.
    Megatron,
    /// Rows of `sequence_length` tokens.
    Hdf5,
}

/// Options of `pack`. Same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches, named as in Python")]
pub struct PackConfig {
    /// How to make tokens.
    #[serde(flatten)]
    pub tokenizer: TokenizerOptions,
    /// How records become articles.
    #[serde(flatten)]
    pub records: RecordConfig,
    /// `megatron` or `hdf5`.
    pub format: PackFormat,
    /// Tokens in a row (HDF5 only).
    pub sequence_length: Option<u64>,
    /// How documents become rows (HDF5 only).
    pub packing: Option<Packing>,
    /// Tokens that packing `best_fit` looks at together.
    pub window_tokens: u64,
    /// Seed of packing `single::sample`.
    pub seed: u64,
    /// `gzip` for chunked, compressed HDF5.
    pub compression: Option<String>,
    /// Rows in an HDF5 file; only the last file is shorter.
    pub rows_per_file: Option<u64>,
    /// First part of file names.
    pub prefix: String,
    /// Which texts count as equal, if documents that repeat an earlier one are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<ExactConfig>,
    /// Whether rows are written of which only end tokens, of type 3, are trained on. Not in manifests of before.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub keep_end_only_sequences: bool,
    /// Whether every document ends with the end-of-document token.
    pub append_eos: bool,
    /// Whether the sentences of a text are the sequences of its document (Megatron only).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub split_sentences: bool,
    /// Key of the list of records in JSON files.
    #[serde(default, rename = "records", skip_serializing_if = "Option::is_none")]
    pub records_key: Option<String>,
    /// What to do with a record that cannot become a document.
    pub on_bad_record: OnBadRecord,
    /// Whether articles are only counted, for the parts behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counting: bool,
}

impl PackConfig {
    fn validate_chats(&self) -> Result<()> {
        let is_chats = self.records.record == RecordKind::Messages;
        if is_chats != self.records.chats.is_some() {
            let reason =
                if is_chats { "record \"messages\" needs one" } else { "only records of messages have one" };
            return Err(Error::config("template", reason));
        }
        if is_chats
            && (self.records.attention_boundary != Boundary::Jsonl
                || self.records.packing_boundary != Boundary::Jsonl)
        {
            return Err(Error::config("attention_boundary", "a conversation is kept together"));
        }
        if let Some(judgement) = self.records.judgement() {
            return self.validate_preferences(judgement);
        }
        if is_chats && self.records.pairs.categories.is_some() {
            return Err(Error::config("categories", "records of messages have none"));
        }
        Ok(())
    }

    fn validate_preferences(&self, judgement: Judgement) -> Result<()> {
        if self.records.chats.as_ref().is_some_and(|chats| chats.template.train_on != TrainOn::All) {
            return Err(Error::config(
                "train_on",
                "judged answers are trained on as a whole: expected \"all\"",
            ));
        }
        if (judgement == Judgement::Labelled) != self.records.pairs.categories.is_some() {
            return Err(Error::config("categories", "labels of answers, and only these, are categories"));
        }
        if self.packing.is_some_and(|packing| packing != Packing::Single(Overflow::Drop)) {
            return Err(Error::config(
                "packing",
                "a judged answer has a row of its own: expected \"single::drop\"",
            ));
        }
        if judgement == Judgement::Compared && self.rows_per_file.is_some_and(|rows| rows % 2 == 1) {
            return Err(Error::config("rows_per_file", "two rows are a pair: expected an even number"));
        }
        Ok(())
    }

    /// Rows of a file.
    pub(super) fn file_rows(&self, sequence_length: u64) -> u64 {
        let rows = self.rows_per_file.unwrap_or_else(|| default_rows_per_file(sequence_length));
        if self.records.judgement() == Some(Judgement::Compared) { rows.next_multiple_of(2) } else { rows }
    }

    fn validate_source(&self) -> Result<()> {
        let Some(source) = &self.records.source else { return Ok(()) };
        if self.records.record != RecordKind::Text || !source.is_text() {
            return Err(Error::config(
                "source",
                "its records are conversations: record \"messages\" reads them",
            ));
        }
        if self.records.text_field.len() != 1 {
            return Err(Error::config("text_field", "a source says itself where its text is"));
        }
        Ok(())
    }

    fn validate_exact(&self) -> Result<()> {
        let found = match (&self.exact, self.records.record) {
            (None, _) => return Ok(()),
            (_, RecordKind::PromptCompletion) => "pairs",
            (_, RecordKind::Messages) => "conversations",
            (_, RecordKind::Text) if self.records.source.is_some() => "records of a source",
            _ => return Ok(()),
        };
        Err(Error::config("exact", format!("expected records of text in text_field, got {found}")))
    }

    /// What makes articles of records, with this tokenizer.
    ///
    /// # Errors
    /// Options that cannot work.
    pub(super) fn worker<'run>(
        &self,
        tokenizer: &'run dyn Tokenizer,
        fields: &'run [FieldPath],
        formats: Vec<Format>,
        dtype: TokenDtype,
    ) -> Result<Worker<'run>> {
        let keep_raw = self.on_bad_record == OnBadRecord::Quarantine;
        let special = SpecialTokens::new(self.records.special_tokens_in_text()?, tokenizer)?;
        let (append_eos, split_sentences) = (self.append_eos, self.split_sentences);
        let row_tokens = self.sequence_length;
        let encoder =
            Encoder { tokenizer, dtype, append_eos, split_sentences, keep_raw, row_tokens, special };
        let with_types = self.records.record != RecordKind::Text || self.format == PackFormat::Hdf5;
        Worker::new(&self.records, encoder, fields, formats, with_types)
    }

    /// Refuses what cannot work; the fields that hold text.
    ///
    /// # Errors
    /// Names the option.
    pub fn validate(&self) -> Result<Vec<FieldPath>> {
        self.validate_source()?;
        let hdf5 = self.format == PackFormat::Hdf5;
        if hdf5 && self.records.text_field.len() != 1 {
            return Err(Error::config("text_field", "format \"hdf5\" takes exactly one field"));
        }
        if self.records.record != RecordKind::Text && self.records.text_field.len() != 1 {
            return Err(Error::config(
                "text_field",
                "records of prompts, or of messages, have no text fields",
            ));
        }
        if self.split_sentences && (hdf5 || self.records.record != RecordKind::Text) {
            let reason = "only documents of format \"megatron\" have sentences, and records of text";
            return Err(Error::config("split_sentences", reason));
        }
        self.validate_chats()?;
        self.validate_exact()?;
        if self.window_tokens == 0 {
            return Err(Error::config("window_tokens", "a window must hold at least one token"));
        }
        if self.records.text_field.is_empty() {
            return Err(Error::config("text_field", "at least one field is needed"));
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.records.text_field.iter().find(|&field| !seen.insert(field)) {
            return Err(Error::config("text_field", format!("{twice:?} is named twice")));
        }
        match (hdf5, self.sequence_length) {
            (true, None) => return Err(Error::config("sequence_length", "format \"hdf5\" needs it")),
            (true, Some(length)) if length == 0 || length > 1 << 31 => {
                return Err(Error::config("sequence_length", format!("{length} is outside 1 to 2^31")));
            }
            (false, Some(_)) => {
                let reason = "format \"megatron\" stores whole documents; the trainer cuts sequences";
                return Err(Error::config("sequence_length", reason));
            }
            _ => {}
        }
        let tokens = self.rows_per_file.unwrap_or(1).checked_mul(self.sequence_length.unwrap_or(1));
        if !tokens.is_some_and(|tokens| (1..=MAX_FILE_TOKENS).contains(&tokens)) {
            let rows = self.rows_per_file.unwrap_or(1);
            let reason = format!("{rows} rows: expected a file of 1 to 2^37 tokens");
            return Err(Error::config("rows_per_file", reason));
        }
        if !hdf5 && self.packing.is_some() {
            return Err(Error::config("packing", "format \"megatron\" stores whole documents"));
        }
        if !matches!(self.compression.as_deref(), None | Some("gzip"))
            || (!hdf5 && self.compression.is_some())
        {
            let reason = format!("{:?} is not \"gzip\" with format \"hdf5\"", self.compression);
            return Err(Error::config("compression", reason));
        }
        if self.prefix.is_empty() || self.prefix.contains('/') {
            return Err(Error::config(
                "prefix",
                format!("expected the start of a file name, got {:?}", self.prefix),
            ));
        }
        self.records.fields()
    }
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// How many rows of `sequence_length` make a file of 256 MiB.
pub fn default_rows_per_file(sequence_length: u64) -> u64 {
    ((256 << 20) / (8 * sequence_length)).max(1)
}

/// Names of the files that a run with these options writes.
pub fn names(config: &PackConfig) -> OutputNames {
    let mut names = OutputNames {
        last: vec![QUARANTINE_NAME.to_owned(), TOKENIZER_PATH.to_owned()],
        ..OutputNames::default()
    };
    if config.exact.is_some() {
        names.folders.push(SCRATCH_FOLDER.to_owned());
    }
    match config.format {
        PackFormat::Megatron => {
            for name in pair_names(config) {
                names.last.extend([".bin", ".idx"].map(|suffix| format!("{name}{suffix}")));
                names.scratch.push(format!("{name}{LENGTHS_SUFFIX}"));
            }
        }
        PackFormat::Hdf5 => {
            let (before, after) = (format!("{}-", config.prefix), ".hdf5".to_owned());
            names.numbered.push(NumberedName { before, after });
        }
    }
    names
}

/// Names of all pairs, without suffix; the last one is of token types, where records have prompts.
pub fn pair_names(config: &PackConfig) -> Vec<String> {
    let of = |field: &String, what| format!("{}_{field}_{what}", config.prefix);
    let what = if config.split_sentences { "sentence" } else { "document" };
    let mut names: Vec<String> = config.records.text_field.iter().map(|field| of(field, what)).collect();
    if config.records.record != RecordKind::Text {
        names.extend(config.records.text_field.iter().map(|field| of(field, "token_types")));
    }
    names
}
