//! Near duplicates in one pass and bounded memory: bands are kept in Bloom filters, in place of signatures on disk.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::decisions::{Decision, Why};
use super::options::{BloomConfig, NearConfig};
use super::records::RecordWriter;
use crate::dedup::bands::Bands;
use crate::dedup::bloom::BandFilters;
use crate::error::{Error, Result};
use crate::rng::key;

/// Random keys that are looked up to measure the rate of false positives.
const PROBES: u64 = 10_000;
/// Their stream (see [`key`]).
const PROBE_STREAM: u64 = 13;

/// What the filters did, for the report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BloomCounts {
    /// Documents in the filters: those that were kept.
    pub documents: u64,
    /// Bytes of the filters.
    pub bytes: u64,
    /// The chance of a false positive at the end, as computed.
    pub false_positive_rate: f64,
    /// Random documents that were looked up at the end, and those taken for duplicates.
    pub probes: u64,
    /// Those of them that were found.
    pub probes_found: u64,
}

/// Takes documents in order, and decides.
#[derive(Debug)]
pub struct BloomIndex {
    bands: Bands,
    filters: BandFilters,
    limit: u64,
    bytes: u64,
    kept: u64,
    next: u64,
    against: Option<u64>,
    decisions: RecordWriter<5>,
}

impl BloomIndex {
    /// Empty filters; decisions go to `path`.
    ///
    /// # Errors
    /// A rate of false positives that would be too high; the system's reason.
    pub fn new(near: &NearConfig, bloom: &BloomConfig, path: &Path) -> Result<Self> {
        let bands = near.bands()?;
        let filters = BandFilters::new(bands.bands, bloom.bytes, bloom.expected_documents);
        let rate = filters.false_positive_rate(bloom.expected_documents);
        if rate > bloom.max_false_positive {
            let reason = format!(
                "{} bytes of filters for {} documents take {rate:.2e} of new documents for duplicates, more than \
                 max_false_positive = {:.2e}",
                bloom.bytes, bloom.expected_documents, bloom.max_false_positive
            );
            return Err(Error::config("memory_limit", reason));
        }
        Ok(Self {
            bands,
            filters,
            limit: bloom.expected_documents,
            bytes: bloom.bytes,
            kept: 0,
            next: 0,
            against: None,
            decisions: RecordWriter::create(path)?,
        })
    }

    /// The keys of a signature's bands, for [`Self::take`].
    pub fn append_keys(bands: Bands, signature: &[u8], out: &mut Vec<u64>) {
        out.extend((0..bands.bands).map(|band| bands.key(signature, band)));
    }

    /// All documents up to here are only compared with.
    pub fn end_against(&mut self) {
        self.against.get_or_insert(self.next);
    }

    /// Decides on documents in order: of each whether it has units, and if so the keys of its bands.
    ///
    /// # Errors
    /// More documents than the filters were made for; the system's reason.
    pub fn take(&mut self, has_units: &[bool], keys: &[u64]) -> Result<()> {
        let mut keys = keys.chunks_exact(self.bands.bands);
        for &has_units in has_units {
            let document = self.next;
            self.next += 1;
            let Some(keys) = has_units.then(|| keys.next()).flatten() else { continue };
            if !self.filters.contains_any(keys) {
                self.kept += 1;
                if self.kept > self.limit {
                    let reason = format!("expected no more than {} documents, got more", self.limit);
                    return Err(Error::config("expected_documents", reason));
                }
                self.filters.insert(keys);
            } else if self.against.is_some_and(|against| document >= against) {
                let decision = Decision { document, kept: None, similarity: 0.0, why: Why::Near, via: None };
                self.decisions.push(decision.record())?;
            }
        }
        Ok(())
    }

    /// Seals the decisions.
    ///
    /// # Errors
    /// The system's reason.
    pub fn finish(self) -> Result<BloomCounts> {
        let probe = |probe: u64| -> Vec<u64> {
            (0..self.bands.bands as u64).map(|band| key(band, PROBE_STREAM, probe)).collect()
        };
        let probes_found = (0..PROBES).filter(|&at| self.filters.contains_any(&probe(at))).count() as u64;
        let false_positive_rate = self.filters.false_positive_rate(self.kept);
        let (documents, bytes) = (self.kept, self.bytes);
        self.decisions.seal()?;
        Ok(BloomCounts { documents, bytes, false_positive_rate, probes: PROBES, probes_found })
    }
}
