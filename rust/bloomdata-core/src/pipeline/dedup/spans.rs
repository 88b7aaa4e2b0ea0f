//! Repeated parts become spans of documents, and spans decide what becomes of a document.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::corpus::{Corpus, Lookup};
use super::options::{Action, Repeated};
use super::records::{RecordReader, RecordWriter};
use super::repeats::Repeat;
use crate::dedup::segments::Part;
use crate::error::{Error, Result};
use crate::io::atomic::AtomicFile;
use crate::token::double;

/// What was found, for the report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpanCounts {
    /// Documents with a span.
    pub documents: u64,
    /// Spans.
    pub spans: u64,
    /// Bytes of text in spans.
    pub bytes: u64,
    /// Words, paragraphs or lines in spans.
    pub units: u64,
    /// All of them, of documents that were not dropped before.
    pub of_units: u64,
    /// Documents that are dropped, and bytes of their records, by input.
    pub dropped: Vec<(u64, u64)>,
}

/// What is to be done with a document that has spans: (document, first span, number of spans, whether it is dropped).
pub type Marked = [u64; 4];

/// A span of a document that is not finished.
struct Open {
    document: u64,
    units: (u64, u64),
    bytes: (u64, u64),
    first: (u64, (u64, u64)),
}

/// Joins repeated parts to spans. Writes (document, first span, number of spans, whether it is dropped) to
/// `marked_path`, spans as (start, end) to `spans_path`, and lines for people to `list`.
///
/// # Errors
/// The system's reason.
pub fn join_spans(
    corpus: &Corpus,
    repeated: &Repeated,
    (repeats, units): (&Path, &Path),
    (marked_path, spans_path): (&Path, &Path),
    list: &mut AtomicFile,
    first_input: usize,
) -> Result<SpanCounts> {
    let size = repeated.units_of_part();
    let mut joiner = Joiner {
        corpus,
        repeated,
        first_input,
        lookup: Lookup::new(corpus),
        units: RecordReader::<1>::open(units)?,
        next_units: 0,
        marked: RecordWriter::create(marked_path)?,
        spans: RecordWriter::create(spans_path)?,
        covered: 0,
        first_span: 0,
        counts: SpanCounts {
            dropped: vec![(0, 0); corpus.inputs.len() - first_input],
            ..SpanCounts::default()
        },
        lines: Vec::new(),
        list,
    };
    let mut open: Option<Open> = None;
    for record in RecordReader::<7>::open(repeats)? {
        let repeat = Repeat::from_record(record?);
        let end = repeat.unit + size;
        match &mut open {
            Some(span) if span.document == repeat.document && joins(repeated.part, span, &repeat) => {
                span.units.1 = end;
                span.bytes.1 = span.bytes.1.max(repeat.bytes.1);
            }
            _ => {
                if let Some(span) = open.take() {
                    let is_last = span.document != repeat.document;
                    joiner.span(&span, is_last)?;
                }
                open = Some(Open {
                    document: repeat.document,
                    units: (repeat.unit, end),
                    bytes: repeat.bytes,
                    first: (repeat.first_document, repeat.first_bytes),
                });
            }
        }
    }
    if let Some(span) = open {
        joiner.span(&span, true)?;
    }
    joiner.finish()
}

struct Joiner<'run> {
    corpus: &'run Corpus,
    repeated: &'run Repeated,
    first_input: usize,
    lookup: Lookup<'run>,
    /// Units of all documents in order, and the number of the next one.
    units: RecordReader<1>,
    next_units: u64,
    marked: RecordWriter<4>,
    spans: RecordWriter<2>,
    /// Units in spans of the document at hand, and its first span.
    covered: u64,
    first_span: u64,
    counts: SpanCounts,
    lines: Vec<u8>,
    list: &'run mut AtomicFile,
}

impl Joiner<'_> {
    fn span(&mut self, span: &Open, is_last: bool) -> Result<()> {
        self.spans.push([span.bytes.0, span.bytes.1])?;
        self.covered += span.units.1 - span.units.0;
        self.counts.spans += 1;
        self.counts.bytes += span.bytes.1 - span.bytes.0;
        let (place, first) = (self.lookup.place(span.document)?, self.lookup.place(span.first.0)?);
        let name = |input: usize| &self.corpus.inputs[input].name;
        let line = json!({
            "file": name(place.input), "line": place.line, "bytes": [span.bytes.0, span.bytes.1],
            "first": {"file": name(first.input), "line": first.line, "bytes": [span.first.1.0, span.first.1.1]},
        });
        serde_json::to_writer(&mut self.lines, &line).map_err(|error| Error::Internal(error.to_string()))?;
        self.lines.push(b'\n');
        if self.lines.len() >= 1 << 16 {
            self.list.write(&self.lines)?;
            self.lines.clear();
        }
        if is_last {
            let all = self.units_of(span.document)?;
            let is_dropped = drops(self.repeated, self.covered, all);
            let count = self.spans.count - self.first_span;
            self.marked.push([span.document, self.first_span, count, u64::from(is_dropped)])?;
            if is_dropped {
                let (documents, bytes) = &mut self.counts.dropped[place.input - self.first_input];
                *documents += 1;
                *bytes += place.bytes;
            }
            self.counts.documents += 1;
            self.counts.units += self.covered;
            self.covered = 0;
            self.first_span = self.spans.count;
        }
        Ok(())
    }

    /// The units of a document that comes behind the last one that was asked for.
    fn units_of(&mut self, document: u64) -> Result<u64> {
        loop {
            let Some([units]) = self.units.next().transpose()? else { return Ok(0) };
            self.counts.of_units += units;
            self.next_units += 1;
            if self.next_units > document {
                return Ok(units);
            }
        }
    }

    fn finish(mut self) -> Result<SpanCounts> {
        while let Some([units]) = self.units.next().transpose()? {
            self.counts.of_units += units;
        }
        self.list.write(&self.lines)?;
        self.marked.seal()?;
        self.spans.seal()?;
        Ok(self.counts)
    }
}

/// Whether a part belongs to a span: windows that touch, and lines with nothing between them.
fn joins(part: Part, span: &Open, repeat: &Repeat) -> bool {
    match part {
        Part::Windows { .. } => repeat.unit <= span.units.1,
        Part::Paragraphs(_) | Part::Lines(_) => repeat.bytes.0 <= span.bytes.1,
    }
}

/// Whether a document goes, of which so many units of all are repeated.
fn drops(repeated: &Repeated, covered: u64, all: u64) -> bool {
    match repeated.action {
        Action::Cut => covered >= all,
        Action::Drop => double(covered) > repeated.max_share * double(all),
        Action::Mark => false,
    }
}
