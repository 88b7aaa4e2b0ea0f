//! What the pool makes of a block: lines to write, and what becomes of every record.

use crate::document::{Block, Record};
use crate::error::Result;
use crate::pipeline::folder::outcome::{Fate, Outcome};
use crate::sources::Format;
use crate::stages::trees::TreeNode;

/// Makes lines of records.
pub(in crate::pipeline) trait LineMaker: Send + Sync {
    /// The verb that it works for.
    fn verb(&self) -> &'static str;

    /// The lines of a block's records, and what becomes of each record. A bad record's bytes are kept if `keeps_raw`.
    fn lines(&self, block: &Block, format: Format, keeps_raw: bool) -> Result<Lines>;
}

/// The lines of a block: `make` appends those of a record, and says what becomes of it.
pub(in crate::pipeline) fn each_record(
    block: &Block,
    mut make: impl FnMut(Record<'_>, &mut Lines) -> Result<Fate>,
) -> Result<Lines> {
    let mut lines = Lines { file: block.file, bytes: Vec::with_capacity(block.len()), ..Lines::default() };
    block.for_each(|record| -> Result<()> {
        let fate = make(record, &mut lines)?;
        Outcome::push(&mut lines.outcomes, record.next_offset, fate);
        Ok(())
    })?;
    Ok(lines)
}

/// Lines of a block: the kept ones, concatenated, and every record's fate.
#[derive(Default)]
pub(in crate::pipeline) struct Lines {
    pub(in crate::pipeline) file: usize,
    pub(in crate::pipeline) bytes: Vec<u8>,
    /// Where each line ends.
    pub(in crate::pipeline) ends: Vec<usize>,
    pub(in crate::pipeline) outcomes: Vec<Outcome>,
    /// Messages of trees, in order.
    pub(in crate::pipeline) nodes: Vec<TreeNode>,
}

impl Lines {
    /// Hands out the lines of each record in turn.
    pub(in crate::pipeline) fn records(&self) -> Records<'_> {
        Records { lines: self, at: 0 }
    }
}

/// The lines of each record in turn.
pub(in crate::pipeline) struct Records<'lines> {
    lines: &'lines Lines,
    at: usize,
}

impl<'lines> Records<'lines> {
    /// The lines of the next record, whose outcome this is.
    pub(in crate::pipeline) fn next_of(&mut self, outcome: &Outcome) -> RecordLines<'lines> {
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
pub(in crate::pipeline) struct RecordLines<'lines> {
    bytes: &'lines [u8],
    start: usize,
    ends: &'lines [usize],
}

impl<'lines> RecordLines<'lines> {
    /// How many there are.
    pub(in crate::pipeline) fn count(self) -> u64 {
        self.ends.len() as u64
    }

    /// Their bytes, without newlines.
    pub(in crate::pipeline) fn num_bytes(self) -> u64 {
        self.ends.last().map_or(0, |end| end - self.start) as u64
    }

    /// Each of them.
    pub(in crate::pipeline) fn iter(self) -> impl Iterator<Item = &'lines [u8]> {
        let mut start = self.start;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }
}
