//! Text to token ids: one trait and its backends.
//!
//! - [`batch`]: encodes many texts at once.
//! - `byte_alphabet`: GPT-2's character for each byte, as in the names of byte-level tokens.
//! - `byte_lengths`: where each token ends in a text, from token lengths alone.
//! - [`bytes`]: the built-in tokenizer with one id per byte, for tests and to measure the rest of the
//!   pipeline.
//! - [`bpe`]: our own byte pair encoding, many times faster, for the common families.
//! - `memory`: huge pages and prefetches.
//! - `offsets`: where each token ends in a text, by walking along the bytes of the tokens.
//! - [`reference`]: the `tokenizers` crate, exact for every `tokenizer.json`.
//! - `other_files`: what is taken for a `tokenizer.json`, and the way to one.
//! - `source`: the `tokenizer.json`, as both `bpe` and `reference` read it.
//! - [`spare`]: lists of ids whose memory is reused.
//! - [`special`]: which ids end and pad a document.
//! - [`training`]: trains a vocabulary.

pub mod batch;
pub mod bpe;
mod byte_alphabet;
mod byte_lengths;
pub mod bytes;
mod memory;
mod offsets;
mod other_files;
pub mod reference;
mod source;
pub mod spare;
pub mod special;
pub mod training;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use special::SpecialIds;

/// The highest id that a tokenizer may have: other programs read ids as signed 32-bit integers.
const MAX_ID: u64 = i32::MAX as u64;

/// Turns text into ids. Threads share one instance.
pub trait Tokenizer: Send + Sync {
    /// One more than the highest id.
    fn vocab_size(&self) -> u64;

    /// The ids that mark documents.
    ///
    /// # Errors
    /// The tokenizer's files do not name them; never after [`TokenizerOptions::build`].
    fn special(&self) -> Result<SpecialIds>;

    /// The name of an id in the vocabulary.
    fn token(&self, id: u32) -> Option<String>;

    /// Appends the ids of `text`, including those that the post-processor adds.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()>;

    /// Appends the ids of `text` without those that the post-processor adds.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode_bare(&self, text: &str, ids: &mut Vec<u32>) -> Result<()>;

    /// As [`Tokenizer::encode_bare`], and appends the byte offset in `text` at which each id ends. Offsets
    /// never decrease; ids that stand for parts of one character may end at the same offset.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode_ends(&self, _text: &str, _ids: &mut Vec<u32>, _ends: &mut Vec<usize>) -> Result<()> {
        Err(Error::config("tokenizer", format!("{} cannot tell where tokens end", self.backend())))
    }

    /// Releases the cache of this thread for reuse by another one. Without this call it is released by the
    /// thread-local destructor, which may run only after the next thread has started with an empty cache.
    fn leave(&self) {}

    /// As [`Tokenizer::encode`], but special tokens that overlap one of these parts of the text, in order, are text.
    /// Returns whether this tokenizer can do so; if not, nothing is appended.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode_quoted(&self, text: &str, _quoted: &[Range<usize>], ids: &mut Vec<u32>) -> Result<bool> {
        self.encode(text, ids).map(|()| true)
    }

    /// The same as [`Tokenizer::encode_ends`] is to [`Tokenizer::encode_bare`].
    ///
    /// # Errors
    /// What the backend reports.
    fn encode_ends_quoted(
        &self,
        text: &str,
        _quoted: &[Range<usize>],
        ids: &mut Vec<u32>,
        ends: &mut Vec<usize>,
    ) -> Result<bool> {
        self.encode_ends(text, ids, ends).map(|()| true)
    }

    /// The special tokens of the definition, which texts may hold; without those that the options added.
    fn special_tokens(&self) -> Vec<String> {
        Vec::new()
    }

    /// The added tokens, which are matched as a whole in texts.
    fn added_tokens(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the post-processor ends every text with the end-of-document token.
    fn adds_eos(&self) -> bool;

    /// Appends the ids of `text` without the end-of-document token that the post-processor adds, for
    /// callers that end documents themselves.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode_open(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let before = ids.len();
        self.encode(text, ids)?;
        self.drop_added_eos(before, ids)
    }

    /// Takes away the end-of-document token that the post-processor added to what is behind `before`.
    ///
    /// # Errors
    /// The end-of-document token is unknown.
    fn drop_added_eos(&self, before: usize, ids: &mut Vec<u32>) -> Result<()> {
        if self.adds_eos() && ids.len() > before && ids.last() == Some(&self.special()?.eos) {
            ids.pop();
        }
        Ok(())
    }

    /// Decodes ids to text; bytes that are not valid UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// An id outside the vocabulary.
    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String>;

    /// Name of the backend: `bytes`, `byte-level BPE`, `byte-fallback BPE`, or `tokenizers 0.23`.
    fn backend(&self) -> &'static str;

    /// Why a faster backend could not be used; `None` if it is used.
    fn backend_reason(&self) -> Option<&str> {
        None
    }

    /// BLAKE3 hash of the definition: equal fingerprints mean equal ids.
    fn fingerprint(&self) -> &str;

    /// The definition as a `tokenizer.json`, to be stored beside the data; `None` for built-in tokenizers.
    fn definition(&self) -> Option<&[u8]>;
}

/// Calls [`Tokenizer::leave`] for this thread when dropped.
pub struct Leaving<'run>(pub &'run dyn Tokenizer);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// How to load a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerOptions {
    /// `bytes`, a `tokenizer.json`, or a folder that holds one.
    pub tokenizer: String,
    /// The token that ends a document; by default the one that the tokenizer's files name.
    pub eos_token: Option<String>,
    /// The padding token; by default the one that the tokenizer's files name, else the end-of-document
    /// token.
    pub pad_token: Option<String>,
    /// Whether to add the tokens of the post-processor, such as a leading `<s>`; `transformers` adds them
    /// by default.
    pub add_special_tokens: bool,
    /// Tokens to add to the vocabulary; each is matched as a whole in texts.
    pub special_tokens: Vec<String>,
}

impl TokenizerOptions {
    /// Loads a tokenizer for documents, which need an end-of-document token.
    ///
    /// # Errors
    /// A file that cannot be read or used, or special tokens that cannot be determined.
    pub fn build(&self) -> Result<Box<dyn Tokenizer>> {
        let tokenizer = self.open()?;
        tokenizer.special()?;
        Ok(tokenizer)
    }

    /// Loads a tokenizer, whose special tokens may be unknown.
    ///
    /// # Errors
    /// A file that cannot be read or used, or a given special token that is not in the vocabulary.
    pub fn open(&self) -> Result<Box<dyn Tokenizer>> {
        if self.tokenizer == "bytes" {
            if self.eos_token.is_some() || self.pad_token.is_some() || !self.special_tokens.is_empty() {
                return Err(Error::config("eos_token", "the \"bytes\" tokenizer has its own special tokens"));
            }
            return Ok(Box::new(bytes::BytesTokenizer::new()));
        }
        let path = Path::new(&self.tokenizer);
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        if !file.exists() {
            let expected = "expected \"bytes\", a tokenizer.json, or a folder that holds one";
            let beside = other_files::beside(&file).map_or(String::new(), |beside| format!("; {beside}"));
            let reason = format!("{} does not exist; {expected}{beside}", file.display());
            return Err(Error::config("tokenizer", reason));
        }
        let source = Arc::new(source::Source::read(&file, self)?);
        Ok(match bpe::BpeTokenizer::new(&source) {
            Ok(ours) => Box::new(ours),
            Err(reason) => Box::new(reference::ReferenceTokenizer::new(source, reason)?),
        })
    }
}
