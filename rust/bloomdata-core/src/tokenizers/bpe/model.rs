//! The model of a byte-level BPE tokenizer: words become ids.

#![allow(clippy::disallowed_types, reason = "maps are looked up, their order is never seen")]

use std::collections::HashMap;

use super::cache::{Cache, MAX_WORD, Missing, ShortKey};
use super::file::{Merge, byte_ids, byte_letters, read};
use super::merges::{MergeSpace, Merger};
use super::pairs::MAX_SYMBOLS;
use super::tokens::Tokens;
use crate::tokenizers::byte_lengths::ByteLengths;

/// Words whose memory is asked for before the first of them is looked up.
pub(super) const BATCH: usize = 128;
/// Words that are looked through for other new ones when one is new.
const AHEAD: usize = 64;

/// Merges, and words that are tokens although merges do not make them.
#[derive(Debug)]
pub(super) struct Model {
    merger: Merger,
    /// With `ignore_merges`, tokens that their own merges would not give.
    whole: Tokens,
    /// Words that are one token.
    tokens: Tokens,
    /// How many bytes every token of bytes stands for.
    pub(super) lengths: ByteLengths,
}

/// A token that bytes and merges make.
struct Made {
    symbol: u32,
    bytes: Vec<u8>,
}

impl Model {
    /// A model of merges alone.
    pub(super) fn new(merger: Merger) -> Self {
        Self { merger, whole: Tokens::default(), tokens: Tokens::default(), lengths: ByteLengths::default() }
    }

    /// Whether no token lies across the boundary at `at`, if that is one of ASCII, or of any characters.
    #[inline]
    pub(super) fn may_cut(&self, text: &[u8], at: usize, is_any: bool) -> bool {
        self.merger.may_cut(text, at, is_any)
    }

    /// Parses the `model` of a `tokenizer.json`.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        let file = read(json)?;
        if file.byte_fallback {
            return Err("its BPE falls back to bytes, which are all that it has".into());
        }
        if file.merges.len() + 256 > MAX_SYMBOLS {
            return Err(format!("it has more than {} merges", MAX_SYMBOLS - 256));
        }
        let letters = byte_letters();
        let mut ids = byte_ids(&file, &letters)?;
        let pairs: Vec<(&str, &str)> = file.merges.iter().map(Merge::pair).collect::<Result<_, _>>()?;

        // Every token that is a byte or made by a merge, wherever the merge stands in the list.
        let mut made: HashMap<String, Made> = HashMap::with_capacity(pairs.len() + 256);
        for (byte, letter) in (0..=u8::MAX).zip(&letters) {
            made.insert(letter.to_string(), Made { symbol: byte.into(), bytes: vec![byte] });
        }
        let bytes: HashMap<char, u8> = letters.iter().copied().zip(0..=u8::MAX).collect();
        for (symbol, (left, right)) in (256..).zip(&pairs) {
            let name = [*left, *right].concat();
            for part in [left, right] {
                if part.is_empty() || !file.vocab.contains_key(*part) {
                    return Err(format!("merge {} has a part that is not in its vocabulary", symbol - 256));
                }
            }
            let id = file.vocab.get(&name);
            ids.push(*id.ok_or_else(|| format!("merge {} makes no token", symbol - 256))?);
            // A token that is no bytes cannot be in a text of bytes.
            if let Some(bytes) = name.chars().map(|letter| bytes.get(&letter).copied()).collect() {
                made.insert(name, Made { symbol, bytes });
            }
        }
        let merges: Vec<_> = pairs
            .iter()
            .map(|(left, right)| {
                let result = made.get(&[*left, *right].concat())?;
                Some((made.get(*left)?.symbol, made.get(*right)?.symbol, result.symbol))
            })
            .collect();
        let texts: Vec<_> = made.into_values().map(|made| (made.symbol, made.bytes)).collect();
        let mut lengths = ByteLengths::default();
        for (symbol, bytes) in &texts {
            lengths.set(ids[*symbol as usize], bytes.len());
        }
        let mut model = Self::new(Merger::of_bytes(ids, &merges, &texts));
        model.lengths = lengths;
        model.take_tokens(file.vocab, &bytes, file.ignore_merges);
        Ok(model)
    }

    /// Finds out which tokens a word of their bytes becomes.
    fn take_tokens(&mut self, vocab: HashMap<String, u32>, bytes: &HashMap<char, u8>, ignore_merges: bool) {
        let (mut space, mut ids) = (MergeSpace::default(), Vec::new());
        let (mut whole, mut tokens) = (Vec::new(), Vec::with_capacity(vocab.len()));
        #[allow(clippy::iter_over_hash_type, reason = "each entry by itself")]
        for (token, id) in vocab {
            let text: Option<Vec<u8>> = token.chars().map(|letter| bytes.get(&letter).copied()).collect();
            let Some(text) = text else { continue };
            ids.clear();
            self.merger.merge(&text, &mut space, &mut ids);
            if ids == [id] {
                tokens.push((id, text));
            } else if ignore_merges {
                self.lengths.set(id, text.len());
                whole.push((id, text.clone()));
                tokens.push((id, text));
            }
        }
        (self.whole, self.tokens) = (Tokens::new(whole), Tokens::new(tokens));
    }

    /// Appends the ids of words of a text, given by where each starts and ends.
    pub(super) fn words(
        &self,
        text: &[u8],
        words: &[(usize, usize)],
        memory: &mut Memory,
        out: &mut Vec<u32>,
    ) {
        for words in words.chunks(BATCH) {
            let mut keys = [ShortKey::default(); BATCH];
            for (key, &(from, end)) in keys.iter_mut().zip(words) {
                *key = memory.cache.prepare(text, from, end);
            }
            let mut filled = 0;
            for (at, (&key, &(from, end))) in keys.iter().zip(words).enumerate() {
                let word = &text[from..end];
                let Err(mut missing) = memory.cache.find(key, word, out) else { continue };
                if at >= filled {
                    filled = at + AHEAD;
                    let next = words[at..].iter().copied().zip(keys[at..].iter().copied());
                    self.fill(text, next.take(AHEAD), memory);
                    match memory.cache.find(key, word, out) {
                        Ok(()) => continue,
                        Err(still) => missing = still,
                    }
                }
                self.miss(word, missing, memory, out);
            }
        }
    }

    /// Takes up all of these words that the cache does not have and that have no parts: together they wait for memory
    /// once, where each by itself would wait as long.
    #[cold]
    fn fill(
        &self,
        text: &[u8],
        words: impl Iterator<Item = ((usize, usize), ShortKey)>,
        memory: &mut Memory,
    ) {
        let Memory { cache, space, new, .. } = memory;
        new.clear();
        for ((from, end), key) in words {
            let word = &text[from..end];
            if word.len() < 32
                && let Some(missing) = cache.missing(key, word)
                && new.iter().all(|other| other.key != key)
                && self.merger.is_one_part(word)
            {
                new.push(New { from, end, key, missing, hash: self.tokens.prepare(word), place: None });
            }
        }
        for word in &mut *new {
            word.place = self.tokens.place(word.hash);
        }
        new.retain(|&New { from, end, missing, hash, place, .. }| {
            let word = &text[from..end];
            let Some(id) = self.tokens.get(place, hash, word) else { return true };
            cache.keep(missing, word, &[id]);
            false
        });
        self.merger.merge_all(new.iter().map(|word| &text[word.from..word.end]), space, |at, ids| {
            let New { from, end, missing, .. } = new[at];
            cache.keep(missing, &text[from..end], ids);
        });
    }

    /// A word that is not in the cache: its parts may be.
    #[cold]
    fn miss(&self, word: &[u8], missing: Missing, memory: &mut Memory, out: &mut Vec<u32>) {
        let before = out.len();
        if let Some(id) = self.whole.find(word) {
            out.push(id);
            return memory.cache.keep(missing, word, &[id]);
        }
        let mut parts = std::mem::take(&mut memory.parts);
        parts.clear();
        self.merger.parts(word, |from, end, code| {
            let key =
                if code.is_some() { ShortKey::default() } else { memory.cache.prepare(word, from, end) };
            parts.push(Part { from, end, code, key });
        });
        if parts.len() == 1 {
            self.merger.merge(word, &mut memory.space, out);
            memory.cache.keep(missing, word, &out[before..]);
        } else {
            parts.chunks(BATCH).for_each(|parts| self.parts(word, parts, memory, out));
            // Longer words that have parts are put together again about as fast as they are looked up.
            if matches!(missing, Missing::Short(_)) {
                memory.cache.keep(missing, word, &out[before..]);
            }
        }
        memory.parts = parts;
    }

    fn parts(&self, word: &[u8], parts: &[Part], memory: &mut Memory, out: &mut Vec<u32>) {
        let mut is_filled = false;
        for (at, part) in parts.iter().enumerate() {
            if let Some(code) = part.code {
                out.extend_from_slice(self.merger.alone(code));
                continue;
            }
            let text = &word[part.from..part.end];
            // What a word of these bytes would be is not what a part is.
            if text.len() > MAX_WORD || self.whole.find(text).is_some() {
                self.merger.merge(text, &mut memory.space, out);
                continue;
            }
            let Err(mut missing) = memory.cache.find(part.key, text, out) else { continue };
            if !is_filled {
                is_filled = true;
                let rest = parts[at..].iter().filter(|part| part.code.is_none());
                let rest = rest.filter(|part| self.whole.find(&word[part.from..part.end]).is_none());
                self.fill(word, rest.map(|part| ((part.from, part.end), part.key)), memory);
                match memory.cache.find(part.key, text, out) {
                    Ok(()) => continue,
                    Err(still) => missing = still,
                }
            }
            let before = out.len();
            self.merger.merge(text, &mut memory.space, out);
            memory.cache.keep(missing, text, &out[before..]);
        }
    }
}

/// A part of a word that no token leaves.
#[derive(Debug, Clone, Copy)]
struct Part {
    from: usize,
    end: usize,
    /// The code of the character that it is, if what that becomes is known.
    code: Option<u32>,
    key: ShortKey,
}

/// What a thread keeps between words.
#[derive(Debug, Default)]
pub(super) struct Memory {
    cache: Cache,
    space: MergeSpace,
    new: Vec<New>,
    parts: Vec<Part>,
}

/// A word that is taken up.
#[derive(Debug, Clone, Copy)]
struct New {
    from: usize,
    end: usize,
    /// Longer words of one hash are taken for one word; then one of them is not taken up here.
    key: ShortKey,
    missing: Missing,
    hash: u64,
    place: Option<usize>,
}
