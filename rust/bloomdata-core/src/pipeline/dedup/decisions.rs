//! Which documents are dropped, and why: a file of records in order of documents.

use std::path::Path;

use super::records::{RecordReader, RecordWriter};
use super::sorter::{Room, Sorter};
use crate::error::Result;

/// Why a document is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its normalised text is that of an earlier one.
    Exact,
    /// It resembles a kept one.
    Near,
}

impl Why {
    /// The reason in ledgers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact duplicate",
            Self::Near => "near duplicate",
        }
    }

    const fn code(self) -> u64 {
        match self {
            Self::Exact => 0,
            Self::Near => 1,
        }
    }

    const fn from_code(code: u64) -> Self {
        if code == 0 { Self::Exact } else { Self::Near }
    }
}

/// A document is dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// Which one.
    pub document: u64,
    /// The kept one that it repeats; a Bloom filter does not know it.
    pub kept: Option<u64>,
    /// How similar the two are (with `via`: how similar that one is to the kept one).
    pub similarity: f64,
    /// Why.
    pub why: Why,
    /// The equal document in between, which is dropped itself.
    pub via: Option<u64>,
}

impl Decision {
    /// As a record.
    pub fn record(&self) -> [u64; 5] {
        [
            self.document,
            self.kept.map_or(0, |kept| kept + 1),
            self.similarity.to_bits(),
            self.why.code(),
            self.via.map_or(0, |via| via + 1),
        ]
    }

    fn from_record([document, kept, similarity, why, via]: [u64; 5]) -> Self {
        let (similarity, why) = (f64::from_bits(similarity), Why::from_code(why));
        Self { document, kept: kept.checked_sub(1), similarity, why, via: via.checked_sub(1) }
    }
}

/// Decisions in any order.
#[derive(Debug)]
pub struct Decided<'run>(Sorter<'run, 5>);

impl<'run> Decided<'run> {
    /// None yet.
    pub fn new(room: Room<'run>) -> Self {
        Self(Sorter::new(room, "decided"))
    }

    /// Takes one.
    ///
    /// # Errors
    /// The system's reason.
    pub fn push(&mut self, decision: Decision) -> Result<()> {
        self.0.push(decision.record())
    }

    /// Writes all of them in order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn write(self, path: &Path) -> Result<()> {
        let mut file = RecordWriter::create(path)?;
        for record in self.0.finish()? {
            file.push(record?)?;
        }
        file.seal()
    }
}

/// The decisions of a file, in order.
///
/// # Errors
/// The system's reason.
pub fn read_decisions(path: &Path) -> Result<impl Iterator<Item = Result<Decision>>> {
    let records = RecordReader::open(path)?;
    Ok(records.map(|record| record.map(Decision::from_record)))
}
