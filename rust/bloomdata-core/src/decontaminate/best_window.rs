//! Where most of a row's n-grams are: neither lines that are wrapped anew nor a long document around a row hide it.

use hashbrown::HashMap;

/// The window of a document with the most different n-grams of a row; of several, the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BestWindow {
    /// Different n-grams in it.
    pub count: usize,
    /// Index of its first hit.
    pub first: usize,
    /// Index of its last hit.
    pub last: usize,
}

/// Slides a window of `width` words over hits, each the word where an n-gram starts and its number, in order of words;
/// no two at the same word.
pub fn best_window(hits: &[(u64, u32)], width: u64) -> Option<BestWindow> {
    let mut inside: HashMap<u32, u32> = HashMap::new();
    let (mut left, mut best, mut best_start) = (0, 0, 0);
    for &(word, ngram) in hits {
        *inside.entry(ngram).or_default() += 1;
        // The first window that reaches this far; only there can the count grow.
        let start = (word + 1).saturating_sub(width);
        while hits[left].0 < start {
            if let Some(count) = inside.get_mut(&hits[left].1) {
                *count -= 1;
                if *count == 0 {
                    inside.remove(&hits[left].1);
                }
            }
            left += 1;
        }
        if inside.len() > best {
            (best, best_start) = (inside.len(), start);
        }
    }
    let first = hits.partition_point(|(word, _)| *word < best_start);
    let behind = hits.partition_point(|(word, _)| *word < best_start + width);
    (best > 0).then(|| BestWindow { count: best, first, last: behind - 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_that_of_all_windows(
            found in prop::collection::vec(prop::option::weighted(0.5, 0_u32..9), 0..60), width in 1_u64..30,
        ) {
            let hits: Vec<(u64, u32)> =
                (0_u64..).zip(&found).filter_map(|(word, ngram)| Some((word, (*ngram)?))).collect();
            let mut expected: Option<BestWindow> = None;
            for start in 0..found.len() as u64 {
                let inside: Vec<usize> =
                    (0..hits.len()).filter(|&at| (start..start + width).contains(&hits[at].0)).collect();
                let different: std::collections::BTreeSet<u32> = inside.iter().map(|&at| hits[at].1).collect();
                if different.len() > expected.map_or(0, |best| best.count) {
                    let (first, last) = (inside[0], inside[inside.len() - 1]);
                    expected = Some(BestWindow { count: different.len(), first, last });
                }
            }
            prop_assert_eq!(best_window(&hits, width), expected);
        }
    }
}
