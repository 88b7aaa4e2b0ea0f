//! What the pool makes of a block: lines to write, and what becomes of every record.

use crate::pipeline::folder::books::{Fate, Outcome};
use crate::stages::trees::TreeNode;

/// Lines of a block: the kept ones one behind the other, and every record's fate.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) file: usize,
    pub(super) bytes: Vec<u8>,
    /// Where each line ends.
    pub(super) ends: Vec<usize>,
    pub(super) outcomes: Vec<Outcome>,
    /// Messages of trees, in order.
    pub(super) nodes: Vec<TreeNode>,
}

impl Lines {
    /// Hands out the lines of each record in turn.
    pub(super) fn records(&self) -> Records<'_> {
        Records { lines: self, at: 0 }
    }
}

/// The lines of each record in turn.
pub(super) struct Records<'lines> {
    lines: &'lines Lines,
    at: usize,
}

impl<'lines> Records<'lines> {
    /// The lines of the next record, whose outcome this is.
    pub(super) fn next_of(&mut self, outcome: &Outcome) -> RecordLines<'lines> {
        let count = match outcome.fate {
            Fate::Kept { articles, .. } => crate::token::index(articles),
            _ => 0,
        };
        let ends = &self.lines.ends[self.at..];
        let start = if self.at == 0 { 0 } else { self.lines.ends[self.at - 1] };
        let count = count.min(ends.len());
        self.at += count;
        RecordLines { bytes: &self.lines.bytes, start, ends: &ends[..count] }
    }
}

/// The lines of one record.
#[derive(Clone, Copy)]
pub(super) struct RecordLines<'lines> {
    bytes: &'lines [u8],
    start: usize,
    ends: &'lines [usize],
}

impl<'lines> RecordLines<'lines> {
    /// How many there are.
    pub(super) fn count(self) -> u64 {
        self.ends.len() as u64
    }

    /// Their bytes, without newlines.
    pub(super) fn num_bytes(self) -> u64 {
        self.ends.last().map_or(0, |end| end - self.start) as u64
    }

    /// Each of them.
    pub(super) fn iter(self) -> impl Iterator<Item = &'lines [u8]> {
        let mut start = self.start;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }
}
