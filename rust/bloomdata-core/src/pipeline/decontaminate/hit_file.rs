//! What the first pass leaves of an input: its documents with n-grams of the table, and its bad records.
//!
//! ```text
//! NNNNN.hits   for each of them [offset, line, bytes, hits], then that many [word, n-gram, start, end]; all u64
//! NNNNN.json   the input as it was read, and the books behind it; written last
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::decontaminate::scanner::Hit;
use crate::error::{Error, Result};
use crate::io::atomic::write_atomically;
use crate::pipeline::dedup::records::{RecordReader, RecordWriter};
use crate::pipeline::folder::books::Snapshot;
use crate::pipeline::folder::manifest::InputEntry;
use crate::token::index;

/// What stands behind the number of an input in the name of its file.
pub const HITS_SUFFIX: &str = ".hits";
/// In place of the number of hits: the record is bad.
const BAD: u64 = u64::MAX;

/// A record that the later phases have to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Where it starts.
    pub offset: u64,
    /// Its line in the input, from 1.
    pub line: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it is no document.
    pub is_bad: bool,
}

/// An input that was read to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scanned {
    /// As it was; without its path.
    pub input: InputEntry,
    /// The books behind it.
    pub books: Snapshot,
}

/// The file of an input's hits.
pub fn hits_path(folder: &Path, input: usize) -> PathBuf {
    folder.join(format!("{input:05}{HITS_SUFFIX}"))
}

fn scanned_path(folder: &Path, input: usize) -> PathBuf {
    folder.join(format!("{input:05}.json"))
}

/// Whether an input was read to its end.
pub fn is_scanned(folder: &Path, input: usize) -> bool {
    scanned_path(folder, input).exists()
}

/// What is known of an input.
///
/// # Errors
/// A file that is damaged.
pub fn read_scanned(folder: &Path, input: usize) -> Result<Scanned> {
    let path = scanned_path(folder, input);
    let text = std::fs::read(&path).map_err(Error::io(&path))?;
    serde_json::from_slice(&text).map_err(|error| Error::corrupt(&path, 0, error.to_string()))
}

/// Writes what was found in an input.
#[derive(Debug)]
pub struct HitWriter {
    folder: PathBuf,
    input: usize,
    records: RecordWriter<4>,
}

impl HitWriter {
    /// Starts a file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn create(folder: &Path, input: usize) -> Result<Self> {
        let records = RecordWriter::create(&hits_path(folder, input))?;
        Ok(Self { folder: folder.to_owned(), input, records })
    }

    /// Appends a record and its hits.
    ///
    /// # Errors
    /// The system's reason.
    pub fn push(&mut self, found: &Found, hits: &[Hit]) -> Result<()> {
        let count = if found.is_bad { BAD } else { hits.len() as u64 };
        self.records.push([found.offset, found.line, found.bytes, count])?;
        hits.iter().try_for_each(|hit| self.records.push([hit.word, hit.ngram.into(), hit.start, hit.end]))
    }

    /// Closes the file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn close(self) -> Result<()> {
        self.records.seal()
    }

    /// The same at the end of an input.
    ///
    /// # Errors
    /// The system's reason.
    pub fn seal(self, scanned: &Scanned) -> Result<()> {
        let path = scanned_path(&self.folder, self.input);
        self.close()?;
        let text = serde_json::to_vec(scanned).map_err(|error| Error::Internal(error.to_string()))?;
        write_atomically(&path, &text).map(|_| ())
    }
}

/// Calls `visit` with every record of an input, in order.
///
/// # Errors
/// The system's reason; a file that ends too early; what `visit` returns.
pub fn each_found(
    folder: &Path,
    input: usize,
    mut visit: impl FnMut(&Found, &mut Vec<Hit>) -> Result<()>,
) -> Result<()> {
    let path = hits_path(folder, input);
    let mut records = RecordReader::<4>::open(&path)?;
    let mut hits = Vec::new();
    while let Some(record) = records.next() {
        let [offset, line, bytes, count] = record?;
        hits.clear();
        for _ in 0..if count == BAD { 0 } else { count } {
            let ended = || Error::corrupt(&path, 0, "expected more hits, found the end of the file");
            let [word, ngram, start, end] = records.next().ok_or_else(ended)??;
            hits.push(Hit { word, ngram: crate::token::narrow(index(ngram)), start, end });
        }
        visit(&Found { offset, line, bytes, is_bad: count == BAD }, &mut hits)?;
    }
    Ok(())
}
