//! Maps a pair of symbols to the rank of its merge: a hash table with open addressing, at most half full, 8
//! bytes per slot.

use super::super::memory::{filled, prefetch};

/// Rank of pairs that are never merged.
pub(super) const NONE: u32 = u32::MAX;
/// Bits of a symbol, and of a rank.
const BITS: u32 = 21;
/// Symbols and ranks are below this.
pub(super) const MAX_SYMBOLS: usize = (1 << BITS) - 1;
const EMPTY: u64 = u64::MAX;

/// The table. A slot holds left symbol, right symbol and rank, 21 bits each.
#[derive(Debug)]
pub(super) struct Pairs {
    slots: Vec<u64>,
    shift: u32,
    /// Ranks of pairs of bytes, which are half of all lookups.
    bytes: Vec<u32>,
}

impl Pairs {
    /// From left symbol, right symbol and rank; the last of equal pairs wins.
    pub(super) fn new(pairs: &[(u32, u32, u32)]) -> Self {
        let size = (2 * pairs.len() + 2).next_power_of_two();
        let mut table = Self {
            slots: filled(size, EMPTY),
            shift: 64 - size.trailing_zeros(),
            bytes: vec![NONE; 1 << 16],
        };
        for &(left, right, rank) in pairs {
            if left < 256 && right < 256 {
                table.bytes[(left << 8 | right) as usize] = rank;
                continue;
            }
            let key = key(left, right);
            let at = table.find(key);
            table.slots[at] = key << BITS | u64::from(rank);
        }
        table
    }

    /// The rank of a pair, or [`NONE`].
    #[inline]
    pub(super) fn get(&self, left: u32, right: u32) -> u32 {
        if left < 256 && right < 256 {
            return self.bytes[(left << 8 | right) as usize];
        }
        let slot = self.slots[self.find(key(left, right))];
        if slot == EMPTY { NONE } else { rank_of(slot) }
    }

    /// Prefetches what [`Self::get`] reads.
    #[inline]
    pub(super) fn prefetch(&self, left: u32, right: u32) {
        if left < 256 && right < 256 {
            prefetch(&self.bytes[(left << 8 | right) as usize]);
        } else {
            prefetch(&self.slots[self.first(key(left, right))]);
        }
    }

    fn first(&self, key: u64) -> usize {
        crate::token::index(key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift)
    }

    fn find(&self, key: u64) -> usize {
        let mut at = self.first(key);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY || slot >> BITS == key {
                return at;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "masked")]
fn rank_of(slot: u64) -> u32 {
    (slot & ((1 << BITS) - 1)) as u32
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << BITS | u64::from(right)
}
