//! The initial alphabet: the characters that merges start from.

use std::collections::BTreeMap;

/// The most frequent characters, by code point. Characters of `initial` rank above all others. Ties are
/// broken by the lower code point (the `tokenizers` crate breaks them at random).
pub(super) fn alphabet(
    frequencies: &BTreeMap<char, u64>,
    initial: &[char],
    limit: Option<usize>,
) -> Vec<char> {
    let mut all: BTreeMap<char, Option<u64>> =
        frequencies.iter().map(|(&letter, &count)| (letter, Some(count))).collect();
    all.extend(initial.iter().map(|&letter| (letter, None)));
    let mut letters: Vec<(char, Option<u64>)> = all.into_iter().collect();
    if let Some(limit) = limit.filter(|&limit| limit < letters.len()) {
        // A stable sort keeps lower code points in front.
        letters.sort_by_key(|&(_, count)| std::cmp::Reverse(count.unwrap_or(u64::MAX)));
        letters.truncate(limit);
        letters.sort_unstable();
    }
    letters.into_iter().map(|(letter, _)| letter).collect()
}
