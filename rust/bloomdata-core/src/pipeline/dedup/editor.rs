//! Documents without their repeated parts, or with a list of them.

use std::path::Path;

use super::options::{Action, Repeated};
use super::records::RecordFile;
use crate::dedup::cut::{Gap, cut, whole_lines};
use crate::dedup::segments::Part;
use crate::document::Record;
use crate::error::Result;
use crate::json_fields::{FieldPath, locate};
use crate::json_text::json_string;
use crate::sources::Format;

/// Key of the places of repeated parts in records that are marked.
const MARKS: &str = "repeated_spans";

/// Edits records.
pub(super) struct Editor<'run> {
    pub(super) repeated: &'run Repeated,
    pub(super) field: FieldPath,
    spans: RecordFile<2>,
}

impl<'run> Editor<'run> {
    /// Reads spans from the file that `join_spans` wrote.
    pub(super) fn open(repeated: &'run Repeated, field: &FieldPath, spans: &Path) -> Result<Self> {
        Ok(Self { repeated, field: field.clone(), spans: RecordFile::open(spans)? })
    }

    /// Appends the record with some spans of its text edited; none if it has no text any more.
    pub(super) fn line(
        &self,
        format: Format,
        record: Record<'_>,
        (first, count): (u64, u64),
        out: &mut Vec<u8>,
    ) -> Result<Option<()>> {
        let spans = self.spans.read(first, count)?.into_iter().map(<(u64, u64)>::from).collect::<Vec<_>>();
        let bytes = record.bytes;
        if format == Format::Text {
            let line = std::str::from_utf8(bytes).unwrap_or_default();
            self.write_object(line.strip_suffix('\r').unwrap_or(line), &spans, out);
            return Ok(Some(()));
        }
        let Ok((place, content)) = locate(bytes, &self.field) else { return Ok(None) };
        match self.repeated.action {
            Action::Cut => {
                out.extend_from_slice(&bytes[..place.start]);
                self.write_text(&content, &spans, bytes[place.clone()].is_ascii(), out);
                out.extend_from_slice(&bytes[place.end..]);
            }
            Action::Mark => {
                out.extend_from_slice(bytes.trim_ascii_end().strip_suffix(b"}").unwrap_or(bytes));
                write_marks(&spans, out);
            }
            Action::Drop => out.extend_from_slice(bytes),
        }
        Ok(Some(()))
    }

    /// A line of text as an object.
    fn write_object(&self, line: &str, spans: &[(u64, u64)], out: &mut Vec<u8>) {
        out.push(b'{');
        json_string(self.field.name(), false, |part| out.extend_from_slice(part.as_bytes()));
        out.push(b':');
        match self.repeated.action {
            Action::Cut => {
                self.write_text(line, spans, false, out);
                out.push(b'}');
            }
            Action::Mark => {
                json_string(line, false, |part| out.extend_from_slice(part.as_bytes()));
                write_marks(spans, out);
            }
            Action::Drop => {
                json_string(line, false, |part| out.extend_from_slice(part.as_bytes()));
                out.push(b'}');
            }
        }
    }

    fn write_text(&self, text: &str, spans: &[(u64, u64)], ensure_ascii: bool, out: &mut Vec<u8>) {
        let text = if self.repeated.whole_lines && matches!(self.repeated.part, Part::Windows { .. }) {
            cut(text, &whole_lines(text, spans), Gap::None)
        } else {
            cut(text, spans, self.repeated.part.gap())
        };
        json_string(&text, ensure_ascii, |part| out.extend_from_slice(part.as_bytes()));
    }
}

/// The end of an object: the places of repeated parts, in bytes of its text.
fn write_marks(spans: &[(u64, u64)], out: &mut Vec<u8>) {
    let places: Vec<String> = spans.iter().map(|(start, end)| format!("[{start},{end}]")).collect();
    let is_empty = out.trim_ascii_end().ends_with(b"{");
    out.extend_from_slice(if is_empty { b"" } else { b"," });
    out.extend_from_slice(format!("\"{MARKS}\":[{}]}}", places.join(",")).as_bytes());
}
