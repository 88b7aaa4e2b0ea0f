//! The `tokenizers` crate: exact for every `tokenizer.json`, since it is what `transformers` runs.

use std::path::Path;

use super::{SpecialIds, Tokenizer, TokenizerOptions, special};
use crate::error::{Error, Result};
use crate::hash::hash_bytes;

/// A `tokenizer.json` run by the `tokenizers` crate.
#[derive(Debug)]
pub struct ReferenceTokenizer {
    inner: tokenizers::Tokenizer,
    definition: Vec<u8>,
    fingerprint: String,
    special: SpecialIds,
    vocab_size: u64,
    add_special_tokens: bool,
}

impl ReferenceTokenizer {
    /// Loads `file`. Truncation and padding that the file asks for are switched off: they would lose text.
    ///
    /// # Errors
    /// A file that is not a tokenizer, or special tokens that cannot be determined.
    pub fn open(file: &Path, options: &TokenizerOptions) -> Result<Self> {
        let definition = std::fs::read(file).map_err(Error::io(file))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&definition).map_err(|error| {
            Error::corrupt(file, 0, format!("not a tokenizer that can be loaded: {error}"))
        })?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| {
            Error::corrupt(file, 0, format!("truncation cannot be switched off: {error}"))
        })?;
        let special =
            special::resolve(file, options.eos_token.as_deref(), options.pad_token.as_deref(), |token| {
                inner.token_to_id(token)
            })?;
        let highest = inner.get_vocab(true).into_values().max().map_or(0, u64::from);
        let mut tokenizer = Self {
            fingerprint: hash_bytes(&definition),
            special,
            vocab_size: highest + 1,
            add_special_tokens: options.add_special_tokens,
            inner,
            definition,
        };
        tokenizer.add_special_tokens &= tokenizer.adds_tokens()?;
        Ok(tokenizer)
    }

    /// Whether the post-processor adds anything; most do not, and the plain path is faster.
    fn adds_tokens(&self) -> Result<bool> {
        let encoding = self.inner.encode_fast("", true).map_err(|error| self.error(&error))?;
        Ok(!encoding.get_ids().is_empty())
    }

    fn error(&self, error: &dyn std::fmt::Display) -> Error {
        Error::Internal(format!("{}: {error}", self.backend()))
    }
}

impl Tokenizer for ReferenceTokenizer {
    fn vocab_size(&self) -> u64 {
        self.vocab_size
    }

    fn special(&self) -> SpecialIds {
        self.special
    }

    fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let encoding =
            self.inner.encode_fast(text, self.add_special_tokens).map_err(|error| self.error(&error))?;
        let found = encoding.get_ids();
        // The caller ends every document itself; a template that does so too must not end it twice.
        let doubled = self.add_special_tokens && found.last() == Some(&self.special.eos);
        ids.extend_from_slice(&found[..found.len() - usize::from(doubled)]);
        Ok(())
    }

    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        if let Some(&id) = ids.iter().find(|&&id| u64::from(id) >= self.vocab_size) {
            return Err(Error::mismatch("token id", format!("below {}", self.vocab_size), id));
        }
        self.inner.decode(ids, skip_special_tokens).map_err(|error| self.error(&error))
    }

    fn backend(&self) -> &'static str {
        "tokenizers 0.23"
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn definition(&self) -> Option<&[u8]> {
        Some(&self.definition)
    }
}
