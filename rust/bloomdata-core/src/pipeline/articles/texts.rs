//! The texts of a record: named fields of JSON, a line, or what a source of texts makes of it.

use std::borrow::Cow;

use crate::conversation::Document;
use crate::document::{BadRecord, Record, is_blank};
use crate::json_fields::{FieldPath, extract, invalid_utf8};
use crate::sources::Format;
use crate::stages::{RecordReader, Verdict};

/// Where the texts of records are.
pub(in crate::pipeline) struct TextReader<'run> {
    pub(in crate::pipeline) fields: &'run [FieldPath],
    /// One for each input.
    pub(in crate::pipeline) formats: Vec<Format>,
    /// Reads records of a known source, in place of the fields.
    pub(in crate::pipeline) source: Option<Box<dyn RecordReader>>,
}

/// What a record holds.
pub(in crate::pipeline) enum Texts<'record> {
    /// A text for each field.
    Found(Vec<Cow<'record, str>>),
    /// Nothing, and why.
    Dropped(&'static str),
}

impl TextReader<'_> {
    /// Whether an input's records are lines of text.
    pub(in crate::pipeline) fn is_lines(&self, file: usize) -> bool {
        self.formats[file] == Format::Text
    }

    /// The record's texts, one per field.
    pub(in crate::pipeline) fn read<'record>(
        &self,
        file: usize,
        record: Record<'record>,
    ) -> Result<Texts<'record>, BadRecord> {
        if is_blank(record.bytes) {
            return Ok(Texts::Dropped("blank line"));
        }
        if let Some(source) = &self.source {
            let record = simdutf8::basic::from_utf8(record.bytes).map_err(|_| invalid_utf8(record.bytes))?;
            return match source.read(record)? {
                Verdict::Drop(reason) => Ok(Texts::Dropped(reason)),
                Verdict::Keep(documents) => {
                    documents.into_iter().map(text_of).collect::<Result<_, _>>().map(Texts::Found)
                }
                Verdict::Node(_) => Err(BadRecord::WrongForm("a message of a tree".into())),
            };
        }
        if !self.is_lines(file) {
            return extract(record.bytes, self.fields).map(Texts::Found);
        }
        let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
        let text = simdutf8::basic::from_utf8(line).map_err(|_| invalid_utf8(line))?;
        Ok(Texts::Found(vec![text.into(); self.fields.len()]))
    }
}

fn text_of(document: Document) -> Result<Cow<'static, str>, BadRecord> {
    match document {
        Document::Text(text) => Ok(text.into()),
        Document::Chat(_) => Err(BadRecord::WrongForm("a conversation, not a text".into())),
    }
}
