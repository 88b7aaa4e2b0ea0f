//! Looks up pre-tokens that are one token. That is a fourth of all new pre-tokens, and it saves their
//! merges.

use super::super::memory::{filled, prefetch};
use super::table::folded;
use crate::token::{index, narrow};

/// Tokens by their bytes: a hash table with open addressing, at most half full.
#[derive(Debug, Default)]
pub(super) struct WholeWordTokens {
    /// The upper half of a hash, and the offset of the entry plus one; 0 if empty.
    slots: Vec<u64>,
    /// Entries: id and size, both as little-endian `u32`, then the bytes, so that one cache line usually
    /// holds all of it.
    entries: Vec<u8>,
    longest: usize,
}

/// Bytes of an entry before those of the token.
const HEAD: usize = 8;

impl WholeWordTokens {
    /// From ids and bytes, which are all different.
    pub(super) fn new<'a>(all: impl Iterator<Item = (u32, &'a [u8])> + Clone) -> Self {
        let slots = filled((2 * all.clone().count() + 2).next_power_of_two(), 0);
        let mut tokens = Self { slots, entries: Vec::new(), longest: 0 };
        for (id, bytes) in all {
            let hash = hash(bytes);
            let mut at = tokens.first(hash);
            while tokens.slots[at] != 0 {
                at = tokens.next(at);
            }
            tokens.slots[at] = hash >> 32 << 32 | (tokens.entries.len() as u64 + 1);
            tokens.entries.extend_from_slice(&id.to_le_bytes());
            tokens.entries.extend_from_slice(&narrow(bytes.len()).to_le_bytes());
            tokens.entries.extend_from_slice(bytes);
            tokens.longest = tokens.longest.max(bytes.len());
        }
        tokens
    }

    /// The hash of a pre-token, for its lookup. Prefetches what [`Self::place`] reads.
    pub(super) fn prepare(&self, pre_token: &[u8]) -> u64 {
        let hash = hash(pre_token);
        if let Some(slot) = self.slots.get(self.first(hash)) {
            prefetch(slot);
        }
        hash
    }

    /// The slot where the search for a pre-token starts. Prefetches what [`Self::get`] reads.
    pub(super) fn place(&self, hash: u64) -> Option<usize> {
        let mut at = self.first(hash);
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if slot >> 32 == hash >> 32 {
                prefetch(&self.entries[entry(slot)]);
                return Some(at);
            }
            at = self.next(at);
        }
    }

    /// The token that equals a pre-token; `place` is the result of [`Self::place`].
    pub(super) fn get(&self, place: Option<usize>, hash: u64, pre_token: &[u8]) -> Option<u32> {
        let mut at = place?;
        if pre_token.len() > self.longest {
            return None;
        }
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == hash >> 32 {
                let (head, rest) = self.entries[entry(slot)..].split_at(HEAD);
                let (id, size) = head.split_at(4);
                if rest.starts_with(pre_token) && size == narrow(pre_token.len()).to_le_bytes() {
                    return Some(u32::from_le_bytes([id[0], id[1], id[2], id[3]]));
                }
            }
            at = self.next(at);
        }
    }

    /// The token that equals a pre-token, looked up at once.
    pub(super) fn find(&self, pre_token: &[u8]) -> Option<u32> {
        if pre_token.len() > self.longest {
            return None;
        }
        let hash = self.prepare(pre_token);
        self.get(self.place(hash), hash, pre_token)
    }

    fn first(&self, hash: u64) -> usize {
        index(hash) & self.slots.len().wrapping_sub(1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

/// Offset of the entry of a slot.
fn entry(slot: u64) -> usize {
    index(slot & 0xffff_ffff) - 1
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    for part in bytes.chunks(8) {
        let mut chunk = [0; 8];
        chunk[..part.len()].copy_from_slice(part);
        hash = folded(hash ^ u64::from_le_bytes(chunk), 0x9E37_79B9_7F4A_7C15);
    }
    hash
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Two different pre-tokens whose hashes share the upper half, and the slot in a table of two tokens.
    fn alike() -> (Vec<u8>, Vec<u8>) {
        let mut seen = BTreeMap::new();
        (0..2_000_000_u32)
            .map(|number| number.to_string().into_bytes())
            .find_map(|pre_token| {
                let hash = hash(&pre_token);
                Some((seen.insert((hash >> 32, hash & 7), pre_token.clone())?, pre_token))
            })
            .unwrap()
    }

    #[test]
    fn tokens_whose_hashes_are_alike_are_told_apart() {
        let (first, second) = alike();
        let both = WholeWordTokens::new([(5, &first[..]), (6, &second)].into_iter());
        assert_eq!((both.find(&first), both.find(&second)), (Some(5), Some(6)));
        // With another token, so that the table has as many slots.
        let one = WholeWordTokens::new([(5, &first[..]), (6, b"other")].into_iter());
        assert_eq!((one.find(&first), one.find(&second)), (Some(5), None));
    }

    #[test]
    fn only_whole_tokens_are_found() {
        let all: [(u32, &[u8]); 4] = [(1, b"abc"), (2, b"ab"), (3, b"\0"), (4, b"\0\0")];
        let tokens = WholeWordTokens::new(all.into_iter());
        let find = |bytes: &[u8]| tokens.find(bytes);
        assert_eq!([b"abc" as &[u8], b"ab", b"\0", b"\0\0"].map(find), [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!([b"" as &[u8], b"a", b"bc", b"abcd", b"\0\0\0"].map(find), [None; 5]);
        assert_eq!(WholeWordTokens::default().find(b"a"), None);
    }
}
