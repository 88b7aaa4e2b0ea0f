//! Documents without their repeated parts, or with a list of them.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::options::{Action, Repeated};
use crate::dedup::segments::{Part, cut, whole_lines};
use crate::document::{BadRecord, Record};
use crate::error::{Error, Result};
use crate::json_fields::{FieldPath, extract_raw, text_of};
use crate::json_text::json_string;
use crate::sources::Format;
use crate::token::index;

/// Key of the places of repeated parts in records that are marked.
const MARKS: &str = "repeated_spans";

/// Edits records.
pub(super) struct Editor<'run> {
    pub(super) repeated: &'run Repeated,
    pub(super) field: FieldPath,
    spans: (PathBuf, File),
}

impl<'run> Editor<'run> {
    /// Reads spans from the file that `join_spans` wrote.
    pub(super) fn open(repeated: &'run Repeated, field: &FieldPath, spans: &Path) -> Result<Self> {
        let file = File::open(spans).map_err(Error::io(spans))?;
        Ok(Self { repeated, field: field.clone(), spans: (spans.to_owned(), file) })
    }

    /// Appends the record with some spans of its text edited; none if it has no text any more.
    pub(super) fn line(
        &self,
        format: Format,
        record: Record<'_>,
        (first, count): (u64, u64),
        out: &mut Vec<u8>,
    ) -> Result<Option<()>> {
        let spans = self.spans(first, count)?;
        let text = std::str::from_utf8(record.bytes).unwrap_or_default();
        if format == Format::Text {
            let line = text.strip_suffix('\r').unwrap_or(text);
            self.write_object(line, &spans, out);
            return Ok(Some(()));
        }
        let Ok((raw, content)) = self.text_in(text) else { return Ok(None) };
        match self.repeated.action {
            Action::Cut => {
                let start = raw.as_ptr().addr() - text.as_ptr().addr();
                out.extend_from_slice(&text.as_bytes()[..start]);
                self.write_text(&content, &spans, raw.is_ascii(), out);
                out.extend_from_slice(&text.as_bytes()[start + raw.len()..]);
            }
            Action::Mark => {
                let object = text.trim_end().strip_suffix('}').unwrap_or(text);
                out.extend_from_slice(object.as_bytes());
                write_marks(&spans, out);
            }
            Action::Drop => out.extend_from_slice(record.bytes),
        }
        Ok(Some(()))
    }

    /// The text's JSON in a record, and the text.
    fn text_in<'record>(
        &self,
        record: &'record str,
    ) -> std::result::Result<(&'record str, Cow<'record, str>), BadRecord> {
        let raw = extract_raw(record, std::slice::from_ref(&self.field))?.first().copied().flatten();
        let content = text_of(&self.field, raw)?;
        Ok((raw.unwrap_or_default(), content))
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
            let whole = crate::dedup::segments::WholeParts {
                normalize: crate::dedup::exact_key::TextForm::None,
                min_characters: 0,
            };
            cut(text, &whole_lines(text, spans), Part::Lines(whole))
        } else {
            cut(text, spans, self.repeated.part)
        };
        json_string(&text, ensure_ascii, |part| out.extend_from_slice(part.as_bytes()));
    }

    fn spans(&self, first: u64, count: u64) -> Result<Vec<(u64, u64)>> {
        let mut bytes = vec![0; index(16 * count)];
        self.spans.1.read_exact_at(&mut bytes, 16 * first).map_err(Error::io(&self.spans.0))?;
        let number = |entry: &[u8], at: usize| entry[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        Ok(bytes.chunks_exact(16).map(|entry| (number(entry, 0), number(entry, 8))).collect())
    }
}

/// The end of an object: the places of repeated parts, in bytes of its text.
fn write_marks(spans: &[(u64, u64)], out: &mut Vec<u8>) {
    let places: Vec<String> = spans.iter().map(|(start, end)| format!("[{start},{end}]")).collect();
    let is_empty = out.trim_ascii_end().ends_with(b"{");
    out.extend_from_slice(if is_empty { b"" } else { b"," });
    out.extend_from_slice(format!("\"{MARKS}\":[{}]}}", places.join(",")).as_bytes());
}
