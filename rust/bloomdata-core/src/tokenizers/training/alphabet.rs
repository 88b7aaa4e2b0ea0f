//! The letters that tokens start from.

use std::collections::BTreeMap;

/// The most frequent letters, by code point. Letters of `initial` count as the most frequent of all; of letters of equal
/// count, lower code points are kept first (the `tokenizers` package keeps random ones).
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
        // Stable: lower code points stay in front.
        letters.sort_by_key(|&(_, count)| std::cmp::Reverse(count.unwrap_or(u64::MAX)));
        letters.truncate(limit);
        letters.sort_unstable();
    }
    letters.into_iter().map(|(letter, _)| letter).collect()
}
