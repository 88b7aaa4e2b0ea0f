//! The file of verdicts: what the last pass is to do with records, by input and offset.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::decisions::Why;
use super::records::{RecordReader, RecordWriter};
use crate::error::{Error, Result};
use crate::pipeline::scratch::records_changed;
use crate::sources::inputs::InputList;
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
    path: PathBuf,
    file: File,
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

    /// Opens what a [`VerdictWriter`] wrote.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open(folder: &Path, inputs: &InputList) -> Result<Self> {
        let path = folder.join(NAME);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let starts = RecordReader::<1>::open(&starts_path(folder))?;
        let starts = starts.map(|start| start.map(|[start]| start)).collect::<Result<_>>()?;
        let names = inputs.inputs.iter().map(|input| input.path.clone()).collect();
        Ok(Self { path, file, names, starts })
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

/// Where the verdicts of each input start; it comes last.
fn starts_path(folder: &Path) -> PathBuf {
    folder.join(format!("{NAME}-starts"))
}
