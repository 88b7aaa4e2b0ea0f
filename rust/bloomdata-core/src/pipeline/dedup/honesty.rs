//! How good the answer is: recall against an exhaustive comparison of a sample, precision of what was not verified.

use std::collections::BinaryHeap;
use std::path::Path;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::corpus::Corpus;
use super::records::{RecordFile, RecordReader};
use super::shingle_sets::ShingleSets;
use crate::dedup::jaccard::similarity;
use crate::dedup::keep::DocumentSet;
use crate::error::Result;
use crate::progress::Progress;
use crate::rng::key;
use crate::token::{double, index, whole};

/// Documents of the sample whose pairs are all compared.
const DOCUMENTS: usize = 4000;
/// Shingles of all of them at most.
const SHINGLES: usize = 2 << 20;
/// Pairs of the sample whose precision is measured.
const PAIRS: usize = 1000;
/// Uses of the seed (see [`key`]).
const DOCUMENT_STREAM: u64 = 11;
const PAIR_STREAM: u64 = 12;

/// A share, and the interval that holds the true one with a chance of 0.95 (Wilson 1927).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// How many of them.
    pub hits: u64,
    /// How many were looked at.
    pub of: u64,
    /// `hits / of`; 1 if nothing was looked at.
    pub share: f64,
    /// Lower and upper bound.
    pub interval: [f64; 2],
}

impl Share {
    fn new(hits: u64, of: u64) -> Self {
        const Z: f64 = 1.959_963_984_540_054;
        if of == 0 {
            return Self { hits, of, share: 1.0, interval: [0.0, 1.0] };
        }
        let (n, share) = (double(of), double(hits) / double(of));
        let middle = share + Z * Z / (2.0 * n);
        let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        let bound = |value: f64| (value / scale).clamp(0.0, 1.0);
        Self { hits, of, share, interval: [bound(middle - spread), bound(middle + spread)] }
    }
}

/// What the samples say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Honesty {
    /// Documents of which all pairs were compared.
    pub sampled_documents: u64,
    /// Of their pairs at or above the threshold, those that were candidates.
    pub recall: Share,
    /// Of sampled pairs that were taken for similar, those that are; all of them where texts are compared.
    pub precision: Share,
    /// The true similarities of these pairs: from 0.0, 0.1, … 0.9 on, and equal sets last.
    pub sampled_pairs_by_similarity: Vec<u64>,
}

/// The samples of a run.
#[derive(Debug, Default)]
pub struct Samples {
    documents: Vec<u64>,
    pairs: Vec<[u64; 2]>,
}

impl Samples {
    /// Chooses documents that `without` does not hold, and pairs whose estimate reaches the threshold.
    ///
    /// # Errors
    /// The system's reason.
    pub fn choose(corpus: &Corpus, without: &DocumentSet, candidates: &Path, least: u64) -> Result<Self> {
        let mut documents = Lowest::new(DOCUMENTS);
        for document in 0..corpus.documents {
            if !without.contains(document) {
                documents.offer(key(0, DOCUMENT_STREAM, document), document);
            }
        }
        let mut pairs = Lowest::new(PAIRS);
        for (number, record) in (0..).zip(RecordReader::<3>::open(candidates)?) {
            let [later, earlier, equal] = record?;
            if equal >= least {
                pairs.offer(key(0, PAIR_STREAM, number), [later, earlier]);
            }
        }
        Ok(Self { documents: documents.sorted(), pairs: pairs.sorted() })
    }

    /// Adds the documents whose sets are needed.
    pub fn add_to(&self, wanted: &mut DocumentSet) {
        self.documents.iter().for_each(|&document| wanted.insert(document));
        self.pairs.iter().flatten().for_each(|&document| wanted.insert(document));
    }

    /// Compares what was sampled.
    ///
    /// # Errors
    /// The system's reason.
    pub fn judge(
        &self,
        corpus: &Corpus,
        threshold: f64,
        sets: &ShingleSets,
        candidates: &Path,
        progress: &Progress,
    ) -> Result<Honesty> {
        let mut honesty = Honesty { sampled_pairs_by_similarity: vec![0; 11], ..Honesty::default() };
        let (mut left, mut right, mut hits) = (Vec::new(), Vec::new(), 0);
        for &[later, earlier] in &self.pairs {
            sets.read(later, &mut left)?;
            sets.read(earlier, &mut right)?;
            let found = similarity(&left, &right);
            hits += u64::from(found >= threshold);
            honesty.sampled_pairs_by_similarity[index(whole(found * 10.0)).min(10)] += 1;
        }
        honesty.precision = Share::new(hits, self.pairs.len() as u64);
        let mut all: Vec<(u64, Vec<u64>)> = Vec::new();
        let mut shingles = 0;
        for &document in &self.documents {
            let mut set = Vec::new();
            sets.read(document, &mut set)?;
            shingles += set.len();
            if shingles > SHINGLES {
                break;
            }
            all.push((document, set));
        }
        honesty.sampled_documents = all.len() as u64;
        let found = RecordFile::<3>::open(candidates)?;
        let (mut hits, mut of) = (0, 0);
        for_similar(&all, threshold, progress, |later, earlier| {
            if later >= corpus.against {
                of += 1;
                let at = found.lowest((0, found.count), [later, earlier])?;
                hits += u64::from(at < found.count && found.read(at, 1)?[0][..2] == [later, earlier]);
            }
            Ok(())
        })?;
        honesty.recall = Share::new(hits, of);
        Ok(honesty)
    }
}

/// Calls `visit` with every pair that reaches the threshold: those that share one of their first elements are compared.
/// Sets of a similarity of t share `t * size` elements, so that one of the first `size - t * size + 1` is common.
fn for_similar(
    all: &[(u64, Vec<u64>)],
    threshold: f64,
    progress: &Progress,
    mut visit: impl FnMut(u64, u64) -> Result<()>,
) -> Result<()> {
    let first = |set: &[u64]| {
        let common = index(whole((threshold * double(set.len() as u64) - 1e-9).max(0.0).ceil()));
        (set.len() + 1).saturating_sub(common).min(set.len())
    };
    // Most elements are in one set alone: only the others need a list of their sets.
    let mut elements: Vec<u64> = all.iter().flat_map(|(_, set)| set[..first(set)].iter().copied()).collect();
    elements.sort_unstable();
    let repeated = elements.chunk_by(|a, b| a == b).filter(|group| group.len() > 1);
    let mut holders: HashMap<u64, Vec<usize>> = repeated.map(|group| (group[0], Vec::new())).collect();
    drop(elements);
    let mut seen = HashSet::new();
    for (at, (document, set)) in all.iter().enumerate() {
        progress.check()?;
        seen.clear();
        for element in &set[..first(set)] {
            let Some(holders) = holders.get_mut(element) else { continue };
            for &other in &*holders {
                if seen.insert(other) && similarity(set, &all[other].1) >= threshold {
                    visit(*document, all[other].0)?;
                }
            }
            holders.push(at);
        }
    }
    Ok(())
}

/// The values with the lowest keys.
struct Lowest<T> {
    most: usize,
    values: BinaryHeap<(u64, T)>,
}

impl<T: Ord> Lowest<T> {
    fn new(most: usize) -> Self {
        Self { most, values: BinaryHeap::new() }
    }

    fn offer(&mut self, key: u64, value: T) {
        if self.values.len() < self.most {
            self.values.push((key, value));
        } else if let Some(mut greatest) = self.values.peek_mut()
            && key < greatest.0
        {
            *greatest = (key, value);
        }
    }

    fn sorted(self) -> Vec<T> {
        let mut values: Vec<T> = self.values.into_iter().map(|(_, value)| value).collect();
        values.sort_unstable();
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_similar_pairs_are_found_and_no_other() {
        let random = |at: u64| {
            let mut set: Vec<u64> =
                (0..20).map(|element| key(1, at / 5 + element % 3, element + at % 4)).collect();
            crate::dedup::jaccard::to_set(&mut set);
            (at, set)
        };
        let all: Vec<(u64, Vec<u64>)> = (0..120).map(random).collect();
        for threshold in [0.3, 0.5, 0.8, 1.0] {
            let mut found = Vec::new();
            for_similar(&all, threshold, &Progress::default(), |later, earlier| {
                found.push((later, earlier));
                Ok(())
            })
            .unwrap();
            found.sort_unstable();
            let pairs = (0..120).flat_map(|later| (0..later).map(move |earlier| (later, earlier)));
            let expected: Vec<(u64, u64)> = pairs
                .filter(|&(later, earlier)| {
                    similarity(&all[index(later)].1, &all[index(earlier)].1) >= threshold
                })
                .collect();
            assert!(!expected.is_empty());
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn intervals_are_wilsons() {
        let share = Share::new(95, 100);
        assert!((share.interval[0] - 0.8882).abs() < 1e-3 && (share.interval[1] - 0.9785).abs() < 1e-3);
        assert!(Share::new(0, 0).interval[1] > 0.999);
    }
}
