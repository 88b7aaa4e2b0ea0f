//! Interleaved merging: several short pre-tokens are merged at the same time.
//!
//! Merging is bound by memory latency: the table of pairs exceeds the nearest caches, and the next pair is
//! known only after the last lookup. Pre-tokens therefore take turns: each prefetches its next pairs, which
//! have arrived by its next turn.

use super::pairs::NONE;
use super::ranks::Ranks;
use crate::token::{low_byte, narrow};

/// Up to this many symbols, scanning an array beats a heap.
pub(super) const SCANNED: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 6;
/// Maximum number of pre-tokens that take turns.
pub(super) const MAX_LANES: usize = 32;
/// Keys compared at once.
const WIDTH: usize = 8;
/// Key of pairs that are never merged, and of places without a symbol.
const NO_KEY: i32 = i32::MAX;
/// In place of an index.
const NO_PLACE: u8 = u8::MAX;

/// A pre-token in progress. A key is a rank and the index of the left symbol, so that the least key is the
/// next merge.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    symbols: [u32; SCANNED],
    keys: [i32; SCANNED],
    next: [u8; SCANNED],
    previous: [u8; SCANNED],
    count: usize,
    /// Indices whose keys are still to be looked up.
    waiting: [u8; 2],
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            symbols: [0; SCANNED],
            keys: [NO_KEY; SCANNED],
            next: [0; SCANNED],
            previous: [0; SCANNED],
            count: 0,
            waiting: [NO_PLACE; 2],
        }
    }
}

impl Lane {
    /// Starts a pre-token; `fill` writes its symbols and returns their number.
    pub(super) fn start(&mut self, fill: impl FnOnce(&mut [u32; SCANNED]) -> usize) {
        self.count = fill(&mut self.symbols);
        for at in 0..self.count {
            self.next[at] = low_byte(at + 1);
            self.previous[at] = low_byte(at.wrapping_sub(1));
        }
    }

    /// The remaining symbols of the pre-token.
    pub(super) fn symbols(&self) -> impl Iterator<Item = u32> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let symbol = self.symbols[..self.count].get(at).copied();
            at = usize::from(*self.next.get(at)?);
            symbol
        })
    }

    fn key(&self, ranks: &Ranks, at: usize, right: usize) -> i32 {
        match ranks.of(self.symbols[at], self.symbols[right]) {
            NONE => NO_KEY,
            rank => (rank << PLACE_BITS | narrow(at)).cast_signed(),
        }
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn first_keys(&mut self, ranks: &Ranks) {
        self.keys[..self.count.next_multiple_of(WIDTH).min(SCANNED)].fill(NO_KEY);
        for right in 1..self.count {
            self.keys[right - 1] = self.key(ranks, right - 1, right);
        }
        self.waiting = [NO_PLACE; 2];
    }

    /// Applies the next merge and prefetches the ranks of the pairs that it creates. Returns whether there
    /// was one.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn step(&mut self, ranks: &Ranks) -> bool {
        for place in std::mem::replace(&mut self.waiting, [NO_PLACE; 2]) {
            if let Some(&right) = self.next.get(usize::from(place)) {
                self.keys[usize::from(place)] =
                    self.key(ranks, usize::from(place), usize::from(right) % SCANNED);
            }
        }
        let mut least = [NO_KEY; WIDTH];
        for part in self.keys[..self.count.next_multiple_of(WIDTH).min(SCANNED)].chunks_exact(WIDTH) {
            for (least, &key) in least.iter_mut().zip(part) {
                *least = (*least).min(key);
            }
        }
        let best = least.into_iter().fold(NO_KEY, i32::min);
        if best == NO_KEY {
            return false;
        }
        let best = best.cast_unsigned();
        let (rank, at) = (best >> PLACE_BITS, best as usize % SCANNED);
        let made = ranks.made(rank);
        self.symbols[at] = made;
        let right = usize::from(self.next[at]) % SCANNED;
        self.keys[right] = NO_KEY;
        self.keys[at] = NO_KEY;
        self.next[at] = self.next[right];
        let after = usize::from(self.next[at]);
        if after < self.count {
            self.previous[after] = low_byte(at);
            ranks.prefetch(made, self.symbols[after]);
            self.waiting[0] = low_byte(at);
        }
        let before = usize::from(self.previous[at]);
        if before < SCANNED {
            ranks.prefetch(self.symbols[before], made);
            self.waiting[1] = low_byte(before);
        }
        true
    }
}

/// Merges all pre-tokens completely.
pub(super) fn merge(ranks: &Ranks, lanes: &mut [Lane]) {
    lanes.chunks_mut(MAX_LANES).for_each(|lanes| merge_some(ranks, lanes));
}

fn merge_some(ranks: &Ranks, lanes: &mut [Lane]) {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        #[allow(unsafe_code, reason = "the instruction set is known only at run time")]
        // SAFETY: the features were detected just before.
        return unsafe { merge_avx2(ranks, lanes) };
    }
    merge_by_turns(ranks, lanes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn merge_avx2(ranks: &Ranks, lanes: &mut [Lane]) {
    merge_by_turns(ranks, lanes);
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
fn merge_by_turns(ranks: &Ranks, lanes: &mut [Lane]) {
    for lane in &*lanes {
        for two in lane.symbols[..lane.count].windows(2) {
            ranks.prefetch(two[0], two[1]);
        }
    }
    let mut turns: [u8; MAX_LANES] = std::array::from_fn(low_byte);
    for lane in &mut *lanes {
        lane.first_keys(ranks);
    }
    let mut count = lanes.len();
    while count > 0 {
        let mut left = 0;
        for turn in 0..count {
            let at = turns[turn];
            turns[left] = at;
            left += usize::from(lanes[usize::from(at)].step(ranks));
        }
        count = left;
    }
}
