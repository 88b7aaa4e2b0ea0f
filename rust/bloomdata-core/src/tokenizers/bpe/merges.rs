//! Byte pair encoding of a pre-token: the pair of the lowest rank is merged first, the leftmost one of
//! equal pairs.
//!
//! Origin: R. Sennrich et al., arXiv 1508.07909; the order is that of `Word::merge_all` in `tokenizers`.
//!
//! Symbols are internal numbers: 0 to 255 are bytes, then follow other characters, then the results of
//! merges in the order of their rank. A merge thus needs a single table lookup. Short pre-tokens scan an
//! array of ranks for every merge ([`interleaved`]); long ones use a heap, so that time is near linear for
//! any input.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::file::NO_ID;
use super::interleaved::{self, Lane, MAX_LANES, SCANNED};
use super::pairs::NONE;
use super::ranks::{Merge, Ranks, first_use};
use super::split_points::SplitPoints;
use super::starts::Starts;
use crate::token::narrow;

/// Symbols for which a thread keeps memory; a larger workspace is freed after the pre-token.
const KEPT: usize = 1 << 16;

/// The merge tables of a tokenizer.
#[derive(Debug)]
pub(super) struct Merger {
    ranks: Ranks,
    /// Ids of symbols.
    ids: Vec<u32>,
    split_points: SplitPoints,
    starts: Option<Starts>,
    /// The ids of each character of up to three bytes, where no token reaches beyond it; empty if unknown.
    alone: Vec<Alone>,
}

/// Up to three ids, and their number.
type Alone = [u32; 4];

/// A workspace, reused for every pre-token.
#[derive(Debug, Default)]
pub(super) struct MergeSpace {
    symbols: Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
    heap: BinaryHeap<Reverse<(u32, u32, u32, u32)>>,
    lanes: Vec<Lane>,
    ids: Vec<u32>,
}

impl Merger {
    /// From the ids of all symbols, of which the first `first` are not made by merges, and the merges in
    /// the order of their rank.
    pub(super) fn new(ids: Vec<u32>, first: usize, merges: &[Merge], split_points: SplitPoints) -> Self {
        let ranks = Ranks::new(first, merges);
        Self { ranks, ids, split_points, starts: None, alone: Vec::new() }
    }

    /// The case where symbols are bytes. Also derives the tables of characters from the bytes of all
    /// tokens.
    pub(super) fn of_bytes(ids: Vec<u32>, merges: &[Merge], texts: &[(u32, &[u8])]) -> Self {
        // Dropping a byte would make its neighbours adjacent, which the tables of characters do not model.
        let has_id = |(byte, &id): (u8, &u32)| id != NO_ID || matches!(byte, 0xc0 | 0xc1 | 0xf5..);
        let has_bytes = (0..=u8::MAX).zip(&ids).all(has_id);
        let first_use = first_use(ids.len(), merges);
        let mut merger = Self::new(ids, 256, merges, SplitPoints::none());
        if has_bytes {
            merger.split_points = SplitPoints::new(texts, |bytes| merger.ranks.symbol_of(bytes, &first_use));
            merger.starts = Some(Starts::new(merges, texts, &first_use));
            merger.alone = merger.all_alone();
        }
        merger
    }

    fn all_alone(&self) -> Vec<Alone> {
        let mut text = String::new();
        let ends: Vec<usize> = (0..1 << 16)
            .map(|code| {
                text.push(char::from_u32(code).unwrap_or_default());
                text.len()
            })
            .collect();
        let starts = std::iter::once(&0).chain(&ends);
        let mut all = Vec::with_capacity(ends.len());
        self.merge_each(starts.zip(&ends).map(|(&start, &end)| &text.as_bytes()[start..end]), |ids| {
            let id = |at: usize| ids.get(at).copied().unwrap_or_default();
            all.push([id(0), id(1), id(2), narrow(ids.len())]);
        });
        all
    }

    /// Whether no token crosses the boundary at `at`. Without `is_any`, only boundaries between ASCII
    /// characters count.
    #[inline]
    pub(super) fn may_cut(&self, text: &[u8], at: usize, is_any: bool) -> bool {
        if is_any {
            self.split_points.is_closed(text, at)
        } else {
            self.split_points.is_closed_ascii(text[at - 1], text[at])
        }
    }

    /// Visits the parts of a pre-token that no token crosses, in order. A part that is one character comes
    /// with its code point if [`Self::alone`] knows its ids.
    pub(super) fn parts(&self, pre_token: &[u8], mut visit: impl FnMut(usize, usize, Option<u32>)) {
        self.split_points.parts(pre_token, |from, end, code| {
            visit(from, end, code.filter(|&code| (code as usize) < self.alone.len()));
        });
    }

    /// The ids of a character, where no token reaches beyond it.
    pub(super) fn alone(&self, code: u32) -> &[u32] {
        let [ids @ .., count] = &self.alone[code as usize];
        &ids[..*count as usize]
    }

    /// Appends the ids of a pre-token.
    pub(super) fn merge(&self, pre_token: &[u8], space: &mut MergeSpace, out: &mut Vec<u32>) {
        if pre_token.len() <= SCANNED {
            return self
                .merge_interleaved(std::iter::once(pre_token), space, |_, ids| out.extend_from_slice(ids));
        }
        space.symbols.clear();
        self.split_points.start(pre_token, &self.ids, |symbol| space.symbols.push(symbol));
        self.heap(space);
        out.extend(space.symbols.iter().map(|&symbol| self.ids[symbol as usize]));
        if space.symbols.capacity() > KEPT {
            *space = MergeSpace::default();
        }
    }

    /// Starts a pre-token of up to [`SCANNED`] bytes.
    fn start(&self, pre_token: &[u8], lane: &mut Lane) {
        if let Some(starts) = self.starts.as_ref().filter(|_| pre_token.is_ascii()) {
            lane.start(|symbols| starts.start(pre_token, symbols));
        } else {
            lane.start(|symbols| {
                let mut count = 0;
                self.split_points.start(pre_token, &self.ids, |symbol| {
                    symbols[count] = symbol;
                    count += 1;
                });
                count
            });
        }
    }

    /// Merges several pre-tokens of up to [`SCANNED`] bytes, interleaved; visits the index and the ids of
    /// each.
    pub(super) fn merge_interleaved<'text>(
        &self,
        pre_tokens: impl Iterator<Item = &'text [u8]>,
        space: &mut MergeSpace,
        mut visit: impl FnMut(usize, &[u32]),
    ) {
        let mut count = 0;
        for pre_token in pre_tokens {
            if space.lanes.len() == count {
                space.lanes.push(Lane::default());
            }
            self.start(pre_token, &mut space.lanes[count]);
            count += 1;
        }
        interleaved::merge(&self.ranks, &mut space.lanes[..count]);
        for (at, lane) in space.lanes[..count].iter().enumerate() {
            space.ids.clear();
            space.ids.extend(lane.symbols().map(|symbol| self.ids[symbol as usize]));
            visit(at, &space.ids);
        }
    }

    /// Merges many pre-tokens, interleaved where they are short; visits their ids in order.
    pub(super) fn merge_each<'text>(
        &self,
        pre_tokens: impl Iterator<Item = &'text [u8]>,
        mut visit: impl FnMut(&[u32]),
    ) {
        let (mut space, mut ids) = (MergeSpace::default(), Vec::new());
        let mut pre_tokens = pre_tokens.peekable();
        while let Some(first) = pre_tokens.peek() {
            if first.len() > SCANNED {
                ids.clear();
                self.merge(first, &mut space, &mut ids);
                visit(&ids);
                pre_tokens.next();
            } else {
                let short = std::iter::from_fn(|| pre_tokens.next_if(|pre_token| pre_token.len() <= SCANNED));
                self.merge_interleaved(short.take(MAX_LANES), &mut space, |_, ids| visit(ids));
            }
        }
    }

    /// Merges with a heap over a linked list; stale heap entries are skipped.
    fn heap(&self, space: &mut MergeSpace) {
        let MergeSpace { symbols, next, previous, heap, .. } = space;
        let count = narrow(symbols.len());
        next.clear();
        next.extend((1..count).chain([NONE]));
        previous.clear();
        previous.extend([NONE].into_iter().chain(0..count.saturating_sub(1)));
        let entry = |symbols: &[u32], left: u32, right: u32| {
            let pair = (symbols[left as usize], symbols[right as usize]);
            let rank = self.ranks.of(pair.0, pair.1);
            (rank != NONE).then_some(Reverse((rank, left, pair.0, pair.1)))
        };
        // Heapified from a list, which is linear; repeated pushes are not.
        let mut entries = std::mem::take(heap).into_vec();
        entries.clear();
        entries.extend((1..count).filter_map(|right| entry(symbols, right - 1, right)));
        *heap = entries.into();
        while let Some(Reverse((rank, left, first, second))) = heap.pop() {
            let right = next[left as usize];
            if right == NONE || symbols[left as usize] != first || symbols[right as usize] != second {
                continue;
            }
            symbols[left as usize] = self.ranks.made(rank);
            symbols[right as usize] = NONE;
            let after = next[right as usize];
            next[left as usize] = after;
            if after != NONE {
                previous[after as usize] = left;
                heap.extend(entry(symbols, left, after));
            }
            let before = previous[left as usize];
            if before != NONE {
                heap.extend(entry(symbols, before, left));
            }
        }
        symbols.retain(|&symbol| symbol != NONE);
    }
}
