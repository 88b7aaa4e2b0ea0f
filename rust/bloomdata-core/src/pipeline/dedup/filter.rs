//! The last pass: records as they are, without those that are dropped.

use super::verdicts::{Verdict, Verdicts};
use crate::document::{Block, Record};
use crate::error::{Error, Result};
use crate::pipeline::articles::texts::TextReader;
use crate::pipeline::folder::books::Fate;
use crate::pipeline::sharding::copier::Copier;
use crate::pipeline::sharding::lines::{LineMaker, Lines, each_record};
use crate::sources::Format;

/// Makes lines of the records that stay.
pub(in crate::pipeline) struct Filter<'run> {
    pub(in crate::pipeline) copier: Copier<'run>,
    /// Says why a bad record is bad.
    pub(in crate::pipeline) reader: TextReader<'run>,
    pub(in crate::pipeline) verdicts: Verdicts,
}

impl Filter<'_> {
    fn bad(&self, file: usize, record: Record<'_>, keeps_raw: bool) -> Option<Fate> {
        let reason = self.reader.read(file, record).err()?;
        let raw = if keeps_raw { record.bytes.to_vec() } else { Vec::new() };
        Some(Fate::Bad(reason, record.offset, raw))
    }
}

impl LineMaker for Filter<'_> {
    fn verb(&self) -> &'static str {
        "dedup"
    }

    fn lines(&self, block: &Block, format: Format, keeps_raw: bool) -> Result<Lines> {
        let verdicts = self.verdicts.between(block.file, block.offset, block.end_offset())?;
        let mut verdicts = verdicts.into_iter().peekable();
        let mut is_lost = false;
        let lines = each_record(block, |record, lines| {
            match verdicts.next_if(|(offset, _)| *offset == record.offset) {
                None => self.copier.record(format, record, lines),
                Some((_, Verdict::Drop(why))) => Fate::Dropped(why.name()),
                Some((_, Verdict::Bad)) => self.bad(block.file, record, keeps_raw).unwrap_or_else(|| {
                    is_lost = true;
                    Fate::Dropped("")
                }),
            }
        });
        if is_lost || verdicts.next().is_some() {
            // A record that was there in the first pass is not.
            let what = "an input changed while it was read again: records at the same offsets";
            return Err(Error::mismatch(what, "those of the first pass", "others"));
        }
        Ok(lines)
    }
}
