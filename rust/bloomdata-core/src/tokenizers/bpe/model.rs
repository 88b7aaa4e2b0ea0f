//! The model of a byte-level BPE tokenizer: words become ids.

use super::cache::{Cache, MAX_WORD, Missing, NO_WORD, SHORT_IDS, ShortKey};
use super::file::{File, byte_ids};
use super::letters::{Letters, byte_letters};
use super::merges::{Merge, MergeSpace, Merger, NO_ID};
use super::pairs::{MAX_SYMBOLS, NONE};
use super::tokens::Tokens;
use crate::tokenizers::byte_lengths::ByteLengths;

/// Words whose memory is asked for before the first of them is looked up.
pub(super) const BATCH: usize = 128;
/// Ids of words that are not written out yet, at most.
const READY: usize = SHORT_IDS * BATCH;

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

    /// From the `model` of a `tokenizer.json` whose tokens are bytes.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub(super) fn of_bytes(file: &File) -> Result<Self, String> {
        if file.byte_fallback {
            return Err("its BPE falls back to bytes, which are all that it has".into());
        }
        if file.merges.len() + 256 > MAX_SYMBOLS {
            return Err(format!("it has more than {} merges", MAX_SYMBOLS - 256));
        }
        let mut ids = byte_ids(file, &byte_letters())?;
        let names = file.names();
        // A token that is no bytes cannot be in a text of bytes.
        let letters = Letters::new();
        let bytes: Vec<_> = names.iter().map(|name| letters.bytes((*name)?)).collect();

        // The symbols of all tokens that are a byte or made by a merge, wherever the merge stands in the list.
        let mut symbols = vec![NONE; names.len()];
        for (byte, &id) in (0..).zip(&ids).filter(|&(_, &id)| id != NO_ID) {
            symbols[id as usize] = byte;
        }
        let mut merges = Vec::with_capacity(file.merges.len());
        let mut name = String::new();
        for (rank, merge) in (0_u32..).zip(&file.merges) {
            let (left, right) = merge.pair()?;
            name.clear();
            name.extend([left, right]);
            let id = |part: &str| file.vocab.get(part).copied().filter(|_| !part.is_empty());
            let (Some(left), Some(right)) = (id(left), id(right)) else {
                return Err(format!("merge {rank} has a part that is not in its vocabulary"));
            };
            let made = id(&name).ok_or_else(|| format!("merge {rank} makes no token"))?;
            ids.push(made);
            if bytes[made as usize].is_some() {
                symbols[made as usize] = 256 + rank;
            }
            merges.push([left, right, made]);
        }
        let merges: Vec<Merge> = merges
            .into_iter()
            .map(|merge| {
                let [left, right, made] = merge.map(|id| symbols[id as usize]);
                (left != NONE && right != NONE && made != NONE).then_some((left, right, made))
            })
            .collect();
        let mut texts = Vec::with_capacity(ids.len());
        let mut lengths = ByteLengths::default();
        for ((id, &symbol), bytes) in (0..).zip(&symbols).zip(&bytes) {
            if let Some(bytes) = bytes.as_deref().filter(|_| symbol != NONE) {
                lengths.set(id, bytes.len());
                texts.push((symbol, bytes));
            }
        }
        let mut model = Self::new(Merger::of_bytes(ids, &merges, &texts));
        model.lengths = lengths;
        model.take_tokens(&bytes, file.ignore_merges);
        Ok(model)
    }

    /// Finds out which tokens, given by their ids, a word of their bytes becomes.
    fn take_tokens(&mut self, tokens: &[Option<Vec<u8>>], ignore_merges: bool) {
        let words = || (0..).zip(tokens).filter_map(|(id, bytes)| Some((id, bytes.as_deref()?)));
        let mut is_made = Vec::with_capacity(tokens.len());
        let mut expected = words().map(|(id, _)| id);
        self.merger
            .each(words().map(|(_, word)| word), |ids| is_made.push(expected.next().as_slice() == ids));
        let all = || words().zip(&is_made);
        self.tokens =
            Tokens::new(all().filter(|&(_, &is_made)| is_made || ignore_merges).map(|(token, _)| token));
        if ignore_merges {
            let whole = || all().filter(|&(_, &is_made)| !is_made).map(|(token, _)| token);
            self.whole = Tokens::new(whole());
            for (id, bytes) in whole() {
                self.lengths.set(id, bytes.len());
            }
        }
    }

    /// Appends the ids of words of a text that stand one behind the other: where the first starts, and where each ends.
    pub(super) fn words(
        &self,
        text: &[u8],
        from: usize,
        ends: &[usize],
        memory: &mut Memory,
        out: &mut Vec<u32>,
    ) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi2") {
            #[allow(unsafe_code, reason = "the compiler cannot know the machine")]
            // SAFETY: the machine was just asked.
            return unsafe { self.words_avx2(text, from, ends, memory, out) };
        }
        self.words_of(text, from, ends, memory, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn words_avx2(&self, text: &[u8], from: usize, ends: &[usize], memory: &mut Memory, out: &mut Vec<u32>) {
        self.words_of(text, from, ends, memory, out);
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn words_of(
        &self,
        text: &[u8],
        mut from: usize,
        ends: &[usize],
        memory: &mut Memory,
        out: &mut Vec<u32>,
    ) {
        let (mut keys, mut ready) = (std::mem::take(&mut memory.keys), std::mem::take(&mut memory.ready));
        let mut left = std::mem::take(&mut memory.left);
        keys.resize(BATCH, NO_WORD);
        ready.resize(READY, 0);
        for ends in ends.chunks(BATCH) {
            memory.cache.prepare_all(text, from, ends, &mut keys);
            left.clear();
            let count = memory.cache.take(&keys[..ends.len()], &mut ready, |at, before, is_known| {
                let start = if at == 0 { from } else { ends[at - 1] };
                left.push(Left { from: start, end: ends[at], key: keys[at], before, is_known });
            });
            let before = if left.is_empty() { 0 } else { self.left(text, &left, &ready, memory, out) };
            out.extend_from_slice(&ready[before..count]);
            from = ends.last().copied().unwrap_or(from);
        }
        (memory.keys, memory.ready, memory.left) = (keys, ready, left);
    }

    /// Appends the ids of words that are new, or longer, or have many ids, and those of the words between them, which are
    /// ready. Returns how many of these were written.
    #[cold]
    #[inline(never)]
    fn left(
        &self,
        text: &[u8],
        left: &[Left],
        ready: &[u32],
        memory: &mut Memory,
        out: &mut Vec<u32>,
    ) -> usize {
        let new = left.iter().filter(|word| !word.is_known);
        self.fill(text, new.map(|word| ((word.from, word.end), word.key)), memory);
        let mut written = 0;
        for &Left { from, end, key, before, .. } in left {
            out.extend_from_slice(&ready[written..before]);
            written = before;
            let word = &text[from..end];
            if let Err(missing) = memory.cache.find(key, word, out) {
                self.miss(word, missing, memory, out);
            }
        }
        written
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
        if new.is_empty() {
            return;
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
            let key = if code.is_some() { NO_WORD } else { memory.cache.prepare(word, from, end) };
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
    keys: Vec<ShortKey>,
    ready: Vec<u32>,
    left: Vec<Left>,
}

/// A word whose ids are not ready.
#[derive(Debug, Clone, Copy)]
struct Left {
    from: usize,
    end: usize,
    key: ShortKey,
    /// Ids that are ready and come before its own.
    before: usize,
    /// Whether the cache has it.
    is_known: bool,
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
