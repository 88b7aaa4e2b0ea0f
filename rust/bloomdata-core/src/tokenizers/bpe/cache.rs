//! A bounded cache of the ids of pre-tokens. Each thread has its own, so there are no locks.
//!
//! Pre-tokens of up to 15 bytes have slots of 32 bytes, those of up to 31 bytes slots of 64, longer ones
//! are in a hash map. Long runs of Chinese or Japanese are not cached.

#![allow(clippy::disallowed_types, reason = "lookups only: the order is never observed")]

use std::collections::HashMap;

use super::table::{Key, Table, hash, key, push};

/// Maximum bytes of the table of short pre-tokens, and of that of medium ones.
const MAX_SHORT_BYTES: usize = 1 << 26;
const MAX_MEDIUM_BYTES: usize = 1 << 24;
/// Maximum number of ids in the arena; beyond that the whole cache is cleared. 32 MiB.
const MAX_ARENA_IDS: usize = 1 << 23;
/// Maximum bytes of a cached pre-token, and of all long ones together.
const MAX_PRE_TOKEN_BYTES: usize = 256;
const MAX_LONG_BYTES: usize = 8 << 20;

/// Maximum number of ids in the slot of a short pre-token.
pub(super) const SHORT_IDS: usize = 4;

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    short: Table<2, SHORT_IDS, 2>,
    medium: Table<4, 8, 1>,
    long: HashMap<Box<[u8]>, (u32, u32)>,
    long_bytes: usize,
    /// Ids of pre-tokens that have more ids than fit their slot.
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

/// Where a pre-token that is not cached belongs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Missing {
    Short(ShortKey),
    Medium([u64; 4]),
    Long,
    /// Too long, or not worth caching.
    Never,
}

impl Cache {
    /// The key of the pre-token at `from..end` of a text, if it is short. Prefetches its line of the table.
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

    /// The keys of consecutive pre-tokens, given the start of the first and the end of each.
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

    /// Copies the ids of all pre-tokens that are short, cached, and have at most [`SHORT_IDS`] ids, which
    /// are nearly all. Returns the number of ids. For each other pre-token calls `left` with its index, the
    /// number of ids copied before it, and whether it is known to be cached.
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

    /// Appends the ids of a pre-token if it is cached; `short` is the result of [`Self::prepare`].
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

    /// Whether a pre-token is cached.
    pub(super) fn has(&self, short: ShortKey, pre_token: &[u8]) -> bool {
        if short.key[1] != 0 {
            self.short.has(short.key, short.hash)
        } else if pre_token.len() < 32 {
            self.medium.has(key(pre_token, 0, pre_token.len()), short.hash)
        } else {
            self.long.contains_key(pre_token)
        }
    }

    /// Where a pre-token of up to 31 bytes belongs.
    pub(super) fn missing(short: ShortKey, pre_token: &[u8]) -> Missing {
        if short.key[1] != 0 {
            Missing::Short(short)
        } else {
            Missing::Medium(key(pre_token, 0, pre_token.len()))
        }
    }

    /// Caches the ids of a pre-token that was missing.
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

/// Whether a longer pre-token starts with Chinese or Japanese. Such runs hardly ever recur, but their parts
/// do, so the runs themselves are not looked up.
pub(super) fn is_cjk_run(pre_token: &[u8]) -> bool {
    pre_token.len() >= 16 && matches!(pre_token, [0xe3..=0xe9, ..] | [b' ', 0xe3..=0xe9, ..])
}

/// The key of a pre-token of up to 15 bytes. A longer one has a key that no pre-token has, and the hash for
/// its own table.
pub(super) type ShortKey = Key<2>;

/// The key of no pre-token.
pub(super) const NO_PRE_TOKEN: ShortKey = ShortKey { key: [0; 2], hash: 0 };
