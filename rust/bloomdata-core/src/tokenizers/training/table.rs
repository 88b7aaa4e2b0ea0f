//! Pairs of symbols: how often each occurs, and in which pre-tokens.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A pair and where it may occur.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) left: u32,
    pub(super) right: u32,
    /// Occurrences, weighted by the counts of their pre-tokens. Negative only in the middle of a merge.
    pub(super) count: i64,
    /// Pre-tokens that contained the pair at some time; some may no longer do so.
    pub(super) pre_tokens: Vec<u32>,
}

/// All pairs.
#[derive(Debug, Default)]
pub(super) struct PairTable {
    places: HashMap<u64, u32>,
    pub(super) pairs: Vec<Pair>,
    /// Free slots in `pairs`.
    free: Vec<u32>,
}

impl PairTable {
    /// Adds occurrences of a pair in a pre-token. Returns the pair's slot if the pair is new.
    pub(super) fn add(&mut self, left: u32, right: u32, count: i64, pre_token: u32) -> Option<u32> {
        let entry = match self.places.entry(key(left, right)) {
            Entry::Vacant(entry) => entry,
            Entry::Occupied(entry) => {
                let pair = &mut self.pairs[*entry.get() as usize];
                pair.count += count;
                if pair.pre_tokens.last() != Some(&pre_token) {
                    pair.pre_tokens.push(pre_token);
                }
                return None;
            }
        };
        let pair = Pair { left, right, count, pre_tokens: vec![pre_token] };
        let place = if let Some(place) = self.free.pop() {
            self.pairs[place as usize] = pair;
            place
        } else {
            self.pairs.push(pair);
            crate::token::narrow(self.pairs.len() - 1)
        };
        Some(*entry.insert(place))
    }

    /// Removes a pair.
    pub(super) fn remove(&mut self, place: u32) {
        let pair = &mut self.pairs[place as usize];
        pair.pre_tokens = Vec::new();
        self.places.remove(&key(pair.left, pair.right));
        self.free.push(place);
    }

    /// Subtracts occurrences of a pair; pairs that are not in the table are ignored.
    pub(super) fn take(&mut self, left: u32, right: u32, count: i64) {
        if let Some(&place) = self.places.get(&key(left, right)) {
            self.pairs[place as usize].count -= count;
        }
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}
