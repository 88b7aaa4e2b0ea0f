//! Records of known sources become documents, one file per form. Each is a pure function of one record.
//!
//! - [`dolly`], [`oig`]: the sources of BLOOMChat (its trees of messages are put together by [`trees`]).
//! - (others are listed here)

pub mod dolly;
pub mod fields;
pub mod oig;
pub mod trees;

use serde::{Deserialize, Serialize};

use crate::conversation::Document;
use crate::document::BadRecord;
use crate::error::Result;

/// What a reader makes of a record.
pub type Read = std::result::Result<Verdict, BadRecord>;

/// What becomes of a record that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// One or several documents.
    Keep(Vec<Document>),
    /// Left out, and counted under this reason.
    Drop(&'static str),
}

impl Verdict {
    /// One document.
    pub fn one(document: Document) -> Self {
        Self::Keep(vec![document])
    }
}

/// Reads records of one source.
pub trait RecordReader: Send + Sync {
    /// The documents of one record: JSON text as it stands in the input.
    ///
    /// # Errors
    /// Why the record is not of the source's form.
    fn read(&self, record: &str) -> Read;
}

/// The source that records come from, with its options. Same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum RecordSource {
    /// databricks-dolly-15k (BC-03).
    Dolly,
    /// A file of OIG (BC-05, BC-06).
    Oig(oig::OigOptions),
}

impl RecordSource {
    /// The reader of its records.
    ///
    /// # Errors
    /// Options that cannot work.
    pub fn reader(&self) -> Result<Box<dyn RecordReader>> {
        Ok(match self {
            Self::Dolly => Box::new(dolly::DollyReader::new()),
            Self::Oig(options) => Box::new(oig::OigReader::new(options.clone())),
        })
    }
}
