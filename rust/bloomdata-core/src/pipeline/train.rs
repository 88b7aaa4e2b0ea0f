//! A tokenizer's vocabulary from the texts of the inputs.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::manifest::{MANIFEST_NAME, Manifest};
use super::folder::run::{CustomReader, RunOptions, RunResult};
use super::lengths::{Counts, lengths_by};
use super::pack_options::PackConfig;
use super::tally::{Tally, read_counts, word_files};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::tokenizers::training::counter::PreTokenCounter;
use crate::tokenizers::training::trainer::{TrainOptions, train};
use crate::tokenizers::training::word_file::{Words, add_words};

/// What to train.
#[derive(Debug, Deserialize)]
pub struct TrainConfig {
    /// How records become texts; what it says of tokens does not count.
    pub texts: PackConfig,
    /// A `tokenizer.json` whose normalizer and pre-tokenizer cut words.
    pub definition: Value,
    /// The vocabulary's limits.
    pub options: TrainOptions,
}

/// A vocabulary, and what it was made from.
#[derive(Debug, Serialize)]
pub struct Vocabulary {
    /// Tokens by id.
    pub tokens: Vec<String>,
    /// Ids of left and right, in order.
    pub merges: Vec<(u32, u32)>,
    /// Different words.
    pub distinct_words: u64,
    /// All words.
    pub num_words: u64,
    /// What each input held; its tokens are not counted.
    pub inputs: Vec<Counts>,
}

/// Counts the words of all inputs, then merges.
///
/// # Errors
/// As [`lengths`](super::lengths::lengths), and a pipeline that is not done here.
pub fn train_tokenizer(
    config: &TrainConfig,
    num_threads: usize,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<Vocabulary> {
    let counter = PreTokenCounter::new(&config.definition)?;
    let lengths = lengths_by(&config.texts, &counter, num_threads, inputs, custom, progress)?;
    vocabulary(config, counter.take_counts(), lengths.inputs, progress)
}

/// Counts the words of a part of the inputs; `facts` are all options, for the plan.
///
/// # Errors
/// As [`Tally::run`], and a pipeline that is not done here.
pub fn count_words(
    config: &TrainConfig,
    facts: Value,
    options: &RunOptions,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    let counter = PreTokenCounter::new(&config.definition)?;
    let texts = &config.texts;
    let tally = Tally { verb: "train_tokenizer", facts, texts, tokenizer: &counter, counter: Some(&counter) };
    tally.run(options, inputs, custom, progress)
}

/// Adds up the words of all parts in a folder, one after the other, then merges.
///
/// # Errors
/// A folder that is not finished; files of words that are damaged; the system's reason.
pub fn train_on_parts(root: &Path, config: &TrainConfig, progress: &Progress) -> Result<Vocabulary> {
    let manifest = Manifest::read(root)?.ok_or_else(|| {
        Error::config("folder", format!("expected a {MANIFEST_NAME} in {}", root.display()))
    })?;
    let mut words = Words::default();
    for output in word_files(&manifest.outputs) {
        add_words(&root.join(&output.path), &output.hash, &mut words, progress)?;
    }
    vocabulary(config, words.into_iter().collect(), read_counts(root, &manifest.outputs)?, progress)
}

fn vocabulary(
    config: &TrainConfig,
    words: Vec<(Box<[u8]>, u64)>,
    inputs: Vec<Counts>,
    progress: &Progress,
) -> Result<Vocabulary> {
    let has_bytes = PreTokenCounter::new(&config.definition)?.has_bytes();
    let (distinct_words, num_words) = (words.len() as u64, words.iter().map(|(_, count)| count).sum());
    let trained = train(words, has_bytes, &config.options, progress)?;
    Ok(Vocabulary { tokens: trained.tokens, merges: trained.merges, distinct_words, num_words, inputs })
}
