//! Records of a phase, one file for each input, that the next phase looks up by where documents start.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::pipeline::dedup::records::RecordWriter;
use crate::token::index;

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
        let path = path_of(&self.folder, self.suffix, input);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let width = 8 * N as u64;
        let lowest = |wanted: u64| -> Result<u64> {
            let (mut low, mut high, mut offset) = (0, count, [0; 8]);
            while low < high {
                let middle = u64::midpoint(low, high);
                file.read_exact_at(&mut offset, width * middle).map_err(Error::io(&path))?;
                if u64::from_le_bytes(offset) < wanted {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            Ok(low)
        };
        let (from, to) = (lowest(start)?, lowest(end)?);
        let mut bytes = vec![0; index(width * (to - from))];
        file.read_exact_at(&mut bytes, width * from).map_err(Error::io(&path))?;
        let (numbers, _) = bytes.as_chunks::<8>();
        let (records, _) = numbers.as_chunks::<N>();
        Ok(records.iter().map(|record| record.map(u64::from_le_bytes)).collect())
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
