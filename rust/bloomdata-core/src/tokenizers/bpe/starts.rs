//! Merges of two bytes that can be applied before all others.
//!
//! In `…xaby…`, the merge of `a` and `b` can be applied at once if no merge of a lower rank can take either
//! of them away: neither a merge of something that ends with `x` with a lone `a`, nor one of a lone `b`
//! with something that starts with `y`. Whatever becomes of the rest of the pre-token, no other merge can
//! reach them. In addition, the result must not take part in a merge of a lower rank, which unusual merge
//! lists allow: that merge would come too early. All such merges are applied in one pass, without a search
//! for the lowest rank. They are many of the merges of an English word.

use super::interleaved::SCANNED;
use super::pairs::NONE;
use super::ranks::Merge;

/// Two neighbouring bytes.
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

/// An entry for every two bytes.
#[derive(Debug)]
pub(super) struct Starts(Vec<Start>);

impl Starts {
    /// From merges in the order of their rank, the bytes of all symbols, and
    /// [`first_use`](super::ranks::first_use).
    pub(super) fn new(merges: &[Merge], texts: &[(u32, &[u8])], first_use: &[u32]) -> Self {
        let mut ends = vec![(0, 0); merges.len() + 256];
        for (symbol, text) in texts {
            if let (Some(&first), Some(&last)) = (text.first(), text.last()) {
                ends[*symbol as usize] = (first, last);
            }
        }
        let mut starts = Self(vec![NO_START; 1 << 16]);
        // The last of equal pairs wins. An earlier one only makes a bound more conservative.
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

    /// Writes the initial symbols of a pre-token; returns their number.
    pub(super) fn start(&self, pre_token: &[u8], symbols: &mut [u32; SCANNED]) -> usize {
        let of = |at: usize| match pre_token.get(at..at + 2) {
            Some(two) => self.0[usize::from(two[0]) << 8 | usize::from(two[1])],
            None => NO_START,
        };
        let (mut at, mut count, mut before) = (0, 0, NO_START);
        while at < pre_token.len() {
            let (here, next) = (of(at), of(at + 1));
            let is_first = here.rank < before.takes_second && here.rank < next.takes_first;
            symbols[count] = if is_first { here.made } else { u32::from(pre_token[at]) };
            count += 1;
            (at, before) = if is_first { (at + 2, next) } else { (at + 1, here) };
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::ranks::first_use;
    use super::*;

    /// Starts, and merges as symbols, from merges as strings.
    fn made(pairs: &[(String, String)]) -> (Starts, Vec<Merge>) {
        let mut symbols: BTreeMap<String, u32> =
            (0..0x80_u8).map(|byte| (char::from(byte).to_string(), byte.into())).collect();
        symbols.extend((256..).zip(pairs).map(|(symbol, (left, right))| (format!("{left}{right}"), symbol)));
        let made = |(left, right): &(String, String)| {
            Some((*symbols.get(left)?, *symbols.get(right)?, symbols[&format!("{left}{right}")]))
        };
        let merges: Vec<Merge> = pairs.iter().map(made).collect();
        let texts: Vec<_> = symbols.iter().map(|(text, &symbol)| (symbol, text.as_bytes())).collect();
        (Starts::new(&merges, &texts, &first_use(256 + merges.len(), &merges)), merges)
    }

    fn pairs(all: &[&str]) -> Vec<(String, String)> {
        let pair = |text: &&str| text.split_once('+').map(|(left, right)| (left.into(), right.into()));
        all.iter().filter_map(pair).collect()
    }

    fn started(starts: &Starts, pre_token: &str) -> Vec<u32> {
        let mut symbols = [0; SCANNED];
        let count = starts.start(pre_token.as_bytes(), &mut symbols);
        symbols[..count].to_vec()
    }

    /// Applies merges one by one: lowest rank first, then leftmost; the last of equal pairs wins.
    fn merged(mut symbols: Vec<u32>, merges: &[Merge]) -> Vec<u32> {
        let rank =
            |two: &[u32]| merges.iter().rposition(|merge| merge.is_some_and(|(l, r, _)| two == [l, r]));
        while let Some((best, at)) =
            symbols.windows(2).zip(0..).filter_map(|(two, at)| Some((rank(two)?, at))).min()
        {
            symbols[at] = merges[best].unwrap().2;
            symbols.remove(at + 1);
        }
        symbols
    }

    #[test]
    fn bounds_are_those_of_merges_that_could_take_a_byte_away() {
        let (mut starts, _) = made(&pairs(&["b+c", "a+b", "ab+c", "x+ab", "c+a", "a+b", "d+bc"]));
        let mut of = |left, right| {
            let Start { rank, made, takes_second, takes_first } = *starts.at(left, right);
            (rank, made, takes_second, takes_first)
        };
        // `b+c` itself, and `ab+c`, which ends with `b`.
        assert_eq!(of(b'b', b'c'), (0, 256, 0, 0));
        // The last `a+b` wins, but its result has a merge of a lower rank, so that it must not come early.
        // `x+ab` starts with `a`.
        assert_eq!(of(b'a', b'b'), (NONE, 261, 1, 1));
        assert_eq!(of(b'x', b'a'), (NONE, NONE, NONE, 3));
        assert_eq!(of(b'c', b'a'), (4, 260, 4, 4));
        assert_eq!(of(b'd', b'b'), (NONE, NONE, NONE, 6));
        assert_eq!(of(b'b', b'a'), (NONE, NONE, NONE, NONE));
    }

    #[test]
    fn bytes_are_merged_early_only_where_nothing_else_can_take_them() {
        let (starts, _) = made(&pairs(&["b+c", "a+b", "c+c", "ab+d", "d+a"]));
        let [a, b, c, d] = [b'a', b'b', b'c', b'd'].map(u32::from);
        let [bc, ab, cc] = [256, 257, 258];
        assert_eq!(started(&starts, "abd"), [ab, d]);
        assert_eq!(started(&starts, "abc"), [a, bc]);
        assert_eq!(started(&starts, "dab"), [d, ab]);
        assert_eq!(started(&starts, "dcc"), [d, cc]);
        // Which two of three are merged is left to the search for the lowest rank.
        assert_eq!(started(&starts, "ccc"), [c; 3]);
        assert_eq!(started(&starts, "b"), [b]);
        assert!(started(&starts, "").is_empty());
    }

    #[test]
    fn what_is_merged_by_a_lower_rank_is_not_made_early() {
        let (starts, merges) = made(&pairs(&["x+ab", "w+x", "a+b"]));
        let bytes: Vec<u32> = "wxab".bytes().map(u32::from).collect();
        assert_eq!(started(&starts, "wxab"), bytes);
        // `w+x` takes `x` away from `x+ab` before there is an `ab`.
        assert_eq!(merged(bytes, &merges), [257, 258]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn early_merges_change_nothing(
            parts in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..12),
            order in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4),
            pre_tokens in vec("[a-d]{1,12}", 16),
        ) {
            let mut tokens: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
            let mut pairs = Vec::new();
            for (left, right) in parts {
                let (left, right) = (left.get(&tokens).clone(), right.get(&tokens).clone());
                tokens.push(format!("{left}{right}"));
                pairs.push((left, right));
            }
            for (left, right) in order {
                let size = pairs.len();
                pairs.swap(left.index(size), right.index(size));
            }
            let (starts, merges) = made(&pairs);
            for pre_token in pre_tokens {
                let expected = merged(pre_token.bytes().map(u32::from).collect(), &merges);
                prop_assert_eq!(merged(started(&starts, &pre_token), &merges), expected, "{} by {:?}", pre_token, pairs);
            }
        }
    }
}
