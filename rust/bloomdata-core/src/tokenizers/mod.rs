//! Text becomes token ids: one trait, and the backends behind it.
//!
//! - [`batch`]: many texts at once.
//! - `byte_alphabet`: the letter that stands for each byte in names of tokens.
//! - `byte_lengths`, `offsets`: where in a text each token ends, by lengths alone or along the tokens' bytes.
//! - [`bytes`]: one id per byte, built in, for tests and for measuring the rest of the pipeline.
//! - [`bpe`]: byte pair encoding of the families that we do ourselves, many times faster.
//! - `memory`: large pages, and memory that is asked for early.
//! - [`reference`]: the `tokenizers` crate, exact for every `tokenizer.json`.
//! - `source`: the file that both of these read.
//! - [`spare`]: memory of ids that is used again.
//! - [`special`]: which ids end and pad a document.
//! - [`training`]: a vocabulary from texts.

pub mod batch;
pub mod bpe;
mod byte_alphabet;
mod byte_lengths;
pub mod bytes;
mod memory;
mod offsets;
pub mod reference;
mod source;
pub mod spare;
pub mod special;
pub mod training;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use special::SpecialIds;

/// The highest id that a tokenizer may have: ids are signed in the files of others.
const MAX_ID: u64 = i32::MAX as u64;

/// Turns text into ids. Implementations are shared by all threads.
pub trait Tokenizer: Send + Sync {
    /// One more than the highest id.
    fn vocab_size(&self) -> u64;

    /// Ids that mark documents.
    ///
    /// # Errors
    /// The tokenizer's files do not say which; never after [`TokenizerOptions::build`].
    fn special(&self) -> Result<SpecialIds>;

    /// Name of an id in the vocabulary.
    fn token(&self, id: u32) -> Option<String>;

    /// Appends the ids of `text`, with what the tokenizer itself puts around texts.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()>;

    /// The same without what the tokenizer puts around texts.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode_bare(&self, text: &str, ids: &mut Vec<u32>) -> Result<()>;

    /// As [`Tokenizer::encode_bare`], and appends where in `text` each id ends, in bytes. Never decreasing; ids that
    /// stand for parts of one character may end together.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode_ends(&self, _text: &str, _ids: &mut Vec<u32>, _ends: &mut Vec<usize>) -> Result<()> {
        Err(Error::config("tokenizer", format!("{} cannot tell where tokens end", self.backend())))
    }

    /// The thread encodes no more: what it remembers is for the next. Else that gets it once the system has cleaned up
    /// behind the thread, which may be after the next has begun, with nothing.
    fn leave(&self) {}

    /// Names of the tokens that were added to the vocabulary and are found whole in texts.
    fn added_tokens(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the tokenizer itself ends every text with the end-of-document token.
    fn adds_eos(&self) -> bool;

    /// Appends the ids of `text`, without the end token that the tokenizer adds: whoever ends documents must not end
    /// them twice.
    ///
    /// # Errors
    /// What the backend reports.
    fn encode_open(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let before = ids.len();
        self.encode(text, ids)?;
        if self.adds_eos() && ids.len() > before && ids.last() == Some(&self.special()?.eos) {
            ids.pop();
        }
        Ok(())
    }

    /// Text of ids; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// An id outside the vocabulary.
    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String>;

    /// Which code runs: `bytes`, `byte-level BPE`, `byte-fallback BPE`, or `tokenizers 0.23`.
    fn backend(&self) -> &'static str;

    /// Why no faster backend runs; nothing when one does.
    fn backend_reason(&self) -> Option<&str> {
        None
    }

    /// BLAKE3 of the definition: equal fingerprints mean equal ids.
    fn fingerprint(&self) -> &str;

    /// The definition, as the `tokenizer.json` that can be kept beside the data; none for built-in ones.
    fn definition(&self) -> Option<&[u8]>;
}

/// Leaves a tokenizer when dropped: the state of a thread that encodes.
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
    /// The token that ends a document; found in the tokenizer's own files when not given.
    pub eos_token: Option<String>,
    /// The token that pads; else the tokenizer's own, else the end-of-document token.
    pub pad_token: Option<String>,
    /// Whether the post-processor's tokens (a leading `<s>`, …) are added, as `transformers` does by default.
    pub add_special_tokens: bool,
    /// Tokens to add to the vocabulary, each found whole in texts.
    pub special_tokens: Vec<String>,
}

impl TokenizerOptions {
    /// Loads the tokenizer for documents, which need an end.
    ///
    /// # Errors
    /// A file that cannot be read or used, or special tokens that cannot be determined.
    pub fn build(&self) -> Result<Box<dyn Tokenizer>> {
        let tokenizer = self.open()?;
        tokenizer.special()?;
        Ok(tokenizer)
    }

    /// Loads the tokenizer; its special tokens may stay unknown.
    ///
    /// # Errors
    /// A file that cannot be read or used, or a special token that it does not have.
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
            return Err(Error::config("tokenizer", format!("{} does not exist; {expected}", file.display())));
        }
        let source = Arc::new(source::Source::read(&file, self)?);
        Ok(match bpe::BpeTokenizer::new(&source) {
            Ok(ours) => Box::new(ours),
            Err(reason) => Box::new(reference::ReferenceTokenizer::new(source, reason)?),
        })
    }
}
