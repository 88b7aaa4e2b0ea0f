//! The file of verdicts: what the last pass is to do with records, by input and offset.

use std::path::{Path, PathBuf};

use super::decisions::Why;
use super::records::{RecordFile, RecordReader, RecordWriter};
use crate::error::{Error, Result};
use crate::pipeline::scratch::records_changed;
use crate::sources::inputs::InputList;

const NAME: &str = "verdicts";
const STARTS_NAME: &str = "verdicts-starts";
/// The files that a [`VerdictWriter`] writes.
pub const VERDICT_FILES: [&str; 2] = [NAME, STARTS_NAME];

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

/// Writes verdicts, input by input and in order of offsets.
#[derive(Debug)]
pub struct VerdictWriter {
    file: RecordWriter<4>,
    starts: RecordWriter<1>,
}

impl VerdictWriter {
    /// Starts the file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn create(folder: &Path) -> Result<Self> {
        let file = RecordWriter::create(&folder.join(NAME))?;
        Ok(Self { file, starts: RecordWriter::create(&starts_path(folder))? })
    }

    /// What follows is of the next input.
    ///
    /// # Errors
    /// The system's reason.
    pub fn start_input(&mut self) -> Result<()> {
        self.starts.push([self.file.count])
    }

    /// A verdict on the record at an offset.
    ///
    /// # Errors
    /// The system's reason.
    pub fn push(&mut self, offset: u64, verdict: Verdict) -> Result<()> {
        self.file.push(verdict.record(offset))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// The system's reason.
    pub fn seal(mut self) -> Result<()> {
        self.start_input()?;
        self.file.seal()?;
        self.starts.seal()
    }
}

/// Reads verdicts.
#[derive(Debug)]
pub struct Verdicts {
    file: RecordFile<4>,
    /// The inputs, as the user named them.
    names: Vec<PathBuf>,
    /// For each input its first verdict, and the end.
    starts: Vec<u64>,
}

impl Verdicts {
    /// Whether there are any: they are whole then.
    pub fn is_written(folder: &Path) -> bool {
        starts_path(folder).exists()
    }

    /// Opens what a [`VerdictWriter`] wrote, for some inputs in a row, of which the first one had the number `first`.
    ///
    /// # Errors
    /// Fewer inputs than those; the system's reason.
    pub fn open(folder: &Path, inputs: &InputList, first: usize) -> Result<Self> {
        let file = RecordFile::open(&folder.join(NAME))?;
        let path = starts_path(folder);
        let starts = RecordReader::<1>::open(&path)?.skip(first).take(inputs.inputs.len() + 1);
        let starts = starts.map(|start| start.map(|[start]| start)).collect::<Result<Vec<_>>>()?;
        if starts.len() != inputs.inputs.len() + 1 {
            let found = (first + starts.len()).saturating_sub(1);
            let reason =
                format!("verdicts on {found} inputs, expected {} or more", first + inputs.inputs.len());
            return Err(Error::corrupt(&path, 0, reason));
        }
        let names = inputs.inputs.iter().map(|input| input.path.clone()).collect();
        Ok(Self { file, names, starts })
    }

    /// A record of an input that was there in the first pass is not, or is another.
    pub fn changed(&self, input: usize) -> Error {
        records_changed(self.names.get(input).map_or(Path::new(""), PathBuf::as_path))
    }

    /// The verdicts on records of an input from one offset to another, in order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn between(&self, input: usize, start: u64, end: u64) -> Result<Vec<(u64, Verdict)>> {
        let records = self.file.between((self.starts[input], self.starts[input + 1]), start, end)?;
        Ok(records.into_iter().map(|record| (record[0], Verdict::from_record(record))).collect())
    }
}

/// Where the verdicts of each input start; it comes last.
fn starts_path(folder: &Path) -> PathBuf {
    folder.join(STARTS_NAME)
}
