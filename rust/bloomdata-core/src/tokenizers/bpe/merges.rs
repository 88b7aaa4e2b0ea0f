//! Byte pair encoding of one word: the pair with the lowest rank is merged first, of equals the leftmost.
//!
//! Origin: R. Sennrich et al., arXiv 1508.07909; the order is that of `tokenizers`' `Word::merge_all`.
//!
//! Symbols are numbers of our own: bytes are 0 to 255, other characters follow, and then what merges make in the order of
//! their rank, so that looking up a pair is all there is to a merge. Short words scan an array of ranks for every merge; long ones use a heap, so
//! that time stays near linear for any input.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::chars::Chars;
use super::pairs::{NONE, Pairs};
use crate::token::{low_byte, narrow};

/// Symbols up to which scanning beats a heap.
const SCANNED: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 6;
/// Keys compared at once.
const LANES: usize = 8;
/// Of pairs that are not merged, and of places without a symbol.
const NO_KEY: i32 = i32::MAX;
/// Of bytes that are not in the vocabulary.
pub(super) const NO_ID: u32 = u32::MAX;
/// Symbols that a thread keeps room for; more are given back after the word.
const KEPT: usize = 1 << 16;

/// A merge: symbols left and right, and the symbol that it makes; its rank is its place.
pub(super) type Merge = Option<(u32, u32, u32)>;

/// Merge tables of a tokenizer.
#[derive(Debug)]
pub(super) struct Merger {
    pairs: Pairs,
    /// What the first merge makes.
    first: u32,
    /// What each rank makes, where that is not simply the next symbol.
    made: Option<Vec<u32>>,
    /// Ids of symbols.
    ids: Vec<u32>,
    chars: Chars,
}

/// Memory that is used again for every word.
#[derive(Debug, Default)]
pub(super) struct MergeSpace {
    symbols: Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
    heap: BinaryHeap<Reverse<(u32, u32, u32, u32)>>,
}

impl Merger {
    /// From the ids of all symbols, first those that are not made, and merges in the order of their rank; `None` holds
    /// the place of one that can never be.
    pub(super) fn new(ids: Vec<u32>, first: usize, merges: &[Merge], chars: Chars) -> Self {
        let first = narrow(first);
        let pairs: Vec<_> = (0_u32..)
            .zip(merges)
            .filter_map(|(rank, merge)| merge.map(|(left, right, _)| (left, right, rank)))
            .collect();
        let is_next = |(rank, merge): (u32, &Merge)| merge.is_none_or(|(_, _, made)| made == first + rank);
        let made = (!(0..).zip(merges).all(is_next))
            .then(|| merges.iter().map(|merge| merge.map_or(NONE, |(_, _, made)| made)).collect());
        Self { pairs: Pairs::new(&pairs), first, made, ids, chars }
    }

    /// The same where symbols are bytes, with what is found out about characters from the bytes of all tokens.
    pub(super) fn of_bytes(ids: Vec<u32>, merges: &[Merge], texts: &[Vec<u8>]) -> Self {
        // A byte that is left out would make neighbours of what is around it.
        let has_id = |(byte, &id): (u8, &u32)| id != NO_ID || matches!(byte, 0xc0 | 0xc1 | 0xf5..);
        let has_bytes = (0..=u8::MAX).zip(&ids).all(has_id);
        let mut first_use = vec![NONE; ids.len()];
        for (rank, merge) in (0_u32..).zip(merges) {
            for part in merge.iter().flat_map(|&(left, right, _)| [left, right]) {
                let first = &mut first_use[part as usize];
                *first = rank.min(*first);
            }
        }
        let mut merger = Self::new(ids, 256, merges, Chars::none());
        if has_bytes {
            merger.chars = Chars::new(texts, |bytes| merger.symbol_of(bytes, &first_use));
        }
        merger
    }

    /// Whether no token lies across the boundary at `at`, if that is one of ASCII, or of any characters.
    #[inline]
    pub(super) fn may_cut(&self, text: &[u8], at: usize, is_any: bool) -> bool {
        if is_any {
            self.chars.is_closed(text, at)
        } else {
            self.chars.is_closed_ascii(text[at - 1], text[at])
        }
    }

    /// The end of the part of a word that begins at `from` and that no token leaves.
    pub(super) fn part_end(&self, word: &[u8], from: usize) -> usize {
        self.chars.part_end(word, from)
    }

    /// Appends the ids of a word.
    pub(super) fn merge(&self, word: &[u8], space: &mut MergeSpace, out: &mut Vec<u32>) {
        if word.len() <= SCANNED {
            let mut symbols = [0; SCANNED];
            let mut count = 0;
            self.chars.start(word, &self.ids, |symbol| {
                symbols[count] = symbol;
                count += 1;
            });
            return self.scan_fast(&mut symbols, count, out);
        }
        space.symbols.clear();
        self.chars.start(word, &self.ids, |symbol| space.symbols.push(symbol));
        self.heap(space);
        out.extend(space.symbols.iter().map(|&symbol| self.ids[symbol as usize]));
        if space.symbols.capacity() > KEPT {
            *space = MergeSpace::default();
        }
    }

    /// The symbol that a character becomes by itself, if it becomes one, and all its merges come before any merge with
    /// a neighbour.
    fn symbol_of(&self, bytes: &[u8], first_use: &[u32]) -> Option<u32> {
        let mut symbols: Vec<u32> = bytes.iter().map(|&byte| u32::from(byte)).collect();
        let mut last = None;
        while symbols.len() > 1 {
            let pairs = symbols.windows(2).map(|pair| self.pairs.get(pair[0], pair[1]));
            let (rank, at) = pairs.zip(0..).min().filter(|&(rank, _)| rank != NONE)?;
            symbols[at] = self.made(rank);
            symbols.remove(at + 1);
            last = last.max(Some(rank));
        }
        let symbol = symbols[0];
        last.is_none_or(|last| last < first_use[symbol as usize]).then_some(symbol)
    }

    fn made(&self, rank: u32) -> u32 {
        self.made.as_ref().map_or(self.first + rank, |made| made[rank as usize])
    }

    fn scan_fast(&self, symbols: &mut [u32; SCANNED], count: usize, out: &mut Vec<u32>) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi2") {
            #[allow(unsafe_code, reason = "the compiler cannot know the machine")]
            // SAFETY: the machine was just asked.
            return unsafe { self.scan_avx2(symbols, count, out) };
        }
        self.scan(symbols, count, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn scan_avx2(&self, symbols: &mut [u32; SCANNED], count: usize, out: &mut Vec<u32>) {
        self.scan(symbols, count, out);
    }

    /// Keys are a rank and the place of the left symbol, so that the least key is the next merge.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn scan(&self, symbols: &mut [u32; SCANNED], count: usize, out: &mut Vec<u32>) {
        let mut keys = [NO_KEY; SCANNED];
        let mut next: [u8; SCANNED] = std::array::from_fn(|at| low_byte(at + 1));
        let mut previous: [u8; SCANNED] = std::array::from_fn(|at| low_byte(at.wrapping_sub(1)));
        let key = |left: u32, right: u32, at: usize| match self.pairs.get(left, right) {
            NONE => NO_KEY,
            rank => (rank << PLACE_BITS | narrow(at)).cast_signed(),
        };
        for at in 1..count {
            keys[at - 1] = key(symbols[at - 1], symbols[at], at - 1);
        }
        let width = count.next_multiple_of(LANES);
        loop {
            let mut least = [NO_KEY; LANES];
            for part in keys[..width].chunks_exact(LANES) {
                for (least, &key) in least.iter_mut().zip(part) {
                    *least = (*least).min(key);
                }
            }
            let best = least.into_iter().fold(NO_KEY, i32::min);
            if best == NO_KEY {
                break;
            }
            let best = best.cast_unsigned();
            let (rank, at) = (best >> PLACE_BITS, best as usize % SCANNED);
            let made = self.made(rank);
            symbols[at] = made;
            let right = usize::from(next[at]) % SCANNED;
            keys[right] = NO_KEY;
            keys[at] = NO_KEY;
            next[at] = next[right];
            let after = usize::from(next[at]);
            if after < count {
                previous[after] = low_byte(at);
                keys[at] = key(made, symbols[after], at);
            }
            let before = usize::from(previous[at]);
            if before < SCANNED {
                keys[before] = key(symbols[before], made, before);
            }
        }
        let mut at = 0;
        while at < count {
            out.push(self.ids[symbols[at] as usize]);
            at = usize::from(next[at]);
        }
    }

    /// The same with a heap over a linked list; entries whose pair is gone are skipped.
    fn heap(&self, space: &mut MergeSpace) {
        let MergeSpace { symbols, next, previous, heap } = space;
        let count = narrow(symbols.len());
        next.clear();
        next.extend((1..count).chain([NONE]));
        previous.clear();
        previous.extend([NONE].into_iter().chain(0..count.saturating_sub(1)));
        let entry = |symbols: &[u32], left: u32, right: u32| {
            let pair = (symbols[left as usize], symbols[right as usize]);
            let rank = self.pairs.get(pair.0, pair.1);
            (rank != NONE).then_some(Reverse((rank, left, pair.0, pair.1)))
        };
        // Made from a list: linear, where one push after the other is not.
        let mut entries = std::mem::take(heap).into_vec();
        entries.clear();
        entries.extend((1..count).filter_map(|right| entry(symbols, right - 1, right)));
        *heap = entries.into();
        while let Some(Reverse((rank, left, first, second))) = heap.pop() {
            let right = next[left as usize];
            if right == NONE || symbols[left as usize] != first || symbols[right as usize] != second {
                continue;
            }
            symbols[left as usize] = self.made(rank);
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
