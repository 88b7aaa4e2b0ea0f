//! The slow path: pre-tokens that the first look at the cache did not resolve, because they are new, longer
//! than 15 bytes, or have many ids.
//!
//! New pre-tokens are split into parts that no token crosses. All new parts of a batch are merged together,
//! interleaved, which hides memory latency.

use super::cache::{Cache, NO_PRE_TOKEN, ShortKey, is_cjk_run};
use super::merges::{MergeSpace, Merger};
use super::whole_word_tokens::WholeWordTokens;

/// New parts that are merged together.
const TOGETHER: usize = 64;
/// Parts for which a thread keeps memory.
const KEPT: usize = 1 << 14;

/// A pre-token that the first look did not resolve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unresolved {
    from: usize,
    end: usize,
    key: ShortKey,
    /// Number of resolved ids that come before its own.
    before: usize,
    /// Whether it is known to be cached.
    is_known: bool,
    /// Range of its parts, if it is new.
    parts: (usize, usize),
}

/// A part of a new pre-token, or all of it.
#[derive(Debug, Clone, Copy)]
struct Part {
    from: usize,
    end: usize,
    key: ShortKey,
    /// The code point, if the part is one character whose ids are known.
    code: Option<u32>,
    /// Whether the part is the whole pre-token.
    is_whole: bool,
}

/// A part that is to be cached.
#[derive(Debug, Clone, Copy)]
struct New {
    from: usize,
    end: usize,
    /// Longer parts all have the same key but for the hash: on a hash collision only one of them is cached.
    key: ShortKey,
    hash: u64,
    place: Option<usize>,
}

impl Unresolved {
    #[inline]
    pub(super) fn new(from: usize, end: usize, key: ShortKey, before: usize, is_known: bool) -> Self {
        Self { from, end, key, before, is_known, parts: (0, 0) }
    }
}

/// Encodes pre-tokens that are not cached, and caches them.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) merger: Merger,
    /// With `ignore_merges`: tokens that merges would not make of their bytes.
    pub(super) unmade: WholeWordTokens,
    /// Pre-tokens that are one token.
    pub(super) whole_words: WholeWordTokens,
}

/// What a thread keeps between pre-tokens.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub(super) cache: Cache,
    space: MergeSpace,
    new: Vec<New>,
    parts: Vec<Part>,
}

impl Resolver {
    /// A resolver that consists of merges only.
    pub(super) fn new(merger: Merger) -> Self {
        Self { merger, unmade: WholeWordTokens::default(), whole_words: WholeWordTokens::default() }
    }

    /// Appends the ids of unresolved pre-tokens, and before each of them the resolved ids in front of it.
    /// Returns the number of resolved ids written.
    #[cold]
    #[inline(never)]
    pub(super) fn resolve(
        &self,
        text: &[u8],
        unresolved: &mut [Unresolved],
        ready: &[u32],
        work: &mut Workspace,
        out: &mut Vec<u32>,
    ) -> usize {
        let mut parts = std::mem::take(&mut work.parts);
        parts.clear();
        for pre_token in &mut *unresolved {
            let first = parts.len();
            let bytes = &text[pre_token.from..pre_token.end];
            let is_longer = bytes.len() >= 16 && !is_cjk_run(bytes);
            let is_known = pre_token.is_known || (is_longer && work.cache.has(pre_token.key, bytes));
            if !is_known {
                self.cut(text, pre_token, &work.cache, &mut parts);
            }
            pre_token.parts = (first, parts.len());
        }
        if !parts.is_empty() {
            self.fill(text, &parts, work);
        }
        let mut written = 0;
        for pre_token in &*unresolved {
            out.extend_from_slice(&ready[written..pre_token.before]);
            written = pre_token.before;
            match &parts[pre_token.parts.0..pre_token.parts.1] {
                [] => self.take(&text[pre_token.from..pre_token.end], pre_token.key, work, out),
                [whole] => self.take(&text[whole.from..whole.end], whole.key, work, out),
                parts => {
                    let before = out.len();
                    for part in parts {
                        self.part(text, part, work, out);
                    }
                    // Longer pre-tokens are not cached: joining their parts is about as fast as a lookup.
                    if pre_token.end - pre_token.from < 16 {
                        let missing = Cache::missing(pre_token.key, &text[pre_token.from..pre_token.end]);
                        work.cache.keep(missing, &text[pre_token.from..pre_token.end], &out[before..]);
                    }
                }
            }
        }
        if parts.capacity() <= KEPT {
            work.parts = parts;
        }
        written
    }

    /// Appends the parts of a new pre-token.
    fn cut(&self, text: &[u8], pre_token: &Unresolved, cache: &Cache, parts: &mut Vec<Part>) {
        let &Unresolved { from, end, key, .. } = pre_token;
        let bytes = &text[from..end];
        let first = parts.len();
        if (bytes.len() >= 32 || !bytes.is_ascii()) && self.unmade.find(bytes).is_none() {
            self.merger.parts(bytes, |start, stop, code| {
                let key = if code.is_some() {
                    NO_PRE_TOKEN
                } else {
                    cache.prepare(text, from + start, from + stop)
                };
                parts.push(Part { from: from + start, end: from + stop, key, code, is_whole: false });
            });
        }
        if parts.len() <= first + 1 {
            parts.truncate(first);
            let key = if is_cjk_run(bytes) { cache.prepare(text, from, end) } else { key };
            parts.push(Part { from, end, key, code: None, is_whole: true });
        }
    }

    /// Caches all new parts of up to 31 bytes.
    fn fill(&self, text: &[u8], parts: &[Part], work: &mut Workspace) {
        let mut parts = parts.iter();
        while !parts.as_slice().is_empty() {
            work.new.clear();
            for part in &mut parts {
                let bytes = &text[part.from..part.end];
                if part.code.is_none()
                    && bytes.len() < 32
                    && !work.cache.has(part.key, bytes)
                    && work.new.iter().all(|other| other.key != part.key)
                    // With `ignore_merges`, a pre-token of these bytes may differ from a part of these
                    // bytes.
                    && (part.is_whole || self.unmade.find(bytes).is_none())
                {
                    let &Part { from, end, key, .. } = part;
                    work.new.push(New { from, end, key, hash: self.whole_words.prepare(bytes), place: None });
                    if work.new.len() == TOGETHER {
                        break;
                    }
                }
            }
            self.fill_some(text, work);
        }
    }

    fn fill_some(&self, text: &[u8], work: &mut Workspace) {
        let Workspace { cache, space, new, .. } = work;
        for part in &mut *new {
            part.place = self.whole_words.place(part.hash);
        }
        new.retain(|&New { from, end, key, hash, place }| {
            let bytes = &text[from..end];
            let Some(id) = self.whole_words.get(place, hash, bytes) else { return true };
            cache.keep(Cache::missing(key, bytes), bytes, &[id]);
            false
        });
        self.merger.merge_interleaved(new.iter().map(|part| &text[part.from..part.end]), space, |at, ids| {
            let New { from, end, key, .. } = new[at];
            let bytes = &text[from..end];
            cache.keep(Cache::missing(key, bytes), bytes, ids);
        });
    }

    /// Appends the ids of a pre-token that is not split, or of a part. Mostly it is cached by now.
    fn take(&self, pre_token: &[u8], key: ShortKey, work: &mut Workspace, out: &mut Vec<u32>) {
        let Err(missing) = work.cache.find(key, pre_token, out) else { return };
        let before = out.len();
        match self.unmade.find(pre_token) {
            Some(id) => out.push(id),
            None => self.merger.merge(pre_token, &mut work.space, out),
        }
        work.cache.keep(missing, pre_token, &out[before..]);
    }

    /// Appends the ids of a part of a pre-token.
    fn part(&self, text: &[u8], part: &Part, work: &mut Workspace, out: &mut Vec<u32>) {
        let bytes = &text[part.from..part.end];
        match part.code {
            Some(code) => match *self.merger.alone(code) {
                // Constant lengths avoid a call to `memcpy`.
                [id] => out.push(id),
                [first, second] => out.extend_from_slice(&[first, second]),
                ref ids => out.extend_from_slice(ids),
            },
            // With `ignore_merges`, a pre-token of these bytes may differ from a part of these bytes.
            None if self.unmade.find(bytes).is_some() => self.merger.merge(bytes, &mut work.space, out),
            None => self.take(bytes, part.key, work, out),
        }
    }
}
