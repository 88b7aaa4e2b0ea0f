//! Pairs that may be similar: documents that share a band, and whose signatures agree in enough slots.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, Lookup};
use super::options::NearConfig;
use super::records::RecordWriter;
use super::signature_file::Column;
use super::sorter::{Room, Sorter};
use crate::dedup::keep::DocumentSet;
use crate::dedup::minhash::equal_slots;
use crate::error::Result;
use crate::token::double;

/// Members of a bucket that each later member is paired with.
const PARTNERS: usize = 64;

/// What the join did, for the report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JoinCounts {
    /// Documents whose bands were compared: those with units that equal no earlier one.
    pub documents_compared: u64,
    /// Bands of more than one document.
    pub buckets: u64,
    /// Documents in the largest one.
    pub largest_bucket: u64,
    /// Pairs of a bucket that were left out, since each member is paired with the first 64 only.
    pub pairs_left_out: u64,
    /// Distinct pairs that share a band.
    pub pairs_in_buckets: u64,
    /// Those whose signatures agree well enough to be looked at.
    pub candidates: u64,
}

/// Writes all candidate pairs in order, as (later, earlier, equal slots). Documents that are `taken` have no part in them.
///
/// # Errors
/// The system's reason.
pub fn find_candidates(
    corpus: &Corpus,
    near: &NearConfig,
    taken: &DocumentSet,
    room: Room<'_>,
    path: &Path,
) -> Result<JoinCounts> {
    let bands = near.bands()?;
    let mut counts = JoinCounts::default();
    let mut keys: Sorter<'_, 2> = Sorter::new(room, "bands");
    corpus.scan(Column::Signature, |document, signature| {
        if taken.contains(document) {
            return Ok(());
        }
        counts.documents_compared += 1;
        (0..bands.bands).try_for_each(|band| keys.push([bands.key(signature, band), document]))
    })?;
    let mut pairs: Sorter<'_, 2> = Sorter::new(room, "pairs");
    let mut bucket = Bucket::default();
    for record in keys.finish()? {
        let [key, document] = record?;
        bucket.push(key, document, &mut counts, |earlier| {
            // Documents that are only compared with are never dropped.
            if document < corpus.against { Ok(()) } else { pairs.push([document, earlier]) }
        })?;
    }
    bucket.close(&mut counts);
    let mut file = RecordWriter::create(path)?;
    let mut lookup = Lookup::new(corpus);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let (least, slots) = (near.least_estimate(), double(near.signature.num_perm as u64));
    let mut last = [u64::MAX; 2];
    for pair in pairs.finish()? {
        let pair = pair?;
        if pair == last {
            continue;
        }
        counts.pairs_in_buckets += 1;
        if pair[0] != last[0] {
            lookup.read(Column::Signature, pair[0], &mut left)?;
        }
        last = pair;
        lookup.read(Column::Signature, pair[1], &mut right)?;
        let equal = equal_slots(&left, &right) as u64;
        if double(equal) / slots >= least {
            file.push([pair[0], pair[1], equal])?;
            counts.candidates += 1;
        }
        if counts.pairs_in_buckets.is_multiple_of(1 << 16) {
            room.progress.check()?;
        }
    }
    file.seal()?;
    Ok(counts)
}

/// Adds documents with no words to those that take no part: they resemble nothing.
///
/// # Errors
/// The system's reason.
pub fn add_documents_without_units(corpus: &Corpus, taken: &mut DocumentSet) -> Result<()> {
    corpus.scan(Column::Units, |document, key| {
        if key.iter().all(|byte| *byte == 0) {
            taken.insert(document);
        }
        Ok(())
    })
}

/// Documents of one key, in order.
#[derive(Default)]
struct Bucket {
    key: u64,
    first: Vec<u64>,
    size: u64,
}

impl Bucket {
    /// Takes the next document; `pair` gets the earlier ones that it is paired with.
    fn push(
        &mut self,
        key: u64,
        document: u64,
        counts: &mut JoinCounts,
        mut pair: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        if key != self.key || self.size == 0 {
            self.close(counts);
            self.key = key;
        }
        for &earlier in &self.first {
            pair(earlier)?;
        }
        counts.pairs_left_out += self.size - self.first.len() as u64;
        self.size += 1;
        if self.first.len() < PARTNERS {
            self.first.push(document);
        }
        Ok(())
    }

    fn close(&mut self, counts: &mut JoinCounts) {
        counts.buckets += u64::from(self.size > 1);
        counts.largest_bucket = counts.largest_bucket.max(self.size);
        self.size = 0;
        self.first.clear();
    }
}
