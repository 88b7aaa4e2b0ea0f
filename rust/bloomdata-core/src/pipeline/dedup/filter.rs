//! The last pass: records as they are, without those that are dropped.

use super::editor::Editor;
use super::options::Action;
use super::verdict_file::{Verdict, Verdicts};
use crate::document::{Block, Record};
use crate::error::Result;
use crate::pipeline::articles::texts::TextReader;
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::Fate;
use crate::pipeline::sharding::copier::Copier;
use crate::pipeline::sharding::lines::{LineMaker, Lines, each_record};
use crate::sources::Format;
use crate::unread_keys::KeySet;

/// Makes lines of the records that stay.
pub(in crate::pipeline) struct Filter<'run> {
    pub(in crate::pipeline) copier: Copier<'run>,
    /// Says why a bad record is bad.
    pub(in crate::pipeline) reader: TextReader<'run>,
    pub(in crate::pipeline) verdicts: Verdicts,
    /// Edits documents with repeated parts.
    pub(super) editor: Option<Editor<'run>>,
}

/// The ledger's reason for a document that is dropped for its repeated parts.
pub(super) const fn reason_of(action: Action) -> &'static str {
    match action {
        Action::Cut => "only duplicates",
        Action::Drop | Action::Mark => "repeated passages",
    }
}

impl Filter<'_> {
    /// The edited line of a record; none if there is nothing to edit, which is a defect.
    fn edit(
        &self,
        format: Format,
        record: Record<'_>,
        spans: (u64, u64),
        lines: &mut Lines,
    ) -> Result<Option<Fate>> {
        let Some(editor) = &self.editor else { return Ok(None) };
        let before = lines.bytes.len();
        if editor.line(format, record, spans, &mut lines.bytes)?.is_none() {
            return Ok(None);
        }
        lines.ends.push(lines.bytes.len());
        let text_bytes = (lines.bytes.len() - before) as u64;
        Ok(Some(Fate::Kept {
            text_bytes,
            articles: 1,
            chats: ChatCounts::default(),
            unread: KeySet::default(),
        }))
    }

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
        // A record that was there in the first pass is not.
        let changed = || self.verdicts.changed(block.file);
        let repeated = self.editor.as_ref().map_or(Action::Cut, |editor| editor.repeated.action);
        let lines = each_record(block, |record, lines| {
            Ok(match verdicts.next_if(|(offset, _)| *offset == record.offset) {
                None => self.copier.record(format, record, lines),
                Some((_, Verdict::Drop(why))) => Fate::Dropped(why.name()),
                Some((_, Verdict::DropRepeated)) => Fate::Dropped(reason_of(repeated)),
                Some((_, Verdict::Edit { first, count })) => {
                    self.edit(format, record, (first, count), lines)?.ok_or_else(changed)?
                }
                Some((_, Verdict::Bad)) => self.bad(block.file, record, keeps_raw).ok_or_else(changed)?,
            })
        })?;
        match verdicts.next() {
            Some(_) => Err(changed()),
            None => Ok(lines),
        }
    }
}
