//! Byte pair encoding of one word: the pair with the lowest rank is merged first, of equals the leftmost.
//!
//! Origin: R. Sennrich et al., arXiv 1508.07909; the order is that of `tokenizers`' `Word::merge_all`. Short words scan
//! an array of ranks for every merge; long ones use a heap, so that time stays near linear for any input.

#![allow(clippy::disallowed_types, reason = "maps are looked up, their order is never seen")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Symbols up to which scanning beats a heap.
const SCANNED: usize = 96;
/// Of bytes that are not in the vocabulary.
pub(super) const NO_ID: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

/// A merge table.
#[derive(Debug)]
pub(super) struct Merger {
    byte_ids: Vec<u32>,
    table: PairTable,
    /// Whole words that are tokens, with `ignore_merges`.
    whole: HashMap<Box<[u8]>, u32>,
}

/// Memory that is used again for every word.
#[derive(Debug, Default)]
pub(super) struct MergeSpace {
    ids: Vec<u32>,
    ranks: Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
    heap: BinaryHeap<Reverse<(u32, u32, u32, u32)>>,
}

impl Merger {
    /// From ids of all bytes, and merges (left, right, result) in the order of their rank; of equal pairs the last
    /// counts.
    pub(super) fn new(
        byte_ids: Vec<u32>,
        merges: &[(u32, u32, u32)],
        whole: HashMap<Box<[u8]>, u32>,
    ) -> Self {
        Self { byte_ids, table: PairTable::new(merges), whole }
    }

    /// Appends the ids of a word.
    pub(super) fn merge(&self, word: &[u8], space: &mut MergeSpace, out: &mut Vec<u32>) {
        if let Some(&id) = self.whole.get(word) {
            out.push(id);
            return;
        }
        space.ids.clear();
        let ids = word.iter().map(|&byte| self.byte_ids[usize::from(byte)]);
        space.ids.extend(ids.filter(|&id| id != NO_ID));
        if space.ids.is_empty() {
            return;
        }
        if space.ids.len() <= SCANNED {
            self.scan(space);
        } else {
            self.heap(space);
        }
        out.extend_from_slice(&space.ids);
    }

    fn scan(&self, space: &mut MergeSpace) {
        let MergeSpace { ids, ranks, .. } = space;
        ranks.clear();
        ranks.extend(ids.windows(2).map(|pair| self.table.get(pair[0], pair[1]).0));
        loop {
            let mut best = (NONE, 0);
            for (at, &rank) in ranks.iter().enumerate() {
                if rank < best.0 {
                    best = (rank, at);
                }
            }
            let (rank, at) = best;
            if rank == NONE {
                return;
            }
            ids[at] = self.table.get(ids[at], ids[at + 1]).1;
            ids.remove(at + 1);
            ranks.remove(at);
            if at > 0 {
                ranks[at - 1] = self.table.get(ids[at - 1], ids[at]).0;
            }
            if at < ranks.len() {
                ranks[at] = self.table.get(ids[at], ids[at + 1]).0;
            }
        }
    }

    /// The same with a heap over a linked list; entries whose pair is gone are skipped.
    fn heap(&self, space: &mut MergeSpace) {
        let MergeSpace { ids, next, previous, heap, .. } = space;
        let count = u32::try_from(ids.len()).unwrap_or(NONE);
        next.clear();
        next.extend((1..count).chain([NONE]));
        previous.clear();
        previous.extend([NONE].into_iter().chain(0..count - 1));
        heap.clear();
        let push = |heap: &mut BinaryHeap<_>, ids: &[u32], left: u32, right: u32| {
            let pair = (ids[left as usize], ids[right as usize]);
            let (rank, _) = self.table.get(pair.0, pair.1);
            if rank != NONE {
                heap.push(Reverse((rank, left, pair.0, pair.1)));
            }
        };
        for left in 0..count - 1 {
            push(heap, ids, left, left + 1);
        }
        while let Some(Reverse((_, left, first, second))) = heap.pop() {
            let right = next[left as usize];
            if right == NONE || ids[left as usize] != first || ids[right as usize] != second {
                continue;
            }
            ids[left as usize] = self.table.get(first, second).1;
            ids[right as usize] = NONE;
            let after = next[right as usize];
            next[left as usize] = after;
            if after != NONE {
                previous[after as usize] = left;
                push(heap, ids, left, after);
            }
            let before = previous[left as usize];
            if before != NONE {
                push(heap, ids, before, left);
            }
        }
        ids.retain(|&id| id != NONE);
    }
}

/// Pairs of ids to (rank, merged id), in a table with open addressing that is at most half full.
#[derive(Debug)]
struct PairTable {
    slots: Vec<(u64, u32, u32)>,
    mask: usize,
}

impl PairTable {
    fn new(merges: &[(u32, u32, u32)]) -> Self {
        let size = (2 * merges.len() + 2).next_power_of_two();
        let mut table = Self { slots: vec![(u64::MAX, NONE, NONE); size], mask: size - 1 };
        for (rank, &(left, right, merged)) in (0_u32..).zip(merges) {
            let at = table.find(key(left, right));
            table.slots[at] = (key(left, right), rank, merged);
        }
        table
    }

    fn find(&self, key: u64) -> usize {
        let mut at = mix(key) & self.mask;
        while self.slots[at].0 != key && self.slots[at].0 != u64::MAX {
            at = (at + 1) & self.mask;
        }
        at
    }

    fn get(&self, left: u32, right: u32) -> (u32, u32) {
        let (_, rank, merged) = self.slots[self.find(key(left, right))];
        (rank, merged)
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

fn mix(key: u64) -> usize {
    let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    crate::token::index(mixed ^ (mixed >> 32))
}
