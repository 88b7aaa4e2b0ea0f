//! Tokens of each article of the inputs, and of each input, without writing anything: what plans and counts need.

use serde::{Deserialize, Serialize};

use super::articles::packed::{Articles, Packed};
use super::feed::{Item, Reading};
use super::folder::books::OnBadRecord;
use super::folder::outcome::{Fate, Outcome};
use super::folder::run::CustomReader;
use super::pack_options::PackConfig;
use crate::document::RecordPlace;
use crate::error::{Error, Result};
use crate::ordered::Results;
use crate::progress::Progress;
use crate::sources::input::Input;
use crate::sources::inputs::InputList;
use crate::token::TokenDtype;
use crate::tokenizers::Tokenizer;

/// Tokens of all articles in order, at 4 bytes each, and what each input holds.
#[derive(Debug, Default)]
pub struct Lengths {
    /// Tokens of each article.
    pub articles: Vec<u32>,
    /// One for each input.
    pub inputs: Vec<Counts>,
}

/// What an input holds.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Counts {
    /// The file.
    pub path: String,
    /// The index of the argument that it came from.
    pub argument: usize,
    /// Records that were kept.
    pub documents: u64,
    /// Bytes of their text.
    pub text_bytes: u64,
    /// Their tokens, with those that end documents.
    pub tokens: u64,
    /// Records left out that are fine, as empty ones.
    pub dropped: u64,
    /// Records that cannot become documents.
    pub bad: u64,
}

impl Counts {
    /// Nothing yet, for each input.
    pub(super) fn of_inputs(inputs: &InputList) -> Vec<Self> {
        let empty = |(at, input): (usize, &Input)| Self {
            path: input.path.display().to_string(),
            argument: inputs.argument(at),
            ..Self::default()
        };
        inputs.inputs.iter().enumerate().map(empty).collect()
    }

    /// Counts what the pool made of a block.
    pub(super) fn take(&mut self, packed: &Packed) {
        for outcome in &packed.outcomes {
            match &outcome.fate {
                Fate::Kept { text_bytes, .. } => {
                    self.documents += outcome.records;
                    self.text_bytes += text_bytes;
                }
                Fate::Dropped(_) => self.dropped += outcome.records,
                Fate::Bad(..) | Fate::Node { .. } => self.bad += outcome.records,
            }
        }
        let lengths = packed.streams.iter().flat_map(|stream| &stream.lengths);
        self.tokens += lengths.copied().map(u64::from).sum::<u64>();
    }

    /// Adds what a part of the input holds.
    pub(super) fn add(&mut self, part: &Self) {
        self.documents += part.documents;
        self.text_bytes += part.text_bytes;
        self.tokens += part.tokens;
        self.dropped += part.dropped;
        self.bad += part.bad;
    }
}

/// Tokenizes all inputs.
///
/// # Errors
/// As [`pack`](super::pack::pack), but for outputs. Bad records are left out when they would be quarantined.
pub fn lengths(
    config: &PackConfig,
    num_threads: usize,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<Lengths> {
    refuse_exact(config)?;
    let tokenizer = config.tokenizer.build()?;
    lengths_by(config, tokenizer.as_ref(), num_threads, inputs, custom, progress)
}

/// Refuses to look for documents that repeat others, which would need all of them.
///
/// # Errors
/// It is asked for.
pub(super) fn refuse_exact(config: &PackConfig) -> Result<()> {
    if config.exact.is_none() {
        return Ok(());
    }
    let reason =
        "expected nothing or \"none\": only `pack` itself drops documents that repeat an earlier one";
    Err(Error::config("exact", reason))
}

/// The same with a tokenizer that is there already.
///
/// # Errors
/// As [`lengths`].
pub fn lengths_by(
    config: &PackConfig,
    tokenizer: &dyn Tokenizer,
    num_threads: usize,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<Lengths> {
    let fields = config.records.fields()?;
    let formats = inputs.inputs.iter().map(|input| input.format).collect();
    let worker = config.worker(tokenizer, &fields, formats, TokenDtype::Int32)?;
    let reading = Reading { inputs, custom, num_threads, progress, first_input: 0 };
    reading.run(
        Articles::default,
        |articles, block| worker.pack(articles, &block),
        |results| gather(results, config.on_bad_record, inputs, progress),
    )
}

fn gather(
    results: Results<Item<Packed>>,
    on_bad_record: OnBadRecord,
    inputs: &InputList,
    progress: &Progress,
) -> Result<Lengths> {
    let counts = Counts::of_inputs(inputs);
    let (mut lengths, mut line) = (Lengths { articles: Vec::new(), inputs: counts }, 0);
    for item in results {
        progress.check()?;
        let Item::Block(packed) = item? else {
            line = 0;
            continue;
        };
        Progress::add(&progress.documents, Outcome::count(&packed.outcomes));
        for outcome in &packed.outcomes {
            line += outcome.records;
            if let (Fate::Bad(reason, offset, _), OnBadRecord::Raise) = (&outcome.fate, on_bad_record) {
                let Input { path, format, .. } = &inputs.inputs[packed.file];
                let reason = reason.told(RecordPlace { offset: *offset, is_line: format.is_lines() });
                return Err(Error::BadRecord {
                    path: path.clone(),
                    line: Some(line),
                    offset: *offset,
                    reason,
                });
            }
        }
        lengths.inputs[packed.file].take(&packed);
        lengths.articles.extend(packed.streams.iter().flat_map(|stream| &stream.lengths));
    }
    Ok(lengths)
}
