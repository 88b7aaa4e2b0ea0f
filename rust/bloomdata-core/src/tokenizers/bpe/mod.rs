//! Byte pair encoding without a regex engine: byte-level (BLOOM, GPT-2, Llama-3, Qwen2 and others that
//! split text the same way), and SentencePiece-like with byte fallback (Llama-2, Mistral).
//!
//! ```text
//! text ─added tokens, normalizer→ segments ─pre-tokenizer→ pre-tokens ─cache, else merges→ ids
//! ```
//!
//! - [`definition`]: which `tokenizer.json` can be reproduced exactly; all others are left to the
//!   `tokenizers` crate.
//! - [`file`]: the `model` part of a `tokenizer.json`.
//! - [`vocabulary`]: names of ids, and decoding.
//! - [`added`]: added tokens, found before anything else.
//! - [`normalize`]: normalizers, with quick checks.
//! - [`post_processor`]: ids added in front of texts and after them.
//! - [`pre_tokenizer`]: the pre-tokenizer of a definition, which is one of the next two.
//! - [`pre_tokenizers`]: a sequence of pre-tokenizers that ends in bytes.
//! - [`metaspace`]: pre-tokens of SentencePiece-like tokenizers.
//! - [`split`]: the patterns of the common families, without a regex engine.
//! - [`pattern`], [`pattern_parser`]: most other patterns, with [`char_sets`]: the character sets in them.
//! - [`char_classes`], `char_class_ranges`: letters, numbers and white space, as the crate's regex engine
//!   defines them.
//! - [`model`]: pre-tokens to ids, with the cache in front of the merges.
//! - [`pieces`]: the merges of SentencePiece-like models.
//! - [`new_pre_tokens`]: encodes pre-tokens that are not cached.
//! - [`whole_word_tokens`]: looks up pre-tokens that are one token.
//! - [`cache`], [`table`]: ids of pre-tokens seen before.
//! - [`scratch`]: the cache of each thread, and its reuse by other threads.
//! - [`merges`]: merges the bytes of a pre-token, lowest rank first.
//! - [`ranks`], [`pairs`]: the rank of each pair, and the hash table behind it.
//! - [`interleaved`]: merges several pre-tokens at the same time, to hide memory latency.
//! - [`starts`]: merges of two bytes that can be applied first, all at once.
//! - [`split_points`]: where pre-tokens may be split, and which characters may be merged first.

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
mod pattern_parser;
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

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use super::byte_lengths::ByteLengths;
use super::offsets::{Spelling, Surfaces};
use super::reference::ReferenceTokenizer;
use super::source::Source;
use super::{MAX_ID, SpecialIds, Tokenizer};
use crate::error::{Error, Result};
use added::{Finder, Quoted};
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
    /// The crate's tokenizer, loaded when a text needs it.
    reference: OnceLock<std::result::Result<Box<ReferenceTokenizer>, String>>,
    pool: Arc<Pool>,
    /// The bytes of tokens, built when ends of tokens are first asked for.
    surfaces: OnceLock<Surfaces>,
    lengths: Option<ByteLengths>,
    vocabulary: Vocabulary,
    /// The error message if they are unknown.
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
    /// Loads a definition that our BPE reproduces exactly.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn new(source: &Arc<Source>) -> std::result::Result<Self, String> {
        // The crate panics on some parts of broken files.
        let definition = catch_unwind(|| Definition::parse(&source.definition))
            .map_err(|_| "the tokenizers crate panicked on a part of it")??;
        let Definition { vocabulary, model, normalizer, pre_tokenizer, added, affixes, lengths } = definition;
        if vocabulary.size() > MAX_ID + 1 {
            return Err("its ids do not fit 31 bits".into());
        }
        // The crate would fail in the same way, and reports it.
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

    /// The crate's tokenizer.
    fn reference(&self) -> Result<&ReferenceTokenizer> {
        let load = || {
            let loaded = ReferenceTokenizer::new(Arc::clone(&self.source), String::new());
            loaded.map(Box::new).map_err(|error| error.to_string())
        };
        let loaded = self.reference.get_or_init(load).as_ref();
        loaded.map(AsRef::as_ref).map_err(|reason| Error::config("tokenizer", reason.clone()))
    }

    /// Encodes a text without the ids of the post-processor; special tokens in the parts `quoted` are text.
    fn encode_inside(
        &self,
        text: &str,
        quoted: &[Range<usize>],
        memory: &mut Memory,
        ids: &mut Vec<u32>,
    ) -> std::result::Result<(), String> {
        let mut result = Ok(());
        let [raw, normalized] = &self.added;
        let quoted = Quoted { parts: quoted, start: 0 };
        split(raw.as_ref(), text, quoted, |start, end, token| {
            if let Some(id) = token {
                return ids.push(id);
            }
            let is_first = start == 0;
            match self.normalizer.apply(&text[start..end]) {
                Err(reason) => result = Err(reason),
                Ok(Cow::Owned(_))
                    if !quoted.parts.is_empty() && normalized.as_ref().is_some_and(Finder::has_special) =>
                {
                    result = Err("the normalizer moves the quoted parts".into());
                }
                Ok(text) => {
                    let quoted = Quoted { start, ..quoted };
                    split(normalized.as_ref(), &text, quoted, |start, end, token| match token {
                        Some(id) => ids.push(id),
                        None => {
                            self.encode_pre_tokens(&text[start..end], is_first && start == 0, memory, ids);
                        }
                    });
                }
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

    /// The last id that the post-processor adds to a text.
    fn last_affix(&self) -> Option<u32> {
        self.suffix.last().or(self.prefix.last()).copied()
    }

    fn may_fail(&self) -> bool {
        matches!(&self.pre_tokenizer, PreTokenizer::Sequence(sequence) if sequence.may_fail())
    }
}

/// Whether the CPU has the features that functions named `avx2` are compiled for.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    use std::arch::is_x86_feature_detected;
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
}

/// Splits a text at the tokens of a finder.
fn split(
    finder: Option<&Finder>,
    text: &str,
    quoted: Quoted<'_>,
    mut visit: impl FnMut(usize, usize, Option<u32>),
) {
    match finder {
        Some(finder) => finder.split(text, quoted, visit),
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
        if self.encode_all(text, &[], ids) {
            ids.extend_from_slice(&self.suffix);
            return Ok(());
        }
        // The crate's own error says why.
        ids.truncate(before);
        self.reference()?.encode(text, ids)
    }

    fn encode_bare(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let before = ids.len();
        if self.encode_all(text, &[], ids) {
            return Ok(());
        }
        ids.truncate(before);
        self.reference()?.encode_bare(text, ids)
    }

    fn encode_ends(&self, text: &str, ids: &mut Vec<u32>, ends: &mut Vec<usize>) -> Result<()> {
        let (first, first_end) = (ids.len(), ends.len());
        self.encode_bare(text, ids)?;
        if self.find_ends(text, &ids[first..], ends) {
            return Ok(());
        }
        // A normalizer changed the text, or an added token absorbed white space.
        ids.truncate(first);
        ends.truncate(first_end);
        self.reference()?.encode_ends(text, ids, ends)
    }

    fn encode_quoted(&self, text: &str, quoted: &[Range<usize>], ids: &mut Vec<u32>) -> Result<bool> {
        let before = ids.len();
        ids.extend_from_slice(&self.prefix);
        if self.encode_all(text, quoted, ids) {
            ids.extend_from_slice(&self.suffix);
            return Ok(true);
        }
        ids.truncate(before);
        self.reference()?.encode_quoted(text, quoted, ids)
    }

    fn encode_ends_quoted(
        &self,
        text: &str,
        quoted: &[Range<usize>],
        ids: &mut Vec<u32>,
        ends: &mut Vec<usize>,
    ) -> Result<bool> {
        let (first, first_end) = (ids.len(), ends.len());
        if self.encode_all(text, quoted, ids) && self.find_ends(text, &ids[first..], ends) {
            return Ok(true);
        }
        ids.truncate(first);
        ends.truncate(first_end);
        self.reference()?.encode_ends_quoted(text, quoted, ids, ends)
    }

    fn special_tokens(&self) -> Vec<String> {
        let added: Vec<_> = self.vocabulary.added().map(|(_, token)| token).collect();
        self.source.own(added.iter())
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
    /// Appends the ids of a text without those of the post-processor. Returns whether that succeeded.
    fn encode_all(&self, text: &str, quoted: &[Range<usize>], ids: &mut Vec<u32>) -> bool {
        if !self.may_fail() {
            return self.encode_on_thread(text, quoted, ids);
        }
        // The regex engine panics when it gives up.
        catch_unwind(AssertUnwindSafe(|| self.encode_on_thread(text, quoted, ids))).unwrap_or(false)
    }

    fn encode_on_thread(&self, text: &str, quoted: &[Range<usize>], ids: &mut Vec<u32>) -> bool {
        Scratch::with(&self.pool, |memory| self.encode_inside(text, quoted, memory, ids).is_ok())
    }

    /// Appends where each id ends in its text. Returns whether that is known.
    fn find_ends(&self, text: &str, ids: &[u32], ends: &mut Vec<usize>) -> bool {
        let first = ends.len();
        if let Some(lengths) = &self.lengths
            && self.normalizer.leaves(text)
        {
            if lengths.ends(ids, text.len(), ends) {
                return true;
            }
            ends.truncate(first);
        }
        self.surfaces().walk(text, ids, ends)
    }
}
