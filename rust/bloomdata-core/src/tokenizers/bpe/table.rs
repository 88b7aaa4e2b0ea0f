//! Hash tables of pre-tokens and their ids.
//!
//! Keys are compared in full, as a hash alone would not be exact. A pre-token is in the cache line of its
//! hash, or, if that was full, in the neighbouring line. Tables start small enough for the L2 cache and
//! double while new pre-tokens keep coming, up to their bound. From then on a new pre-token evicts the
//! oldest one of both lines.

use super::super::memory::{filled, prefetch};

/// Initial bytes of a table.
const FIRST_BYTES: usize = 1 << 17;
/// Bytes of a cache line.
const LINE: usize = 64;

pub(super) fn push(arena: &mut Vec<u32>, ids: &[u32]) -> (u32, u32) {
    let start = u32::try_from(arena.len()).unwrap_or(0);
    arena.extend_from_slice(ids);
    (start, u32::try_from(ids.len()).unwrap_or(0))
}

/// Layout of the highest byte of a key: the size of the pre-token in the lower bits, above it the number of
/// ids in three bits.
const COUNT_SHIFT: [u32; 2] = [60, 61];
const COUNT_BITS: u64 = 7;
/// The number of ids that stands for "in the arena": the first two ids are then the start and the number
/// there.
const ELSEWHERE: u64 = COUNT_BITS;
/// Flag in the first slot of a line of several slots: pre-tokens of this line may be in its neighbour, or
/// the other way round.
const OVERFLOWS: u64 = 1 << 63;

/// The key of a pre-token and its hash. For a pre-token that is too long, the key is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key<const K: usize> {
    pub(super) key: [u64; K],
    pub(super) hash: usize,
}

/// Lines of `N` slots, for pre-tokens of at most `8 * K - 1` bytes and `I` ids.
#[derive(Debug)]
pub(super) struct Table<const K: usize, const I: usize, const N: usize> {
    lines: Vec<Line<K, I, N>>,
    used: usize,
    max: usize,
}

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line<const K: usize, const I: usize, const N: usize>([Slot<K, I>; N]);

#[derive(Debug, Clone, Copy)]
struct Slot<const K: usize, const I: usize> {
    key: [u64; K],
    ids: [u32; I],
}

impl<const K: usize, const I: usize> Slot<K, I> {
    const SHIFT: u32 = COUNT_SHIFT[K / 4];

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the hottest call of all: one per pre-token")]
    fn is_of(&self, key: [u64; K]) -> bool {
        let mut differing = (self.key[K - 1] ^ key[K - 1]) << (64 - Self::SHIFT);
        for (found, wanted) in self.key[..K - 1].iter().zip(&key) {
            differing |= found ^ wanted;
        }
        differing == 0
    }

    /// The key of the pre-token in this slot.
    fn pre_token_key(&self) -> [u64; K] {
        let mut key = self.key;
        key[K - 1] = key[K - 1] << (64 - Self::SHIFT) >> (64 - Self::SHIFT);
        key
    }

    fn is_empty(&self) -> bool {
        self.key[K - 1] == 0
    }
}

impl<const K: usize, const I: usize, const N: usize> Line<K, I, N> {
    const EMPTY: Self = Self([Slot { key: [0; K], ids: [0; I] }; N]);

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the hottest call of all: one per pre-token")]
    fn find(&self, key: [u64; K]) -> Option<&Slot<K, I>> {
        self.0.iter().find(|slot| slot.is_of(key))
    }

    /// Whether the neighbour has to be searched as well. Lines of one slot have no flag and always say yes.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the hottest call of all: one per pre-token")]
    fn overflows(&self) -> bool {
        N == 1 || self.0[0].key[K - 1] & OVERFLOWS != 0
    }

    fn set_overflows(&mut self) {
        if N > 1 {
            self.0[0].key[K - 1] |= OVERFLOWS;
        }
    }

    /// Inserts in order of arrival, as the most frequent pre-tokens come early. In a full line all slots
    /// move on by one, and the last one is returned.
    fn push(&mut self, slot: Slot<K, I>) -> Slot<K, I> {
        if let Some(empty) = self.0.iter_mut().find(|slot| slot.is_empty()) {
            return std::mem::replace(empty, slot);
        }
        let overflows = N > 1 && self.overflows();
        if overflows {
            self.0[0].key[K - 1] &= !OVERFLOWS;
        }
        let mut moved = slot;
        for slot in &mut self.0 {
            std::mem::swap(slot, &mut moved);
        }
        if overflows {
            self.set_overflows();
        }
        moved
    }
}

impl<const K: usize, const I: usize, const N: usize> Table<K, I, N> {
    const SHIFT: u32 = Slot::<K, I>::SHIFT;

    /// A table of at most `max_bytes`, a power of two.
    pub(super) fn new(max_bytes: usize) -> Self {
        let max = max_bytes / LINE;
        Self { lines: filled((FIRST_BYTES / LINE).min(max), Line::EMPTY), used: 0, max }
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the hottest call of all: one per pre-token")]
    fn slot(&self, key: [u64; K], hash: usize) -> Option<&Slot<K, I>> {
        let at = self.home(hash);
        let line = &self.lines[at];
        match line.find(key) {
            None if line.overflows() => self.lines[at ^ 1].find(key),
            found => found,
        }
    }

    /// Copies the ids of all pre-tokens that are found and have their ids in the slot; returns the number
    /// of ids. `ready` must have room for `I` ids per pre-token. For each other pre-token calls `left` with
    /// its index, the number of ids copied before it, and whether it was found: then its ids are in the
    /// arena, and prefetched.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    pub(super) fn take(
        &self,
        keys: &[Key<K>],
        arena: &[u32],
        ready: &mut [u32],
        mut left: impl FnMut(usize, usize, bool),
    ) -> usize {
        let mut count = 0;
        for (at, wanted) in keys.iter().enumerate() {
            let slot = if wanted.key[K - 1] == 0 { None } else { self.slot(wanted.key, wanted.hash) };
            let number = slot.map_or(ELSEWHERE, |slot| slot.key[K - 1] >> Self::SHIFT & COUNT_BITS);
            // Copies the whole array, of which some ids may not count: cheaper than a copy of variable
            // size.
            match (ready.get_mut(count..).and_then(<[u32]>::first_chunk_mut), slot) {
                (Some(room), Some(slot)) if number != ELSEWHERE => {
                    *room = slot.ids;
                    count += crate::token::index(number);
                }
                (_, known) => {
                    if let Some(ids) = known.and_then(|slot| arena.get(slot.ids[0] as usize)) {
                        prefetch(ids);
                    }
                    left(at, count, known.is_some());
                }
            }
        }
        count
    }

    /// The ids of a pre-token, from its slot or the arena.
    pub(super) fn find<'a>(&'a self, key: [u64; K], hash: usize, arena: &'a [u32]) -> Option<&'a [u32]> {
        let slot = self.slot(key, hash)?;
        let count = slot.key[K - 1] >> Self::SHIFT & COUNT_BITS;
        Some(if count == ELSEWHERE {
            let start = slot.ids[0] as usize;
            &arena[start..start + slot.ids[1] as usize]
        } else {
            &slot.ids[..crate::token::index(count)]
        })
    }

    pub(super) fn has(&self, key: [u64; K], hash: usize) -> bool {
        self.slot(key, hash).is_some()
    }

    pub(super) fn keep(&mut self, key: [u64; K], ids: &[u32], arena: &mut Vec<u32>) {
        if self.used * 2 > self.lines.len() * N && self.lines.len() < self.max {
            self.grow();
        }
        let mut slot = Slot { key, ids: [0; I] };
        let count = if ids.len() <= I.min(crate::token::index(ELSEWHERE) - 1) {
            slot.ids[..ids.len()].copy_from_slice(ids);
            ids.len() as u64
        } else {
            (slot.ids[0], slot.ids[1]) = push(arena, ids);
            ELSEWHERE
        };
        slot.key[K - 1] |= count << Self::SHIFT;
        self.put(slot, hash(key));
    }

    /// Prefetches the lines of a hash.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "one of the two hottest calls: one per pre-token")]
    pub(super) fn prefetch(&self, hash: usize) {
        let at = self.home(hash);
        prefetch(&self.lines[at]);
        if N == 1 {
            prefetch(&self.lines[at ^ 1]);
        }
    }

    /// The index of a hash's line.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the hottest call of all: one per pre-token")]
    fn home(&self, hash: usize) -> usize {
        hash & (self.lines.len() - 1)
    }

    fn put(&mut self, slot: Slot<K, I>, hash: usize) {
        let home = self.home(hash);
        let mut moved = self.lines[home].push(slot);
        if !moved.is_empty() {
            moved = self.lines[home ^ 1].push(moved);
            for line in [home, home ^ 1] {
                self.lines[line].set_overflows();
            }
        }
        self.used += usize::from(moved.is_empty());
    }

    fn grow(&mut self) {
        let size = self.lines.len() * 2;
        let old = std::mem::replace(&mut self.lines, filled(size, Line::EMPTY));
        self.used = 0;
        for line in old {
            for mut slot in line.0 {
                let key = slot.pre_token_key();
                if key[K - 1] != 0 {
                    if N > 1 {
                        slot.key[K - 1] &= !OVERFLOWS;
                    }
                    self.put(slot, hash(key));
                }
            }
        }
    }
}

/// Masks of the lowest bytes, by their number.
const MASKS: [[u64; 4]; 32] = {
    let mut masks = [[0; 4]; 32];
    let mut size = 0;
    while size < 32 {
        let mut at = 0;
        while at < size {
            masks[size][at / 8] |= 0xff << (8 * (at % 8));
            at += 1;
        }
        size += 1;
    }
    masks
};

/// The key of a pre-token: up to `8 * K - 1` bytes, and their number in the highest byte.
#[inline(always)]
#[allow(clippy::inline_always, reason = "the hottest call of all: one per pre-token")]
pub(super) fn key<const K: usize>(text: &[u8], from: usize, size: usize) -> [u64; K] {
    let load = |bytes: &[u8]| {
        let chunks = bytes.as_chunks::<8>().0;
        std::array::from_fn(|at| u64::from_le_bytes(chunks[at]))
    };
    let mut key: [u64; K] = if let Some(bytes) = text.get(from..from + 8 * K) {
        load(bytes)
    } else {
        let mut bytes = [0; 32];
        bytes[..size].copy_from_slice(&text[from..from + size]);
        load(&bytes)
    };
    for (part, mask) in key.iter_mut().zip(&MASKS[size % 32]) {
        *part &= mask;
    }
    key[K - 1] |= (size as u64) << 56;
    key
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "the hottest call of all: one per pre-token")]
pub(super) fn hash<const K: usize>(key: [u64; K]) -> usize {
    let mut all = 0;
    for pair in key.chunks_exact(2) {
        all = folded(pair[0] ^ 0x9E37_79B9_7F4A_7C15 ^ all, pair[1] ^ 0xD1B5_4A32_D192_ED03);
    }
    crate::token::index(all)
}

/// Folded multiplication: the xor of both halves of the product.
#[inline(always)]
#[allow(clippy::inline_always, reason = "the hottest call of all: one per pre-token")]
pub(super) fn folded(left: u64, right: u64) -> u64 {
    let bytes = (u128::from(left) * u128::from(right)).to_le_bytes();
    let [low, high] = [0, 8].map(|from| u64::from_le_bytes(std::array::from_fn(|at| bytes[from + at])));
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids of a pre-token: one to six, so that some are in the arena.
    fn ids(number: u32) -> Vec<u32> {
        (0..=number % 6).map(|at| 1000 * number + at).collect()
    }

    /// Inserts `count` pre-tokens and returns how many of them are found at the end; none may be found with
    /// other ids.
    fn found<const K: usize, const I: usize, const N: usize>(max_bytes: usize, count: u32) -> usize {
        let (mut table, mut arena) = (Table::<K, I, N>::new(max_bytes), Vec::new());
        let key = |number: u32| {
            let text = format!("{number:07}");
            key::<K>(text.as_bytes(), 0, text.len())
        };
        let mut found = 0;
        for last in 0..count {
            table.keep(key(last), &ids(last), &mut arena);
            assert_eq!(table.find(key(last), hash(key(last)), &arena), Some(&ids(last)[..]), "just kept");
            assert!(table.lines.len() * LINE <= max_bytes && table.used <= table.lines.len() * N);
        }
        for number in 0..2 * count {
            let place = (key(number), hash(key(number)));
            let at = table.find(place.0, place.1, &arena);
            assert_eq!(at.is_some(), table.has(place.0, place.1));
            assert!(at.is_none_or(|at| number < count && at == ids(number)), "{number}");
            found += usize::from(at.is_some());

            let mut ready = vec![0; 2 * I];
            let mut left = None;
            let wanted = Key { key: place.0, hash: place.1 };
            let taken = table
                .take(&[wanted], &arena, &mut ready, |at, before, known| left = Some((at, before, known)));
            match left {
                None => assert_eq!(at, Some(&ready[..taken])),
                Some(left) => assert_eq!((left, taken), ((0, 0, at.is_some()), 0)),
            }
        }
        found
    }

    #[test]
    fn words_that_are_found_have_their_own_ids_in_a_table_that_grows() {
        // Some pairs of lines overflow: a few pre-tokens are lost until they come again.
        assert!((3700..4001).contains(&found::<2, 4, 2>(1 << 20, 4000)));
        assert!((3300..4001).contains(&found::<4, 8, 1>(1 << 20, 4000)));
    }

    #[test]
    fn words_that_are_found_have_their_own_ids_in_a_full_table() {
        // 32 slots of short pre-tokens, or 16 of longer ones, nearly all of them occupied.
        assert!((28..33).contains(&found::<2, 4, 2>(1 << 10, 4000)));
        assert!((14..17).contains(&found::<4, 8, 1>(1 << 10, 4000)));
    }
}
