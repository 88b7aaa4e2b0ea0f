//! The last pass: records as they are, without contaminated ones, or without what contaminates them.

use super::by_offset::ByOffset;
use super::score::Mark;
use crate::decontaminate::cut::{Cut, CutStyle};
use crate::decontaminate::json_places::json_places;
use crate::document::{Block, Record};
use crate::error::Result;
use crate::json_fields::{FieldPath, locate};
use crate::pipeline::articles::texts::TextReader;
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::Fate;
use crate::pipeline::scratch::records_changed;
use crate::pipeline::sharding::copier::Copier;
use crate::pipeline::sharding::lines::{LineMaker, Lines, each_record};
use crate::sources::Format;
use crate::sources::inputs::InputList;
use crate::token::index;
use crate::unread_keys::KeySet;

/// Why a document is left out.
pub(super) const CONTAMINATED: &str = "contaminated";
const TOO_SHORT: &str = "cut to pieces under 200 characters";
const TOO_OFTEN: &str = "cut more than 10 times";

/// Makes lines of what stays.
pub(super) struct Cleaner<'run> {
    pub(super) inputs: &'run InputList,
    pub(super) copier: Copier<'run>,
    /// Says why a bad record is bad.
    pub(super) reader: TextReader<'run>,
    pub(super) field: &'run FieldPath,
    pub(super) marks: ByOffset<{ Mark::NUMBERS }>,
    pub(super) style: CutStyle,
}

impl Cleaner<'_> {
    /// Appends the lines of a marked record; none if there is nothing of the kind.
    fn marked(
        &self,
        (file, format): (usize, Format),
        record: Record<'_>,
        marks: &[Mark],
        keeps_raw: bool,
        lines: &mut Lines,
    ) -> Option<Fate> {
        if marks.contains(&Mark::Bad) {
            let reason = self.reader.read(file, record).err()?;
            let raw = if keeps_raw { record.bytes.to_vec() } else { Vec::new() };
            return Some(Fate::Bad(reason, record.offset, raw));
        }
        if marks.contains(&Mark::Drop) {
            return Some(Fate::Dropped(CONTAMINATED));
        }
        let matches: Vec<_> = marks
            .iter()
            .filter_map(|mark| match mark {
                Mark::Cut(start, end) => Some(index(*start)..index(*end)),
                _ => None,
            })
            .collect();
        if format == Format::Text {
            let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
            let text = simdutf8::basic::from_utf8(line).ok()?;
            return self.cut(text, &matches, lines, |piece, lines| {
                let bytes = &line[piece];
                self.copier.record(format, Record { bytes, ..record }, lines);
            });
        }
        let (place, text) = locate(record.bytes, self.field).ok()?;
        // What is between the quotes.
        let (start, end) = (place.start + 1, place.end - 1);
        let json = std::str::from_utf8(&record.bytes[start..end]).ok()?;
        self.cut(&text, &matches, lines, |piece, lines| {
            let places = json_places(json, [piece.start, piece.end]);
            lines.bytes.extend_from_slice(&record.bytes[..start]);
            lines.bytes.extend_from_slice(&record.bytes[start + places[0]..start + places[1]]);
            lines.bytes.extend_from_slice(&record.bytes[end..]);
            lines.ends.push(lines.bytes.len());
        })
    }

    fn cut(
        &self,
        text: &str,
        matches: &[std::ops::Range<usize>],
        lines: &mut Lines,
        mut write: impl FnMut(std::ops::Range<usize>, &mut Lines),
    ) -> Option<Fate> {
        if matches.last().is_none_or(|last| text.get(last.clone()).is_none()) {
            return None;
        }
        Some(match self.style.cut(text, matches) {
            Cut::TooShort => Fate::Dropped(TOO_SHORT),
            Cut::TooOften => Fate::Dropped(TOO_OFTEN),
            Cut::Pieces(pieces) => {
                let (bytes, ends) = (lines.bytes.len(), lines.ends.len());
                for piece in pieces {
                    write(piece, lines);
                }
                let text_bytes = (lines.bytes.len() - bytes) as u64;
                let articles = (lines.ends.len() - ends) as u64;
                Fate::Kept { text_bytes, articles, chats: ChatCounts::default(), unread: KeySet::default() }
            }
        })
    }
}

impl LineMaker for Cleaner<'_> {
    fn verb(&self) -> &'static str {
        "decontaminate"
    }

    fn lines(&self, block: &Block, format: Format, keeps_raw: bool) -> Result<Lines> {
        let records = self.marks.between(block.file, block.offset, block.end_offset())?;
        let changed = || records_changed(&self.inputs.inputs[block.file].path);
        let mut groups = records.chunk_by(|a, b| a[0] == b[0]).peekable();
        let lines = each_record(block, |record, lines| {
            let Some(group) = groups.next_if(|group| group[0][0] == record.offset) else {
                return Ok(self.copier.record(format, record, lines));
            };
            let marks: Vec<Mark> = group.iter().map(|mark| Mark::of(*mark)).collect();
            self.marked((block.file, format), record, &marks, keeps_raw, lines).ok_or_else(changed)
        })?;
        match groups.next() {
            Some(_) => Err(changed()),
            None => Ok(lines),
        }
    }
}
