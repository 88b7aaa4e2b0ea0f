//! What the last pass is to do with records, by input and offset; and the list of duplicates for people.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::corpus::{Corpus, Lookup, Place};
use super::decisions::{Decision, Why, read_decisions};
use super::options::DUPLICATES_NAME;
use super::records::{RecordReader, RecordWriter};
use super::sign::bad_path;
use crate::error::{Error, Result};
use crate::io::atomic::AtomicFile;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::token::index;

const NAME: &str = "verdicts";
const RECORD_BYTES: usize = 16;

/// What becomes of a record that is not simply kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is a duplicate.
    Drop(Why),
    /// It is no document.
    Bad,
}

impl Verdict {
    const fn code(self) -> u64 {
        match self {
            Self::Bad => 0,
            Self::Drop(Why::Exact) => 1,
            Self::Drop(Why::Near) => 2,
        }
    }

    const fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Bad,
            1 => Self::Drop(Why::Exact),
            _ => Self::Drop(Why::Near),
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
    decisions: &Path,
    folder: &Path,
    first_input: usize,
    list: &mut AtomicFile,
) -> Result<Dropped> {
    let num_inputs = corpus.inputs.len() - first_input;
    let mut dropped = vec![[(0, 0); 2]; num_inputs];
    let mut lookup = Lookup::new(corpus);
    let mut decisions = read_decisions(decisions)?.peekable();
    let mut file = RecordWriter::<2>::create(&folder.join(NAME))?;
    let mut starts = RecordWriter::<1>::create(&folder.join(format!("{NAME}-starts")))?;
    let mut lines = Vec::new();
    for (number, signed) in corpus.inputs[first_input..].iter().enumerate() {
        starts.push([file.count])?;
        let path = bad_path(folder, number);
        let mut bad = if path.exists() { Some(RecordReader::<1>::open(&path)?.peekable()) } else { None };
        let end = signed.first + signed.header.documents;
        loop {
            let is_ours = |decision: &Result<Decision>| decision.as_ref().map_or(true, |d| d.document < end);
            let Some(decision) = decisions.next_if(is_ours).transpose()? else { break };
            let place = lookup.place(decision.document)?;
            // Bad records before it.
            while let Some(offset) = bad.as_mut().and_then(|bad| {
                bad.next_if(|offset| offset.as_ref().map_or(true, |[offset]| *offset < place.offset))
            }) {
                file.push([offset?[0], Verdict::Bad.code()])?;
            }
            file.push([place.offset, Verdict::Drop(decision.why).code()])?;
            let (documents, bytes) = &mut dropped[number][usize::from(decision.why == Why::Near)];
            *documents += 1;
            *bytes += place.bytes;
            let kept = lookup.place(decision.kept)?;
            let via = decision.via.map(|via| lookup.place(via)).transpose()?;
            write_line(corpus, (&place, &kept, via.as_ref()), &decision, &mut lines)?;
            if lines.len() >= 1 << 16 {
                list.write(&lines)?;
                lines.clear();
            }
        }
        for offset in bad.into_iter().flatten() {
            file.push([offset?[0], Verdict::Bad.code()])?;
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
    (dropped, kept, via): (&Place, &Place, Option<&Place>),
    decision: &Decision,
    out: &mut Vec<u8>,
) -> Result<()> {
    let place = |place: &Place| -> Value {
        json!({"file": corpus.inputs[place.input].name, "line": place.line, "offset": place.offset})
    };
    let mut line = json!({
        "dropped": place(dropped), "kept": place(kept),
        "similarity": decision.similarity, "reason": decision.why.name(),
    });
    if let Some(via) = via {
        line["via"] = place(via);
    }
    serde_json::to_writer(&mut *out, &line).map_err(|error| Error::Internal(error.to_string()))?;
    out.push(b'\n');
    Ok(())
}

/// The list of duplicates as an output.
///
/// # Errors
/// The system's reason.
pub fn seal_list(list: AtomicFile, count: u64) -> Result<OutputEntry> {
    let sealed = list.seal()?;
    let details = serde_json::Map::from_iter([("duplicates".to_owned(), count.into())]);
    Ok(OutputEntry { path: DUPLICATES_NAME.to_owned(), size: sealed.size, hash: sealed.hash, details })
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
        Ok(verdicts.map(|entry| (number(entry, 0), Verdict::from_code(number(entry, 8)))).collect())
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
