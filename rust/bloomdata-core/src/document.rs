//! Records on their way to becoming documents: where they are, and blocks of them that travel together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// U+FEFF in UTF-8: some editors put it in front of a file; it belongs to no record.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A place between two records of the inputs; a run can start from any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Index of the input.
    pub file: usize,
    /// Offset in the decompressed file in bytes; in rows for tables.
    pub offset: u64,
    /// Records before it in this input.
    pub line: u64,
}

/// One record, not yet parsed.
#[derive(Debug, Clone, Copy)]
pub struct Record<'block> {
    /// Its bytes, without the newline.
    pub bytes: &'block [u8],
    /// Its start in the decompressed file.
    pub offset: u64,
    /// Where the next record starts.
    pub next_offset: u64,
}

/// Whole records of one input, in order.
#[derive(Debug, Default)]
pub struct Block {
    /// Index of the input.
    pub file: usize,
    /// Offset of the first record.
    pub offset: u64,
    /// A first line that was cut by the boundary of two reads, put together; may be empty.
    pub head: Vec<u8>,
    /// The rest.
    pub bytes: Vec<u8>,
    /// Where records start in `bytes`.
    pub start: usize,
    /// Where they end.
    pub end: usize,
    /// For records that are not lines of the file: where each is.
    pub bounds: Option<Vec<Bound>>,
}

/// One record of a block whose records are not lines of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Its end in the block's bytes; it starts where the one before it ends.
    pub end: usize,
    /// Its start in the file.
    pub offset: u64,
    /// Where the next record starts.
    pub next_offset: u64,
}

impl Block {
    /// Bytes of the records.
    pub fn len(&self) -> usize {
        self.head.len() + (self.end - self.start)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the record behind the last one starts.
    pub fn end_offset(&self) -> u64 {
        match &self.bounds {
            Some(bounds) => bounds.last().map_or(self.offset, |bound| bound.next_offset),
            None => self.offset + self.len() as u64,
        }
    }

    /// The records in order; stops at the first error of `visit`.
    ///
    /// # Errors
    /// What `visit` returns.
    pub fn for_each<E>(&self, mut visit: impl FnMut(Record<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut offset = self.offset;
        if let Some(bounds) = &self.bounds {
            let mut from = 0;
            for &Bound { end, offset, next_offset } in bounds {
                visit(Record { bytes: &self.bytes[from..end], offset, next_offset })?;
                from = end;
            }
            return Ok(());
        }
        if !self.head.is_empty() {
            let next_offset = offset + self.head.len() as u64;
            visit(Record { bytes: trim_newline(&self.head), offset, next_offset })?;
            offset = next_offset;
        }
        let mut from = self.start;
        while from < self.end {
            let length =
                memchr::memchr(b'\n', &self.bytes[from..self.end]).map_or(self.end - from, |at| at + 1);
            let next_offset = offset + length as u64;
            visit(Record { bytes: trim_newline(&self.bytes[from..from + length]), offset, next_offset })?;
            from += length;
            offset = next_offset;
        }
        Ok(())
    }
}

fn trim_newline(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Whether a line holds nothing but JSON's white space.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// What is wrong with text that is not one JSON value (RFC 8259).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFault {
    /// What, and under which key.
    pub reason: String,
    /// Where in the record, in bytes, if that is known.
    pub at: Option<usize>,
    /// What may help if the record is a line of a file.
    pub remedy: Option<Remedy>,
}

/// What may help against a line that is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The line is a part of a JSON document over several lines.
    SeveralLines,
    /// The line is that, or was cut off.
    CutOrSeveralLines,
}

impl Remedy {
    const fn text(self) -> &'static str {
        match self {
            Self::SeveralLines => ": one JSON document over several lines is to be named .json",
            Self::CutOrSeveralLines => {
                ": the record was cut off, or is one JSON document over several lines, which is to be named .json"
            }
        }
    }
}

impl From<String> for JsonFault {
    fn from(reason: String) -> Self {
        Self { reason, at: None, remedy: None }
    }
}

/// What the parser says, without its own count of lines.
impl From<&serde_json::Error> for JsonFault {
    fn from(error: &serde_json::Error) -> Self {
        let told = error.to_string();
        told.rsplit_once(" at line ").map_or(told.as_str(), |(reason, _)| reason).to_owned().into()
    }
}

/// Where a record is, for those who look for it.
#[derive(Debug, Clone, Copy)]
pub struct RecordPlace {
    /// Its start in the decompressed file.
    pub offset: u64,
    /// Whether its bytes are those of one line there, so that places inside of it are places of the file.
    pub is_line: bool,
}

/// Why a record cannot become a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRecord {
    /// Bytes that are not UTF-8; the offset of the first in the record.
    InvalidUtf8(usize),
    /// Text that is not one JSON value (RFC 8259).
    MalformedJson(JsonFault),
    /// A JSON value that is not an object, but this.
    NotAnObject(&'static str),
    /// The object has no such field.
    MissingField(String),
    /// The field is `null`.
    NullField(String),
    /// The field holds something else than a string.
    NotAString(String),
    /// A category that was not named.
    UnknownCategory(String),
    /// The record has another form than its source's: what was expected, and found.
    WrongForm(String),
    /// A text holds special tokens of the tokenizer, which were to be refused: how many.
    SpecialTokens(u64),
    /// The chat template refused it, or its loss mask would be wrong: why.
    Template(String),
}

impl BadRecord {
    /// The reason's name in ledgers.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InvalidUtf8(_) => "invalid UTF-8",
            Self::MalformedJson(_) => "malformed JSON",
            Self::NotAnObject(_) => "not a JSON object",
            Self::MissingField(_) => "missing field",
            Self::NullField(_) => "null field",
            Self::NotAString(_) => "field is not a string",
            Self::UnknownCategory(_) => "unknown category",
            Self::WrongForm(_) => "not of the source's form",
            Self::SpecialTokens(_) => "special tokens in text",
            Self::Template(_) => "refused by the template",
        }
    }

    /// The reason in words, for a record at this place.
    pub fn told(&self, RecordPlace { offset, is_line }: RecordPlace) -> String {
        let in_file = |at: usize| offset + at as u64;
        match self {
            Self::InvalidUtf8(at) if is_line => format!("invalid UTF-8 at byte {} of the file", in_file(*at)),
            Self::MalformedJson(JsonFault { reason, at: Some(at), remedy }) if is_line => {
                let remedy = remedy.map_or("", Remedy::text);
                format!("malformed JSON at byte {} of the file: {reason}{remedy}", in_file(*at))
            }
            Self::NotAnObject("a list") if is_line => {
                format!("{self}: a file that is one JSON array is to be named .json")
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUtf8(at) => write!(out, "invalid UTF-8 at byte {at} of the record"),
            Self::MalformedJson(JsonFault { reason, at: Some(at), .. }) => {
                write!(out, "malformed JSON at byte {at} of the record: {reason}")
            }
            Self::MalformedJson(JsonFault { reason, .. }) => write!(out, "malformed JSON: {reason}"),
            Self::NotAnObject(kind) => write!(out, "not a JSON object but {kind}"),
            Self::MissingField(field) => write!(out, "no field {field:?}"),
            Self::NullField(field) => write!(out, "field {field:?} is null"),
            Self::NotAString(field) => write!(out, "field {field:?} is not a string"),
            Self::UnknownCategory(name) => write!(out, "category: expected one of those named, got {name:?}"),
            Self::SpecialTokens(count) => {
                write!(out, "its text holds {count} special tokens of the tokenizer (special_tokens_in_text)")
            }
            Self::WrongForm(reason) | Self::Template(reason) => write!(out, "{reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_tile_the_block() {
        let block = Block {
            offset: 10,
            head: b"ab\n".to_vec(),
            bytes: b"xx\n\ncd\r\nlast".to_vec(),
            start: 3,
            end: 12,
            ..Block::default()
        };
        let mut seen = Vec::new();
        block
            .for_each(|record| {
                seen.push((record.bytes.to_vec(), record.offset, record.next_offset));
                Ok::<(), ()>(())
            })
            .unwrap();
        let expected: [(&[u8], u64, u64); 4] =
            [(b"ab", 10, 13), (b"", 13, 14), (b"cd\r", 14, 18), (b"last", 18, 22)];
        assert!(seen.iter().map(|(bytes, from, to)| (&bytes[..], *from, *to)).eq(expected));
    }
}
