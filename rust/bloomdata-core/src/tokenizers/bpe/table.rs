//! Tables of words and their ids.
//!
//! Keys are compared whole: a hash alone would not be exact. Tables start small enough for the nearest cache and double as
//! long as new words keep coming, up to their bound; then a new word takes the place of the oldest one of its four slots, or
//! two.

use super::super::memory::{filled, prefetch};

/// Slots at first.
const FIRST_SLOTS: usize = 1 << 12;

pub(super) fn push(arena: &mut Vec<u32>, ids: &[u32]) -> (u32, u32) {
    let start = u32::try_from(arena.len()).unwrap_or(0);
    arena.extend_from_slice(ids);
    (start, u32::try_from(ids.len()).unwrap_or(0))
}

/// The highest byte of a key: the word's size in its lower bits, above them how many ids a slot has.
const COUNT_SHIFT: [u32; 2] = [60, 61];
/// The count that stands for "in the arena": the first two ids are its start and its number.
const ELSEWHERE: [u64; 2] = [15, 7];

/// Slots for words of `8 * K - 1` bytes and up to `I` ids.
#[derive(Debug)]
pub(super) struct Table<const K: usize, const I: usize> {
    slots: Vec<Slot<K, I>>,
    used: usize,
    max: usize,
}

#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Slot<const K: usize, const I: usize> {
    key: [u64; K],
    ids: [u32; I],
}

impl<const K: usize, const I: usize> Slot<K, I> {
    const SHIFT: u32 = COUNT_SHIFT[K / 4];

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the hottest call of all: one a word")]
    fn is_of(&self, key: [u64; K]) -> bool {
        let mut is_same = (self.key[K - 1] << (64 - Self::SHIFT)) == (key[K - 1] << (64 - Self::SHIFT));
        for (found, wanted) in self.key[..K - 1].iter().zip(&key) {
            is_same &= found == wanted;
        }
        is_same
    }
}

impl<const K: usize, const I: usize> Table<K, I> {
    const SHIFT: u32 = Slot::<K, I>::SHIFT;
    const ELSEWHERE: u64 = ELSEWHERE[K / 4];
    const EMPTY: Slot<K, I> = Slot { key: [0; K], ids: [0; I] };

    pub(super) fn new(max: usize) -> Self {
        Self { slots: filled(FIRST_SLOTS.min(max), Self::EMPTY), used: 0, max }
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the hottest call of all: one a word")]
    pub(super) fn find(
        &self,
        key: [u64; K],
        hash: usize,
        arena: &[u32],
        out: &mut Vec<u32>,
    ) -> Result<(), ()> {
        for at in self.ways(hash) {
            let slot = &self.slots[at];
            if slot.is_of(key) {
                let count = slot.key[K - 1] >> Self::SHIFT;
                if count == Self::ELSEWHERE {
                    let start = slot.ids[0] as usize;
                    out.extend_from_slice(&arena[start..start + slot.ids[1] as usize]);
                } else {
                    // All at once, then cut back: cheaper than a copy of unknown size.
                    let before = out.len();
                    out.extend_from_slice(&slot.ids);
                    out.truncate(before + crate::token::index(count));
                }
                return Ok(());
            }
        }
        Err(())
    }

    pub(super) fn has(&self, key: [u64; K], hash: usize) -> bool {
        self.ways(hash).any(|at| self.slots[at].is_of(key))
    }

    pub(super) fn keep(&mut self, key: [u64; K], ids: &[u32], arena: &mut Vec<u32>) {
        if self.used * 2 > self.slots.len() && self.slots.len() < self.max {
            self.grow();
        }
        let mut slot = Slot { key, ids: [0; I] };
        let count = if ids.len() <= I.min(crate::token::index(Self::ELSEWHERE) - 1) {
            slot.ids[..ids.len()].copy_from_slice(ids);
            ids.len() as u64
        } else {
            (slot.ids[0], slot.ids[1]) = push(arena, ids);
            Self::ELSEWHERE
        };
        slot.key[K - 1] |= count << Self::SHIFT;
        self.put(slot, hash(key));
    }

    /// Asks for the memory of all slots of a hash.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "one of the two hottest calls: one a word")]
    pub(super) fn prefetch(&self, hash: usize) {
        // 128 bytes are two lines of memory.
        let at = hash & (self.slots.len() - 1);
        prefetch(&self.slots[at]);
        prefetch(&self.slots[at ^ (4 / K)]);
    }

    /// Where a word may stand: in 128 bytes.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the hottest call of all: one a word")]
    fn ways(&self, hash: usize) -> impl Iterator<Item = usize> + use<K, I> {
        let first = hash & (self.slots.len() - 1);
        (0..8 / K).map(move |way| first ^ way)
    }

    /// The newest stands first; the others move on by one, and the last is lost.
    fn put(&mut self, slot: Slot<K, I>, hash: usize) {
        let mut moved = slot;
        for at in self.ways(hash) {
            std::mem::swap(&mut self.slots[at], &mut moved);
            if moved.key[K - 1] == 0 {
                self.used += 1;
                return;
            }
        }
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, filled(size, Self::EMPTY));
        self.used = 0;
        for slot in old {
            if slot.key[K - 1] != 0 {
                let mut key = slot.key;
                key[K - 1] = key[K - 1] << (64 - Self::SHIFT) >> (64 - Self::SHIFT);
                self.put(slot, hash(key));
            }
        }
    }
}

/// Ones in the lowest bytes, so many.
const LOW_BYTES: [u64; 9] = [
    0,
    0xff,
    0xffff,
    0xff_ffff,
    0xffff_ffff,
    0xff_ffff_ffff,
    0xffff_ffff_ffff,
    0xff_ffff_ffff_ffff,
    u64::MAX,
];

/// Up to `8 * K - 1` bytes and their number.
#[inline(always)]
#[allow(clippy::inline_always, reason = "the hottest call of all: one a word")]
pub(super) fn key<const K: usize>(text: &[u8], from: usize, size: usize) -> [u64; K] {
    let words = |bytes: &[u8]| {
        let words = bytes.as_chunks::<8>().0;
        std::array::from_fn(|at| u64::from_le_bytes(words[at]))
    };
    let mut key: [u64; K] = if let Some(bytes) = text.get(from..from + 8 * K) {
        words(bytes)
    } else {
        let mut bytes = [0; 32];
        bytes[..size].copy_from_slice(&text[from..from + size]);
        words(&bytes)
    };
    for (at, word) in key.iter_mut().enumerate() {
        *word &= LOW_BYTES[size.saturating_sub(8 * at).min(8)];
    }
    key[K - 1] |= (size as u64) << 56;
    key
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "the hottest call of all: one a word")]
pub(super) fn hash<const K: usize>(key: [u64; K]) -> usize {
    let mut all = 0;
    for pair in key.chunks_exact(2) {
        all = folded(pair[0] ^ 0x9E37_79B9_7F4A_7C15 ^ all, pair[1] ^ 0xD1B5_4A32_D192_ED03);
    }
    crate::token::index(all)
}

/// Both halves of a product as one.
#[inline(always)]
#[allow(clippy::inline_always, reason = "the hottest call of all: one a word")]
pub(super) fn folded(left: u64, right: u64) -> u64 {
    let bytes = (u128::from(left) * u128::from(right)).to_le_bytes();
    let [low, high] = [0, 8].map(|from| u64::from_le_bytes(std::array::from_fn(|at| bytes[from + at])));
    low ^ high
}
