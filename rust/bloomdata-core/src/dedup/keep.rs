//! Which of similar documents stay.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Documents in order; one is dropped if it resembles an earlier one that is kept.
    First,
    /// Of each connected component the first.
    Components,
}

/// A set of documents, one bit each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct DocumentSet {
    words: Vec<u64>,
}

impl DocumentSet {
    /// Room for `count` documents, none of which is in the set.
    pub fn new(count: u64) -> Self {
        Self { words: vec![0; crate::token::index(count.div_ceil(64))] }
    }

    /// Whether a document is in the set.
    pub fn contains(&self, document: u64) -> bool {
        let word = self.words.get(crate::token::index(document / 64));
        word.is_some_and(|word| word >> (document % 64) & 1 == 1)
    }

    /// Adds a document that there is room for.
    pub fn insert(&mut self, document: u64) {
        if let Some(word) = self.words.get_mut(crate::token::index(document / 64)) {
            *word |= 1 << (document % 64);
        }
    }

    /// Those before a document.
    #[must_use]
    pub fn before(&self, end: u64) -> Self {
        let mut before = Self { words: vec![0; self.words.len()] };
        self.iter().take_while(|document| *document < end).for_each(|document| before.insert(document));
        before
    }

    /// Whether a document from `first` to before `end` is in the set.
    pub fn has_between(&self, first: u64, end: u64) -> bool {
        (first..end.min(first.next_multiple_of(64))).any(|document| self.contains(document))
            || (first.next_multiple_of(64)..end).step_by(64).any(|from| {
                let word = self.words.get(crate::token::index(from / 64)).copied().unwrap_or_default();
                let left = end - from;
                word & if left < 64 { (1 << left) - 1 } else { u64::MAX } != 0
            })
    }

    /// For each 64 documents, how many before them are in the set.
    pub fn ranks(&self) -> Vec<u64> {
        let before = |sum: &mut u64, word: &u64| {
            let before = *sum;
            *sum += u64::from(word.count_ones());
            Some(before)
        };
        self.words.iter().scan(0, before).collect()
    }

    /// How many documents before this one are in the set.
    pub fn rank(&self, ranks: &[u64], document: u64) -> u64 {
        let at = crate::token::index(document / 64);
        let below = self.words.get(at).map_or(0, |word| word & ((1 << (document % 64)) - 1));
        ranks.get(at).copied().unwrap_or_default() + u64::from(below.count_ones())
    }

    /// The documents in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)))
                .take_while(|word| *word != 0)
                .map(move |word| at as u64 * 64 + u64::from(word.trailing_zeros()))
        })
    }

    /// How many are in the set.
    pub fn len(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

/// A document and the earlier ones that it resembles, with their similarities.
pub type Neighbours<'run> = (u64, &'run [(u64, f64)]);

/// The kept document that explains why one is dropped: the most similar, then the first; `None` keeps it. `dropped` holds
/// what was dropped before: called in order of documents, this gives the lexicographically first independent set.
pub fn witness((_, earlier): Neighbours<'_>, dropped: &DocumentSet) -> Option<(u64, f64)> {
    let mut best: Option<(u64, f64)> = None;
    for &(document, similarity) in earlier {
        let is_better = best.is_none_or(|(first, most)| {
            similarity > most || (similarity.to_bits() == most.to_bits() && document < first)
        });
        if is_better && !dropped.contains(document) {
            best = Some((document, similarity));
        }
    }
    best
}

/// Connected components, by union and find; only documents with neighbours take memory.
#[derive(Debug, Default)]
pub struct Components {
    parents: BTreeMap<u64, u64>,
}

impl Components {
    /// Joins the components of two documents.
    pub fn join(&mut self, left: u64, right: u64) {
        let (left, right) = (self.first(left), self.first(right));
        // The root of a component is its first document.
        self.parents.insert(left.max(right), left.min(right));
    }

    /// The first document of a document's component.
    pub fn first(&mut self, document: u64) -> u64 {
        let mut root = document;
        while let Some(&parent) = self.parents.get(&root)
            && parent != root
        {
            root = parent;
        }
        let mut at = document;
        while at != root {
            let next = self.parents.insert(at, root).unwrap_or(root);
            at = next;
        }
        root
    }

    /// All documents with neighbours that are not the first of their component, in order.
    pub fn later(&mut self) -> Vec<(u64, u64)> {
        let documents: Vec<u64> = self.parents.keys().copied().collect();
        documents
            .into_iter()
            .map(|document| (document, self.first(document)))
            .filter(|(document, first)| document != first)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_documents_count_and_list_what_is_in_them() {
        let chosen = [0, 5, 63, 64, 130, 191];
        let mut set = DocumentSet::new(200);
        for document in chosen {
            set.insert(document);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), chosen);
        let ranks = set.ranks();
        assert_eq!(chosen.map(|document| set.rank(&ranks, document)), [0, 1, 2, 3, 4, 5]);
        for first in 0..200 {
            for end in first..200 {
                let expected = chosen.iter().any(|document| (first..end).contains(document));
                assert_eq!(set.has_between(first, end), expected, "{first} {end}");
            }
        }
    }

    #[test]
    fn a_chain_keeps_every_other_document_or_only_the_first() {
        // 0 - 1 - 2: 1 resembles both, 2 does not resemble 0.
        let mut dropped = DocumentSet::new(3);
        for (document, earlier) in [(1, vec![(0, 0.9)]), (2, vec![(1, 0.9)])] {
            if let Some(found) = witness((document, &earlier), &dropped) {
                assert_eq!((document, found), (1, (0, 0.9)));
                dropped.insert(document);
            }
        }
        assert_eq!((dropped.len(), dropped.contains(1)), (1, true));
        let mut components = Components::default();
        components.join(0, 1);
        components.join(2, 1);
        assert_eq!(components.later(), [(1, 0), (2, 0)]);
    }

    #[test]
    fn the_most_similar_kept_document_is_the_witness_then_the_first() {
        let mut dropped = DocumentSet::new(9);
        dropped.insert(3);
        assert_eq!(witness((8, &[(1, 0.8), (3, 1.0), (5, 0.9), (4, 0.9)]), &dropped), Some((4, 0.9)));
        assert_eq!(witness((8, &[(3, 1.0)]), &dropped), None);
    }
}
