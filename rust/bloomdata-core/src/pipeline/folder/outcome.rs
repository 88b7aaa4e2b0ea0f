//! What becomes of records, as those who read them hand it to the books.

use super::counts::ChatCounts;
use crate::document::BadRecord;
use crate::ledger::BLANK;
use crate::unread_keys::KeySet;

/// What becomes of one record.
#[derive(Debug, Clone)]
pub enum Fate {
    /// Written.
    Kept {
        /// Bytes of its text.
        text_bytes: u64,
        /// What it became: articles that packing keeps apart, or lines; one for a text.
        articles: u64,
        /// What its conversations hold.
        chats: ChatCounts,
        /// Its keys that were not read.
        unread: KeySet,
    },
    /// Left out, for this reason.
    Dropped(&'static str),
    /// Bad: why, its offset, and its raw bytes.
    Bad(BadRecord, u64, Vec<u8>),
    /// A message of a tree: what becomes of it is known when all are read.
    Node {
        /// Where it starts.
        offset: u64,
        /// Its raw bytes, if bad records are kept.
        raw: Vec<u8>,
        /// Its keys that were not read.
        unread: KeySet,
    },
}

/// The fate of a record, or of several in a row that are dropped, and where the next one starts.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How many records.
    pub records: u64,
    /// Offset after the record.
    pub next_offset: u64,
    /// What becomes of it.
    pub fate: Fate,
}

impl Outcome {
    /// Adds a record's fate to a list. Dropped records in a row become one entry: a file of blank lines is no reason
    /// to need much memory.
    pub fn push(list: &mut Vec<Self>, next_offset: u64, fate: Fate) {
        if let (Fate::Dropped(reason), Some(Self { records, next_offset: end, fate: Fate::Dropped(last) })) =
            (&fate, list.last_mut())
            && reason == last
        {
            *records += 1;
            *end = next_offset;
            return;
        }
        list.push(Self { records: 1, next_offset, fate });
    }

    /// Whether it is a row of data, or several.
    pub fn is_row(&self) -> bool {
        !matches!(self.fate, Fate::Dropped(BLANK))
    }

    /// Whether it is a message of a tree.
    pub fn is_node(&self) -> bool {
        matches!(self.fate, Fate::Node { .. })
    }

    /// The same records, dropped for a reason.
    #[must_use]
    pub fn dropped(&self, reason: &'static str) -> Self {
        Self { records: self.records, next_offset: self.next_offset, fate: Fate::Dropped(reason) }
    }

    /// How many records a list settles.
    pub fn count(list: &[Self]) -> u64 {
        list.iter().map(|outcome| outcome.records).sum()
    }
}
