//! Ranks of merges: which pairs of symbols are merged, in which order, and the symbol that each makes.

use super::pairs::{NONE, Pairs};
use crate::token::narrow;

/// A merge: the left symbol, the right one, and the symbol that it makes. Its rank is its index. `None`
/// keeps the place of a merge that can never apply.
pub(super) type Merge = Option<(u32, u32, u32)>;

/// The ranks of all pairs, and what each rank makes.
#[derive(Debug)]
pub(super) struct Ranks {
    pairs: Pairs,
    /// What the first merge makes.
    first: u32,
    /// What each rank makes, where that is not simply the next symbol.
    made: Option<Vec<u32>>,
}

impl Ranks {
    /// From merges in the order of their rank; `first` is the number of symbols that no merge makes.
    pub(super) fn new(first: usize, merges: &[Merge]) -> Self {
        let first = narrow(first);
        let pairs: Vec<_> = (0_u32..)
            .zip(merges)
            .filter_map(|(rank, merge)| merge.map(|(left, right, _)| (left, right, rank)))
            .collect();
        let is_next = |(rank, merge): (u32, &Merge)| merge.is_none_or(|(_, _, made)| made == first + rank);
        let made = (!(0..).zip(merges).all(is_next))
            .then(|| merges.iter().map(|merge| merge.map_or(NONE, |(_, _, made)| made)).collect());
        Self { pairs: Pairs::new(&pairs), first, made }
    }

    /// The rank of a pair of symbols, or [`NONE`].
    #[inline]
    pub(super) fn of(&self, left: u32, right: u32) -> u32 {
        self.pairs.get(left, right)
    }

    /// Prefetches what [`Self::of`] reads.
    #[inline]
    pub(super) fn prefetch(&self, left: u32, right: u32) {
        self.pairs.prefetch(left, right);
    }

    /// The symbol that the merge of a rank makes.
    #[inline]
    pub(super) fn made(&self, rank: u32) -> u32 {
        self.made.as_ref().map_or(self.first + rank, |made| made[rank as usize])
    }

    /// The symbol that a character alone becomes, if it becomes a single one and all its merges come before
    /// any merge with a neighbour.
    pub(super) fn symbol_of(&self, bytes: &[u8], first_use: &[u32]) -> Option<u32> {
        let mut symbols: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte)).collect();
        let mut last = None;
        while symbols.len() > 1 {
            let ranks = symbols.windows(2).map(|pair| self.of(pair[0], pair[1]));
            let (rank, at) = ranks.zip(0..).min().filter(|&(rank, _)| rank != NONE)?;
            symbols[at] = self.made(rank);
            symbols.remove(at + 1);
            last = last.max(Some(rank));
        }
        let symbol = symbols[0];
        last.is_none_or(|last| last < first_use[symbol as usize]).then_some(symbol)
    }
}

/// The lowest rank of a merge that each symbol takes part in, or [`NONE`].
pub(super) fn first_use(num_symbols: usize, merges: &[Merge]) -> Vec<u32> {
    let mut first_use = vec![NONE; num_symbols];
    for (rank, merge) in (0_u32..).zip(merges) {
        for part in merge.iter().flat_map(|&(left, right, _)| [left, right]) {
            let first = &mut first_use[part as usize];
            *first = rank.min(*first);
        }
    }
    first_use
}
