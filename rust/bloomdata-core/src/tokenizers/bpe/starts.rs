//! Merges of two bytes that may be done before all others.
//!
//! In `…xaby…`, `a` and `b` are merged with each other before anything else happens to them if no merge of a lower rank can
//! take one of them away: none of what ends with `x` with `a` alone, and none of `b` alone with what starts with `y`.
//! Whatever becomes of the rest of the word, only such merges could. And what they make must not be merged by a lower rank
//! than theirs, as merge lists in a strange order would have it: that merge would come too early. So they are all done at
//! once, without a search for the lowest rank, and they are about half of all merges of an English word.

use super::lanes::SCANNED;
use super::merges::Merge;
use super::pairs::NONE;

/// Of two bytes that stand next to each other.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
struct Start {
    /// The rank of their merge.
    rank: u32,
    /// The symbol that it makes.
    made: u32,
    /// The lowest rank of a merge of the second byte with something that ends with the first.
    takes_second: u32,
    /// The lowest rank of a merge of the first byte with something that starts with the second.
    takes_first: u32,
}

const NO_START: Start = Start { rank: NONE, made: NONE, takes_second: NONE, takes_first: NONE };

/// One entry for every two bytes.
#[derive(Debug)]
pub(super) struct Starts(Vec<Start>);

impl Starts {
    /// From merges in the order of their rank, the bytes of all symbols, and the first rank that each symbol is part of.
    pub(super) fn new(merges: &[Merge], texts: &[(u32, Vec<u8>)], first_use: &[u32]) -> Self {
        let mut ends = vec![(0, 0); merges.len() + 256];
        for (symbol, text) in texts {
            if let (Some(&first), Some(&last)) = (text.first(), text.last()) {
                ends[*symbol as usize] = (first, last);
            }
        }
        let mut starts = Self(vec![NO_START; 1 << 16]);
        // Of equal pairs the last counts; a lower rank than the one that counts only makes a bound too careful.
        for (rank, merge) in (0_u32..).zip(merges) {
            let &Some((left, right, made)) = merge else { continue };
            if let Ok(right) = u8::try_from(right) {
                let entry = starts.at(ends[left as usize].1, right);
                entry.takes_second = entry.takes_second.min(rank);
            }
            if let Ok(left) = u8::try_from(left) {
                let entry = starts.at(left, ends[right as usize].0);
                entry.takes_first = entry.takes_first.min(rank);
            }
            if let (Ok(left), Ok(right)) = (u8::try_from(left), u8::try_from(right)) {
                let entry = starts.at(left, right);
                let rank = if rank < first_use[made as usize] { rank } else { NONE };
                (entry.rank, entry.made) = (rank, made);
            }
        }
        starts
    }

    fn at(&mut self, left: u8, right: u8) -> &mut Start {
        &mut self.0[usize::from(left) << 8 | usize::from(right)]
    }

    /// The symbols that a word starts with, and how many.
    pub(super) fn start(&self, word: &[u8], symbols: &mut [u32; SCANNED]) -> usize {
        let of = |at: usize| match word.get(at..at + 2) {
            Some(two) => self.0[usize::from(two[0]) << 8 | usize::from(two[1])],
            None => NO_START,
        };
        let (mut at, mut count, mut before) = (0, 0, NO_START);
        while at < word.len() {
            let (here, behind) = (of(at), of(at + 1));
            let is_first = here.rank < before.takes_second && here.rank < behind.takes_first;
            symbols[count] = if is_first { here.made } else { u32::from(word[at]) };
            count += 1;
            (at, before) = if is_first { (at + 2, behind) } else { (at + 1, here) };
        }
        count
    }
}
