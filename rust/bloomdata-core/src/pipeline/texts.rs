//! The texts of a record: named fields of JSON, or a line.

use std::borrow::Cow;

use crate::document::{BadRecord, Record, is_blank};
use crate::json_fields::{FieldPath, extract, invalid_utf8};
use crate::sources::Format;

/// Where the texts of records are.
pub(super) struct TextReader<'run> {
    pub(super) fields: &'run [FieldPath],
    /// One for each input.
    pub(super) formats: Vec<Format>,
}

impl TextReader<'_> {
    /// Whether an input's records are lines of text.
    pub(super) fn is_lines(&self, file: usize) -> bool {
        self.formats[file] == Format::Text
    }

    /// The record's texts, one per field; `None` for a blank line.
    pub(super) fn read<'record>(
        &self,
        file: usize,
        record: Record<'record>,
    ) -> Result<Option<Vec<Cow<'record, str>>>, BadRecord> {
        if is_blank(record.bytes) {
            return Ok(None);
        }
        if !self.is_lines(file) {
            return extract(record.bytes, self.fields).map(Some);
        }
        let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
        let text = simdutf8::basic::from_utf8(line).map_err(|_| invalid_utf8(line))?;
        Ok(Some(vec![text.into(); self.fields.len()]))
    }
}
