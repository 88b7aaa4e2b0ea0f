//! Records of a phase, one file for each input, that the next phase looks up by where documents start.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::pipeline::dedup::records::{RecordFile, RecordWriter};

/// Files of records of `N` numbers, in order of the first of them: the offset of a document.
#[derive(Debug, Clone)]
pub struct ByOffset<const N: usize> {
    folder: PathBuf,
    suffix: &'static str,
    /// Records of each input.
    counts: Vec<u64>,
}

impl<const N: usize> ByOffset<N> {
    /// Those that were written with these names; `counts` says how many for each input.
    pub fn open(folder: &Path, suffix: &'static str, counts: Vec<u64>) -> Self {
        Self { folder: folder.to_owned(), suffix, counts }
    }

    /// Starts the file of an input.
    ///
    /// # Errors
    /// The system's reason.
    pub fn create(folder: &Path, suffix: &str, input: usize) -> Result<RecordWriter<N>> {
        RecordWriter::create(&path_of(folder, suffix, input))
    }

    /// The records of documents that start from one offset to another, in order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn between(&self, input: usize, start: u64, end: u64) -> Result<Vec<[u64; N]>> {
        let count = self.counts[input];
        if count == 0 {
            return Ok(Vec::new());
        }
        let file = RecordFile::open(&path_of(&self.folder, self.suffix, input))?;
        file.between((0, count), start, end)
    }
}

fn path_of(folder: &Path, suffix: &str, input: usize) -> PathBuf {
    folder.join(format!("{input:05}.{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_by_offset() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ByOffset::<2>::create(folder.path(), "marks", 0).unwrap();
        let records = [[3, 1], [3, 2], [9, 3], [40, 4]];
        for record in records {
            file.push(record).unwrap();
        }
        file.seal().unwrap();
        let found = ByOffset::<2>::open(folder.path(), "marks", vec![4, 0]);
        assert_eq!(found.between(0, 0, 50).unwrap(), records);
        assert_eq!(found.between(0, 3, 9).unwrap(), records[..2]);
        assert_eq!(found.between(0, 4, 9).unwrap(), records[..0]);
        assert_eq!(found.between(1, 0, 50).unwrap(), records[..0]);
    }
}
