//! Candidates become edges, compared by their texts or by their signatures, and edges decide which documents stay.

use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, Lookup};
use super::decisions::{Decided, Decision, Why};
use super::options::NearConfig;
use super::records::RecordReader;
use super::shingle_sets::ShingleSets;
use super::signature_file::Column;
use super::sorter::Room;
use crate::dedup::jaccard::similarity;
use crate::dedup::keep::{Components, DocumentSet, Keep, witness};
use crate::dedup::minhash::equal_slots;
use crate::error::Result;
use crate::ordered::Pool;
use crate::token::{double, index, whole};

/// Pairs that a thread compares at once.
const CHUNK: usize = 4096;
/// Classes of similarity in reports: tenths.
const CLASSES: usize = 10;

/// What comparing found, for the report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeCounts {
    /// Pairs at or above the threshold.
    pub edges: u64,
    /// Candidates by similarity: from 0.0, 0.1, … 0.9 on, and those of equal sets last.
    pub candidates_by_similarity: Vec<u64>,
    /// Dropped documents whose witness is less similar than the threshold; only connected components have any.
    pub dropped_below_threshold: u64,
}

/// How the similarity of a pair is known.
#[derive(Debug, Clone, Copy)]
pub enum Comparison<'run> {
    /// From the sets of shingles.
    Exact(&'run ShingleSets),
    /// From signatures of so many slots.
    Estimate(usize),
}

/// Compares pairs; each thread has its own.
struct Comparer<'run> {
    comparison: Comparison<'run>,
    lookup: Lookup<'run>,
    later: Option<u64>,
    sets: [Vec<u64>; 2],
    signatures: [Vec<u8>; 2],
}

impl<'run> Comparer<'run> {
    fn new(corpus: &'run Corpus, comparison: Comparison<'run>) -> Self {
        let (sets, signatures) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        Self { comparison, lookup: Lookup::new(corpus), later: None, sets, signatures }
    }

    fn compare(&mut self, later: u64, earlier: u64) -> Result<f64> {
        let is_known = self.later.replace(later) == Some(later);
        match self.comparison {
            Comparison::Exact(shingles) => {
                let [left, right] = &mut self.sets;
                if !is_known {
                    shingles.read(later, left)?;
                }
                shingles.read(earlier, right)?;
                Ok(similarity(left, right))
            }
            Comparison::Estimate(slots) => {
                let [left, right] = &mut self.signatures;
                if !is_known {
                    self.lookup.read(Column::Signature, later, left)?;
                }
                self.lookup.read(Column::Signature, earlier, right)?;
                Ok(double(equal_slots(left, right) as u64) / double(slots as u64))
            }
        }
    }
}

/// Compares all candidates, and decides.
///
/// # Errors
/// The system's reason.
pub fn decide_near(
    corpus: &Corpus,
    near: &NearConfig,
    keep: Keep,
    comparison: Comparison<'_>,
    candidates: RecordReader<3>,
    decided: &mut Decided<'_>,
    room: Room<'_>,
) -> Result<EdgeCounts> {
    let mut counts = EdgeCounts { candidates_by_similarity: vec![0; CLASSES + 1], ..EdgeCounts::default() };
    let mut decider = Decider {
        against: corpus.against,
        keep,
        dropped: DocumentSet::new(corpus.documents),
        components: Components::default(),
        later: 0,
        earlier: Vec::new(),
    };
    compare_all(corpus, comparison, candidates, room, |[later, earlier, _], found| {
        counts.candidates_by_similarity[index(whole(found * double(CLASSES as u64))).min(CLASSES)] += 1;
        if found >= near.threshold {
            counts.edges += 1;
            decider.edge(later, earlier, found, decided)?;
        }
        Ok(())
    })?;
    decider.finish(&mut Comparer::new(corpus, comparison), decided, |similarity| {
        counts.dropped_below_threshold += u64::from(similarity < near.threshold);
    })?;
    Ok(counts)
}

/// Calls `visit` with every candidate and its similarity, in order.
fn compare_all(
    corpus: &Corpus,
    comparison: Comparison<'_>,
    candidates: RecordReader<3>,
    room: Room<'_>,
    mut visit: impl FnMut([u64; 3], f64) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let pool = Pool::start(
            scope,
            room.num_threads,
            || Comparer::new(corpus, comparison),
            |comparer, pairs: Vec<[u64; 3]>| {
                room.progress.check()?;
                let compared = pairs.into_iter().map(|pair| Ok((pair, comparer.compare(pair[0], pair[1])?)));
                compared.collect::<Result<Vec<_>>>()
            },
        );
        let (sender, results) = pool.queue(2 * room.num_threads);
        drop(pool);
        let feeder = scope.spawn(move || -> Result<()> {
            let mut chunk = Vec::new();
            for pair in candidates {
                chunk.push(pair?);
                if chunk.len() == CHUNK {
                    sender.send(std::mem::take(&mut chunk))?;
                }
            }
            if chunk.is_empty() { Ok(()) } else { sender.send(chunk) }
        });
        let visited = results.into_iter().try_for_each(|compared| {
            compared?.into_iter().try_for_each(|(pair, similarity)| visit(pair, similarity))
        });
        let fed = crate::pipeline::folder::sealer::join(feeder);
        visited.and(fed)
    })
}

/// Decides by edges in order.
struct Decider {
    against: u64,
    keep: Keep,
    dropped: DocumentSet,
    components: Components,
    /// The later document of the last edges, and the earlier ones.
    later: u64,
    earlier: Vec<(u64, f64)>,
}

impl Decider {
    fn edge(&mut self, later: u64, earlier: u64, similarity: f64, decided: &mut Decided<'_>) -> Result<()> {
        if self.keep == Keep::Components {
            self.components.join(later, earlier);
            return Ok(());
        }
        if later != self.later {
            self.settle(decided)?;
            self.later = later;
        }
        self.earlier.push((earlier, similarity));
        Ok(())
    }

    /// Decides on the document whose edges are complete.
    fn settle(&mut self, decided: &mut Decided<'_>) -> Result<()> {
        if let Some((kept, similarity)) = witness((self.later, &self.earlier), &self.dropped) {
            self.dropped.insert(self.later);
            let kept = Some(kept);
            decided.push(Decision { document: self.later, kept, similarity, why: Why::Near, via: None })?;
        }
        self.earlier.clear();
        Ok(())
    }

    fn finish(
        mut self,
        comparer: &mut Comparer<'_>,
        decided: &mut Decided<'_>,
        mut note: impl FnMut(f64),
    ) -> Result<()> {
        self.settle(decided)?;
        for (document, kept) in self.components.later() {
            if document >= self.against {
                let similarity = comparer.compare(document, kept)?;
                note(similarity);
                let kept = Some(kept);
                decided.push(Decision { document, kept, similarity, why: Why::Near, via: None })?;
            }
        }
        Ok(())
    }
}
