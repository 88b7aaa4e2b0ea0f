//! What the last pass is to do with records, by input and offset; and the list of duplicates for people.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::corpus::{Corpus, Lookup, Place};
use super::decisions::{Decision, Why, read_decisions};
use super::records::{RecordReader, RecordWriter};
use super::sign::signature_path;
use super::signature_file::SignatureFile;
use crate::error::{Error, Result};
use crate::io::atomic::AtomicFile;
use crate::token::index;

const NAME: &str = "verdicts";
const RECORD_BYTES: usize = 32;

/// What becomes of a record that is not simply kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is a duplicate.
    Drop(Why),
    /// So much of it is repeated that it goes.
    DropRepeated,
    /// It has spans of repeated parts: the first one's number, and how many.
    Edit {
        /// Number of the first span.
        first: u64,
        /// Spans.
        count: u64,
    },
    /// It is no document.
    Bad,
}

impl Verdict {
    /// The record of a verdict on what starts at an offset.
    const fn record(self, offset: u64) -> [u64; 4] {
        match self {
            Self::Bad => [offset, 0, 0, 0],
            Self::Drop(Why::Exact) => [offset, 1, 0, 0],
            Self::Drop(Why::Near) => [offset, 2, 0, 0],
            Self::DropRepeated => [offset, 3, 0, 0],
            Self::Edit { first, count } => [offset, 4, first, count],
        }
    }

    const fn from_record([_, code, first, count]: [u64; 4]) -> Self {
        match code {
            0 => Self::Bad,
            1 => Self::Drop(Why::Exact),
            2 => Self::Drop(Why::Near),
            3 => Self::DropRepeated,
            _ => Self::Edit { first, count },
        }
    }
}

/// What was dropped of each input: documents and bytes of their records, by reason.
pub type Dropped = Vec<[(u64, u64); 2]>;

/// Writes the verdicts on all records of the inputs, without those that are only compared with, and the list of
/// duplicates. `first_input` is the index in the corpus of the first input, whose files are in `folder`.
///
/// # Errors
/// The system's reason.
pub fn write_verdicts(
    corpus: &Corpus,
    (decisions, marked): (&Path, Option<&Path>),
    folder: &Path,
    first_input: usize,
    list: &mut AtomicFile,
) -> Result<Dropped> {
    let num_inputs = corpus.inputs.len() - first_input;
    let mut dropped = vec![[(0, 0); 2]; num_inputs];
    let mut lookup = Lookup::new(corpus);
    let mut decisions = read_decisions(decisions)?.peekable();
    let marked = marked.map(RecordReader::<4>::open).transpose()?;
    let mut marked = marked.into_iter().flatten().peekable();
    let mut file = RecordWriter::<4>::create(&folder.join(NAME))?;
    let mut starts = RecordWriter::<1>::create(&folder.join(format!("{NAME}-starts")))?;
    let mut lines = Vec::new();
    for (number, signed) in corpus.inputs[first_input..].iter().enumerate() {
        starts.push([file.count])?;
        let bad = SignatureFile::open(&signature_path(folder, number))?.bad()?;
        let mut bad = bad.into_iter().peekable();
        let end = signed.first + signed.header.documents;
        loop {
            let of_decision = match decisions.peek() {
                Some(Ok(decision)) => Some(decision.document),
                Some(Err(_)) => Some(0),
                None => None,
            };
            let of_marked = match marked.peek() {
                Some(Ok([document, ..])) => Some(*document),
                Some(Err(_)) => Some(0),
                None => None,
            };
            let Some(next) = of_decision.into_iter().chain(of_marked).min().filter(|next| *next < end) else {
                break;
            };
            let (document, verdict) = if of_decision == Some(next) {
                let Some(decision) = decisions.next().transpose()? else { break };
                let place = lookup.place(decision.document)?;
                let (documents, bytes) = &mut dropped[number][usize::from(decision.why == Why::Near)];
                *documents += 1;
                *bytes += place.bytes;
                let kept = decision.kept.map(|kept| lookup.place(kept)).transpose()?;
                let via = decision.via.map(|via| lookup.place(via)).transpose()?;
                write_line(corpus, (&place, kept.as_ref(), via.as_ref()), &decision, &mut lines)?;
                (decision.document, Verdict::Drop(decision.why))
            } else {
                let Some([document, first, count, is_dropped]) = marked.next().transpose()? else { break };
                let edit = Verdict::Edit { first, count };
                (document, if is_dropped == 1 { Verdict::DropRepeated } else { edit })
            };
            let offset = lookup.place(document)?.offset;
            // Bad records before it.
            while let Some(bad) = bad.next_if(|bad| *bad < offset) {
                file.push(Verdict::Bad.record(bad))?;
            }
            file.push(verdict.record(offset))?;
            if lines.len() >= 1 << 16 {
                list.write(&lines)?;
                lines.clear();
            }
        }
        for offset in bad {
            file.push(Verdict::Bad.record(offset))?;
        }
    }
    list.write(&lines)?;
    starts.push([file.count])?;
    file.seal()?;
    starts.seal()?;
    Ok(dropped)
}

fn write_line(
    corpus: &Corpus,
    (dropped, kept, via): (&Place, Option<&Place>, Option<&Place>),
    decision: &Decision,
    out: &mut Vec<u8>,
) -> Result<()> {
    let place = |place: &Place| -> Value {
        json!({"file": corpus.inputs[place.input].name, "line": place.line, "offset": place.offset})
    };
    let mut line = json!({
        "dropped": place(dropped), "kept": kept.map(place),
        "similarity": kept.map(|_| decision.similarity), "reason": decision.why.name(),
    });
    if let Some(via) = via {
        line["via"] = place(via);
    }
    serde_json::to_writer(&mut *out, &line).map_err(|error| Error::Internal(error.to_string()))?;
    out.push(b'\n');
    Ok(())
}

/// Reads verdicts.
#[derive(Debug)]
pub struct Verdicts {
    path: PathBuf,
    file: File,
    /// For each input its first verdict, and the end.
    starts: Vec<u64>,
}

impl Verdicts {
    /// Opens what [`write_verdicts`] wrote.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let starts = RecordReader::<1>::open(&folder.join(format!("{NAME}-starts")))?;
        let starts = starts.map(|start| start.map(|[start]| start)).collect::<Result<_>>()?;
        Ok(Self { path, file, starts })
    }

    /// The verdicts on records of an input from one offset to another, in order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn between(&self, input: usize, start: u64, end: u64) -> Result<Vec<(u64, Verdict)>> {
        let (first, last) = (self.starts[input], self.starts[input + 1]);
        let (from, to) = (self.lowest(first, last, start)?, self.lowest(first, last, end)?);
        let mut bytes = vec![0; RECORD_BYTES * index(to - from)];
        self.file.read_exact_at(&mut bytes, RECORD_BYTES as u64 * from).map_err(Error::io(&self.path))?;
        let number = |entry: &[u8], at: usize| entry[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let verdicts = bytes.chunks_exact(RECORD_BYTES);
        Ok(verdicts
            .map(|entry| {
                let record = [0, 8, 16, 24].map(|at| number(entry, at));
                (record[0], Verdict::from_record(record))
            })
            .collect())
    }

    /// The first verdict of an offset that is not below `wanted`.
    fn lowest(&self, mut low: u64, mut high: u64, wanted: u64) -> Result<u64> {
        let mut offset = [0; 8];
        while low < high {
            let middle = u64::midpoint(low, high);
            let at = RECORD_BYTES as u64 * middle;
            self.file.read_exact_at(&mut offset, at).map_err(Error::io(&self.path))?;
            if u64::from_le_bytes(offset) < wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
