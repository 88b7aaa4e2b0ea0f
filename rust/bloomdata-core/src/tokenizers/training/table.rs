//! Pairs of symbols, how often each occurs, and in which words.

use hashbrown::HashMap;

/// A pair and where it may be.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) left: u32,
    pub(super) right: u32,
    /// Occurrences, each times the count of its word. Below zero only while a step is under way.
    pub(super) count: i64,
    /// Words that have had it; it may be gone from some.
    pub(super) words: Vec<u32>,
}

/// All pairs.
#[derive(Debug, Default)]
pub(super) struct PairTable {
    places: HashMap<u64, u32>,
    pub(super) pairs: Vec<Pair>,
}

impl PairTable {
    /// Adds occurrences of a pair in a word; the pair's place, if it is new.
    pub(super) fn add(&mut self, left: u32, right: u32, count: i64, word: u32) -> Option<u32> {
        let next = u32::try_from(self.pairs.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(key(left, right)).or_insert(next);
        if place == next {
            self.pairs.push(Pair { left, right, count, words: vec![word] });
            return Some(place);
        }
        let pair = &mut self.pairs[place as usize];
        pair.count += count;
        if pair.words.last() != Some(&word) {
            pair.words.push(word);
        }
        None
    }

    /// Takes occurrences of a pair away; pairs that are not counted stay so.
    pub(super) fn take(&mut self, left: u32, right: u32, count: i64) {
        if let Some(&place) = self.places.get(&key(left, right)) {
            self.pairs[place as usize].count -= count;
        }
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}
