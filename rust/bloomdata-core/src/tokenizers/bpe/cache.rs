//! Ids of pre-tokens that were seen before, in bounded memory, one cache a thread: no locks.
//!
//! Pre-tokens of up to 15 bytes have slots of 32 bytes, up to 31 bytes slots of 64, longer ones are in a hash map; longer runs
//! of Chinese or Japanese are not kept.

#![allow(clippy::disallowed_types, reason = "maps are looked up, their order is never seen")]

use std::collections::HashMap;

use super::table::{Key, Table, hash, key, push};

/// Bytes of short pre-tokens, and of medium ones, at most.
const MAX_SHORT_BYTES: usize = 1 << 26;
const MAX_MEDIUM_BYTES: usize = 1 << 24;
/// Ids in the arena, at most, before everything is forgotten: 32 MiB.
const MAX_ARENA_IDS: usize = 1 << 23;
/// Bytes of a pre-token that is kept, at most, and bytes of all long ones.
const MAX_PRE_TOKEN_BYTES: usize = 256;
const MAX_LONG_BYTES: usize = 8 << 20;

/// Ids that stand where a short pre-token does.
pub(super) const SHORT_IDS: usize = 4;

/// Pre-tokens and their ids.
#[derive(Debug)]
pub(super) struct Cache {
    short: Table<2, SHORT_IDS, 2>,
    medium: Table<4, 8, 1>,
    long: HashMap<Box<[u8]>, (u32, u32)>,
    long_bytes: usize,
    /// Ids of pre-tokens that have more than a slot takes.
    arena: Vec<u32>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            short: Table::new(MAX_SHORT_BYTES),
            medium: Table::new(MAX_MEDIUM_BYTES),
            long: HashMap::new(),
            long_bytes: 0,
            arena: Vec::new(),
        }
    }
}

/// A pre-token that the cache does not have, and where it belongs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Missing {
    Short(ShortKey),
    Medium([u64; 4]),
    Long,
    /// Too long to be kept, or not worth it.
    Never,
}

impl Cache {
    /// The key of the pre-token at `from..end` of a text, if it is short; what it needs is on its way from memory then.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "one of the two hottest calls: one per pre-token")]
    pub(super) fn prepare(&self, text: &[u8], from: usize, end: usize) -> ShortKey {
        if end - from >= 16 {
            return self.prepare_longer(text, from, end);
        }
        let key = key(text, from, end - from);
        let hash = hash(key);
        self.short.prefetch(hash);
        ShortKey { key, hash }
    }

    /// The keys of pre-tokens that stand one behind the other: where the first starts, and where each ends.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    pub(super) fn prepare_all(&self, text: &[u8], mut from: usize, ends: &[usize], keys: &mut [ShortKey]) {
        for (key, &end) in keys.iter_mut().zip(ends) {
            *key = if end - from >= 16 && is_cjk_run(&text[from..end]) {
                NO_PRE_TOKEN
            } else {
                self.prepare(text, from, end)
            };
            from = end;
        }
    }

    /// Takes the ids of all pre-tokens that are short, known, and have no more than [`SHORT_IDS`]: nearly all. Returns how many
    /// ids that are; of the other pre-tokens `left` is told the place, how many ids come before theirs, and whether they are
    /// known to be in the cache.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    pub(super) fn take(
        &self,
        pre_tokens: &[ShortKey],
        ready: &mut [u32],
        left: impl FnMut(usize, usize, bool),
    ) -> usize {
        self.short.take(pre_tokens, &self.arena, ready, left)
    }

    /// Appends the ids of a pre-token, if they are known; `short` is what [`Self::prepare`] gave.
    pub(super) fn find(&self, short: ShortKey, pre_token: &[u8], out: &mut Vec<u32>) -> Result<(), Missing> {
        let (found, missing) = if short.key[1] != 0 {
            (self.short.find(short.key, short.hash, &self.arena), Missing::Short(short))
        } else if pre_token.len() > MAX_PRE_TOKEN_BYTES {
            (None, Missing::Never)
        } else if pre_token.len() < 32 {
            let key = key(pre_token, 0, pre_token.len());
            (self.medium.find(key, short.hash, &self.arena), Missing::Medium(key))
        } else {
            let place = self.long.get(pre_token);
            let ids = place.map(|&(start, count)| &self.arena[start as usize..(start + count) as usize]);
            (ids, Missing::Long)
        };
        out.extend_from_slice(found.ok_or(missing)?);
        Ok(())
    }

    fn prepare_longer(&self, text: &[u8], from: usize, end: usize) -> ShortKey {
        let hash = if end - from < 32 { hash::<4>(key(text, from, end - from)) } else { 0 };
        self.medium.prefetch(hash);
        ShortKey { key: [0; 2], hash }
    }

    /// Whether a pre-token is known.
    pub(super) fn has(&self, short: ShortKey, pre_token: &[u8]) -> bool {
        if short.key[1] != 0 {
            self.short.has(short.key, short.hash)
        } else if pre_token.len() < 32 {
            self.medium.has(key(pre_token, 0, pre_token.len()), short.hash)
        } else {
            self.long.contains_key(pre_token)
        }
    }

    /// What would be missing of a pre-token of up to 31 bytes.
    pub(super) fn missing(short: ShortKey, pre_token: &[u8]) -> Missing {
        if short.key[1] != 0 {
            Missing::Short(short)
        } else {
            Missing::Medium(key(pre_token, 0, pre_token.len()))
        }
    }

    /// Keeps the ids of a pre-token that was missing.
    pub(super) fn keep(&mut self, missing: Missing, pre_token: &[u8], ids: &[u32]) {
        if self.arena.len() + ids.len() > MAX_ARENA_IDS {
            *self = Self::default();
        }
        match missing {
            Missing::Never => {}
            Missing::Short(short) => self.short.keep(short.key, ids, &mut self.arena),
            Missing::Medium(key) => self.medium.keep(key, ids, &mut self.arena),
            Missing::Long => {
                if self.long_bytes + pre_token.len() > MAX_LONG_BYTES {
                    self.long.clear();
                    self.long_bytes = 0;
                }
                self.long_bytes += pre_token.len();
                self.long.insert(pre_token.into(), push(&mut self.arena, ids));
            }
        }
    }
}

/// Whether a longer pre-token begins with Chinese or Japanese: such runs hardly ever come again, but their parts do. They are
/// not looked up.
pub(super) fn is_cjk_run(pre_token: &[u8]) -> bool {
    pre_token.len() >= 16 && matches!(pre_token, [0xe3..=0xe9, ..] | [b' ', 0xe3..=0xe9, ..])
}

/// Of a pre-token of up to 15 bytes; a longer one has a key that is no pre-token's.
pub(super) type ShortKey = Key<2>;

/// Of no short pre-token.
pub(super) const NO_PRE_TOKEN: ShortKey = ShortKey { key: [0; 2], hash: 0 };
