//! The `tokenizers` crate: exact for every `tokenizer.json`, as it is what `transformers` runs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use super::source::Source;
use super::{MAX_ID, SpecialIds, Tokenizer};
use crate::error::{Error, Result};

/// A `tokenizer.json` run by the `tokenizers` crate.
#[derive(Debug)]
pub struct ReferenceTokenizer {
    inner: tokenizers::Tokenizer,
    /// The same, to which special tokens in texts are text; made when it is needed.
    quoting: OnceLock<tokenizers::Tokenizer>,
    source: Arc<Source>,
    /// The error message if they are unknown.
    special: std::result::Result<SpecialIds, String>,
    vocab_size: u64,
    add_special_tokens: bool,
    /// Whether the post-processor ends every text with the end-of-document token.
    adds_eos: bool,
    /// Why no faster backend could be used.
    reason: String,
}

impl ReferenceTokenizer {
    /// Loads a definition; `reason` says why no faster backend could be used.
    ///
    /// # Errors
    /// A file that is not a tokenizer, or a special token that is not in the vocabulary.
    pub(super) fn new(source: Arc<Source>, reason: String) -> Result<Self> {
        let inner = source.load()?;
        let special = source.special(|token| inner.token_to_id(token))?;
        let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| u64::from(id) + 1);
        if vocab_size > MAX_ID + 1 {
            return Err(source.refused(&format!("token id {} does not fit 31 bits", vocab_size - 1)));
        }
        let mut tokenizer = Self {
            special,
            vocab_size,
            add_special_tokens: source.adds_special_tokens(),
            adds_eos: false,
            reason,
            inner,
            quoting: OnceLock::new(),
            source,
        };
        if tokenizer.add_special_tokens {
            // The ids that the post-processor adds to the empty text.
            let added = tokenizer.run(|inner| inner.encode_fast("", true));
            let added = added.map_err(|error| tokenizer.source.refused(&error))?;
            let last = added.get_ids().last();
            tokenizer.adds_eos = tokenizer.special.as_ref().is_ok_and(|special| last == Some(&special.eos));
        }
        Ok(tokenizer)
    }

    /// Calls the crate and reports its errors and panics as errors of the tokenizer.
    fn run<T>(&self, call: impl FnOnce(&tokenizers::Tokenizer) -> tokenizers::Result<T>) -> Result<T> {
        let refused =
            |reason: &str| Error::config("tokenizer", format!("{} failed: {reason}", self.backend()));
        catch_unwind(AssertUnwindSafe(|| call(&self.inner)))
            .map_err(|_| refused("it panicked"))?
            .map_err(|error| refused(&error.to_string()))
    }
}

impl Tokenizer for ReferenceTokenizer {
    fn vocab_size(&self) -> u64 {
        self.vocab_size
    }

    fn special(&self) -> Result<SpecialIds> {
        self.special.clone().map_err(|reason| Error::config("eos_token", reason))
    }

    fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let encoding = self.run(|inner| inner.encode_fast(text, self.add_special_tokens))?;
        let found = encoding.get_ids();
        ids.extend_from_slice(found);
        Ok(())
    }

    fn encode_bare(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        ids.extend_from_slice(self.run(|inner| inner.encode_fast(text, false))?.get_ids());
        Ok(())
    }

    fn encode_ends(&self, text: &str, ids: &mut Vec<u32>, ends: &mut Vec<usize>) -> Result<()> {
        let encoding = self.run(|inner| inner.encode(text, false))?;
        ids.extend_from_slice(encoding.get_ids());
        let mut last = 0;
        ends.extend(encoding.get_offsets().iter().map(|&(_, end)| {
            last = end.clamp(last, text.len());
            last
        }));
        Ok(())
    }

    fn encode_quoted(&self, text: &str, quoted: &[Range<usize>], ids: &mut Vec<u32>) -> Result<bool> {
        if quoted.is_empty() {
            return self.encode(text, ids).map(|()| true);
        }
        // The crate knows all special tokens as text, or none.
        if self.source.adds_tokens() {
            return Ok(false);
        }
        let quoting = self.quoting.get_or_init(|| {
            let mut quoting = self.inner.clone();
            quoting.set_encode_special_tokens(true);
            quoting
        });
        ids.extend_from_slice(self.run(|_| quoting.encode_fast(text, self.add_special_tokens))?.get_ids());
        Ok(true)
    }

    fn encode_ends_quoted(
        &self,
        text: &str,
        quoted: &[Range<usize>],
        ids: &mut Vec<u32>,
        ends: &mut Vec<usize>,
    ) -> Result<bool> {
        if quoted.is_empty() {
            return self.encode_ends(text, ids, ends).map(|()| true);
        }
        Ok(false)
    }

    fn special_tokens(&self) -> Vec<String> {
        self.source.own(self.inner.get_added_tokens_decoder().values())
    }

    fn added_tokens(&self) -> Vec<String> {
        let tokens: BTreeMap<_, _> = self.inner.get_added_tokens_decoder().into_iter().collect();
        tokens.into_values().map(|token| token.content).collect()
    }

    fn adds_eos(&self) -> bool {
        self.adds_eos
    }

    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        if let Some(&id) = ids.iter().find(|&&id| u64::from(id) >= self.vocab_size) {
            return Err(Error::mismatch("token id", format!("below {}", self.vocab_size), id));
        }
        self.run(|inner| inner.decode(ids, skip_special_tokens))
    }

    fn backend(&self) -> &'static str {
        "tokenizers 0.23"
    }

    fn backend_reason(&self) -> Option<&str> {
        Some(&self.reason)
    }

    fn fingerprint(&self) -> &str {
        &self.source.fingerprint
    }

    fn definition(&self) -> Option<&[u8]> {
        Some(&self.source.definition)
    }
}
