//! Byte pair encoding without a regex engine: byte-level (BLOOM, GPT-2, Llama-3, Qwen2 and all that split text the same
//! way), and SentencePiece-like with bytes to fall back to (Llama-2, Mistral).
//!
//! ```text
//! text ─added tokens, normalizer→ segments ─splitter→ pre-tokens ─cache, else merges→ ids
//! ```
//!
//! - [`definition`]: what of a `tokenizer.json` it can do exactly; anything else is left to the `tokenizers` crate.
//! - [`added`], [`normalize`]: what happens before pre-tokens are cut.
//! - [`metaspace`], [`pieces`]: pre-tokens and model of SentencePiece-like tokenizers.
//! - [`pre_tokenizer`], [`pre_tokenizers`]: pre-tokenizers in a row.
//! - [`split`]: pre-tokens, as the pattern of a family cuts them.
//! - [`pattern`], [`char_sets`]: the same for patterns of sets of characters.
//! - [`char_classes`], `char_class_ranges`: letters, numbers and spaces, as the crate's regex engine has them.
//! - [`post_processor`]: what is put in front of texts and behind them.
//! - [`vocabulary`]: names of tokens, and text of ids.
//! - [`file`], [`model`]: a pre-token becomes ids.
//! - [`new_pre_tokens`]: pre-tokens that were not seen before.
//! - [`cache`], [`table`]: those that were; [`scratch`]: which threads keep, and hand on.
//! - [`merges`], [`pairs`]: a pre-token's bytes become ids, one merge at a time.
//! - [`interleaved`]: several pre-tokens at the same time.
//! - [`starts`]: merges that may be done first, all at once.
//! - [`whole_word_tokens`]: pre-tokens that are one token.
//! - [`split_points`]: where pre-tokens may be cut, and which characters may be merged first.

mod added;
mod cache;
mod char_class_ranges;
mod char_classes;
mod char_sets;
mod definition;
mod file;
mod interleaved;
mod merges;
mod metaspace;
mod model;
mod new_pre_tokens;
mod normalize;
mod pairs;
mod pattern;
mod pieces;
mod post_processor;
mod pre_tokenizer;
mod pre_tokenizers;
mod ranks;
mod scratch;
mod split;
mod split_points;
mod starts;
mod table;
#[cfg(test)]
mod tests;
mod vocabulary;
mod whole_word_tokens;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use super::byte_lengths::ByteLengths;
use super::offsets::{Spelling, Surfaces};
use super::reference::ReferenceTokenizer;
use super::source::Source;
use super::{MAX_ID, SpecialIds, Tokenizer};
use crate::error::{Error, Result};
use added::Finder;
use definition::Definition;
use model::{BATCH, Memory, Model};
pub(super) use normalize::Normalizer;
pub(super) use pre_tokenizer::PreTokenizer;
use scratch::{Pool, Scratch};
use vocabulary::Vocabulary;

/// A BPE tokenizer.
#[derive(Debug)]
pub struct BpeTokenizer {
    source: Arc<Source>,
    /// The crate's own, once a text asks for what only it can do or say.
    reference: OnceLock<std::result::Result<Box<ReferenceTokenizer>, String>>,
    pool: Arc<Pool>,
    /// The bytes of tokens, once somebody asks where tokens end.
    surfaces: OnceLock<Surfaces>,
    lengths: Option<ByteLengths>,
    vocabulary: Vocabulary,
    /// Or why they are not known.
    special: std::result::Result<SpecialIds, String>,
    model: Model,
    normalizer: Normalizer,
    pre_tokenizer: PreTokenizer,
    /// Added tokens of raw text, and those of normalized text.
    added: [Option<Finder>; 2],
    prefix: Vec<u32>,
    suffix: Vec<u32>,
}

impl BpeTokenizer {
    /// Takes a definition that can be done exactly here.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn new(source: &Arc<Source>) -> std::result::Result<Self, String> {
        // The crate panics on some parts of broken files.
        let definition = catch_unwind(|| Definition::parse(&source.definition))
            .map_err(|_| "the tokenizers crate panicked on a part of it")??;
        let Definition { vocabulary, model, normalizer, pre_tokenizer, added, affixes, lengths } = definition;
        if vocabulary.size() > MAX_ID + 1 {
            return Err("its ids do not fit 31 bits".into());
        }
        // The crate comes to the same error, and says so.
        let special = source.special(|token| vocabulary.id(token)).map_err(|error| error.to_string())?;
        let (prefix, suffix) = if source.adds_special_tokens() { affixes } else { Default::default() };
        Ok(Self {
            source: Arc::clone(source),
            reference: OnceLock::new(),
            pool: Arc::default(),
            surfaces: OnceLock::new(),
            lengths,
            vocabulary,
            special,
            model,
            normalizer,
            pre_tokenizer,
            added,
            prefix,
            suffix,
        })
    }

    /// The crate's own tokenizer.
    fn reference(&self) -> Result<&ReferenceTokenizer> {
        let load = || {
            let loaded = ReferenceTokenizer::new(Arc::clone(&self.source), String::new());
            loaded.map(Box::new).map_err(|error| error.to_string())
        };
        let loaded = self.reference.get_or_init(load).as_ref();
        loaded.map(AsRef::as_ref).map_err(|reason| Error::config("tokenizer", reason.clone()))
    }

    /// Encodes a text without what is put around it.
    fn encode_inside(
        &self,
        text: &str,
        memory: &mut Memory,
        ids: &mut Vec<u32>,
    ) -> std::result::Result<(), String> {
        let mut result = Ok(());
        let [raw, normalized] = &self.added;
        split(raw.as_ref(), text, |start, end, token| {
            if let Some(id) = token {
                return ids.push(id);
            }
            let is_first = start == 0;
            match self.normalizer.apply(&text[start..end]) {
                Err(reason) => result = Err(reason),
                Ok(text) => split(normalized.as_ref(), &text, |start, end, token| match token {
                    Some(id) => ids.push(id),
                    None => self.encode_pre_tokens(&text[start..end], is_first && start == 0, memory, ids),
                }),
            }
        });
        result
    }

    /// Encodes text between added tokens.
    fn encode_pre_tokens(&self, text: &str, is_first: bool, memory: &mut Memory, ids: &mut Vec<u32>) {
        let text = self.pre_tokenizer.apply(text, is_first);
        let bytes = text.as_bytes();
        let (mut ends, mut count, mut from) = ([0; BATCH], 0, 0);
        let visit = |_, end| {
            ends[count] = end;
            count += 1;
            if count == BATCH {
                self.model.encode(bytes, from, &ends, memory, ids);
                (count, from) = (0, end);
            }
        };
        self.pre_tokenizer.split(&text, |text, at, is_any| self.model.may_cut(text, at, is_any), visit);
        self.model.encode(bytes, from, &ends[..count], memory, ids);
    }

    fn surfaces(&self) -> &Surfaces {
        self.surfaces.get_or_init(|| {
            let spelling = match self.pre_tokenizer {
                PreTokenizer::Sequence(_) => Spelling::ByteLevel,
                PreTokenizer::Metaspace(_) => Spelling::Metaspace,
            };
            let added: Vec<u32> = self.vocabulary.added().map(|(id, _)| id).collect();
            Surfaces::new(self, spelling, &added)
        })
    }

    /// The last id that is put around a text.
    fn last_affix(&self) -> Option<u32> {
        self.suffix.last().or(self.prefix.last()).copied()
    }

    fn may_fail(&self) -> bool {
        matches!(&self.pre_tokenizer, PreTokenizer::Sequence(sequence) if sequence.may_fail())
    }
}

/// Whether the processor can do all that functions with `avx2` in their name are compiled for.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    use std::arch::is_x86_feature_detected;
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
}

/// Pieces of a text, at the tokens that a finder finds.
fn split(finder: Option<&Finder>, text: &str, mut visit: impl FnMut(usize, usize, Option<u32>)) {
    match finder {
        Some(finder) => finder.split(text, visit),
        None if text.is_empty() => {}
        None => visit(0, text.len(), None),
    }
}

impl Tokenizer for BpeTokenizer {
    fn vocab_size(&self) -> u64 {
        self.vocabulary.size()
    }

    fn special(&self) -> Result<SpecialIds> {
        self.special.clone().map_err(|reason| Error::config("eos_token", reason))
    }

    fn token(&self, id: u32) -> Option<String> {
        self.vocabulary.name(id).map(str::to_owned)
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let before = ids.len();
        ids.extend_from_slice(&self.prefix);
        if self.encode_all(text, ids) {
            ids.extend_from_slice(&self.suffix);
            return Ok(());
        }
        // The crate's own error says why.
        ids.truncate(before);
        self.reference()?.encode(text, ids)
    }

    fn encode_bare(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let before = ids.len();
        if self.encode_all(text, ids) {
            return Ok(());
        }
        ids.truncate(before);
        self.reference()?.encode_bare(text, ids)
    }

    fn encode_ends(&self, text: &str, ids: &mut Vec<u32>, ends: &mut Vec<usize>) -> Result<()> {
        let (first, first_end) = (ids.len(), ends.len());
        self.encode_bare(text, ids)?;
        if let Some(lengths) = &self.lengths
            && self.normalizer.leaves(text)
        {
            if lengths.ends(&ids[first..], text.len(), ends) {
                return Ok(());
            }
            ends.truncate(first_end);
        }
        if self.surfaces().walk(text, &ids[first..], ends) {
            return Ok(());
        }
        // A normalizer changed the text, or an added token took white space with it.
        ids.truncate(first);
        ends.truncate(first_end);
        self.reference()?.encode_ends(text, ids, ends)
    }

    fn leave(&self) {
        Scratch::leave();
    }

    fn added_tokens(&self) -> Vec<String> {
        self.vocabulary.added().map(|(_, token)| token.content).collect()
    }

    fn adds_eos(&self) -> bool {
        self.special.as_ref().is_ok_and(|special| self.last_affix() == Some(special.eos))
    }

    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        if let Some(&id) = ids.iter().find(|&&id| u64::from(id) >= self.vocab_size()) {
            return Err(Error::mismatch("token id", format!("below {}", self.vocab_size()), id));
        }
        let decoded = self.vocabulary.decode(ids, skip_special_tokens);
        decoded.map_err(|reason| Error::config("tokenizer", reason))
    }

    fn backend(&self) -> &'static str {
        match self.pre_tokenizer {
            PreTokenizer::Sequence(_) => "byte-level BPE",
            PreTokenizer::Metaspace(_) => "byte-fallback BPE",
        }
    }

    fn fingerprint(&self) -> &str {
        &self.source.fingerprint
    }

    fn definition(&self) -> Option<&[u8]> {
        Some(&self.source.definition)
    }
}

impl BpeTokenizer {
    /// Appends the ids of a text alone; whether it could be done.
    fn encode_all(&self, text: &str, ids: &mut Vec<u32>) -> bool {
        if !self.may_fail() {
            return self.encode_on_thread(text, ids);
        }
        // The regex engine may give up.
        catch_unwind(AssertUnwindSafe(|| self.encode_on_thread(text, ids))).unwrap_or(false)
    }

    fn encode_on_thread(&self, text: &str, ids: &mut Vec<u32>) -> bool {
        Scratch::with(&self.pool, |memory| self.encode_inside(text, memory, ids).is_ok())
    }
}
