//! A tokenizer's vocabulary from the texts of the inputs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::run::CustomReader;
use super::lengths::{Counts, lengths_by};
use super::pack_options::PackConfig;
use crate::error::Result;
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::tokenizers::training::counter::PreTokenCounter;
use crate::tokenizers::training::trainer::{TrainOptions, train};

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
    let has_bytes = counter.has_bytes();
    let lengths = lengths_by(&config.texts, &counter, num_threads, inputs, custom, progress)?;
    let words = counter.into_counts();
    let (distinct_words, num_words) = (words.len() as u64, words.iter().map(|(_, count)| count).sum());
    let trained = train(words, has_bytes, &config.options, progress)?;
    Ok(Vocabulary {
        tokens: trained.tokens,
        merges: trained.merges,
        distinct_words,
        num_words,
        inputs: lengths.inputs,
    })
}
