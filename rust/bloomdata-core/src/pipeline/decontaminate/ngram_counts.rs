//! In how many documents the n-grams of the table are. One that is in many is a phrase of the language.

use std::path::Path;

use super::hit_file::each_found;
use crate::error::{Error, Result};
use crate::pipeline::dedup::records::{RecordReader, RecordWriter};
use crate::progress::Progress;
use crate::token::index;

/// Documents of each n-gram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NgramCounts(Vec<u64>);

impl NgramCounts {
    /// None for each of so many.
    pub fn new(num_ngrams: usize) -> Self {
        Self(vec![0; num_ngrams])
    }

    /// Adds what a scan has found in its inputs.
    ///
    /// # Errors
    /// The system's reason.
    pub fn count(&mut self, folder: &Path, num_inputs: usize, progress: &Progress) -> Result<()> {
        // The number of the last document with it, from 1.
        let mut last = vec![0_u64; self.0.len()];
        let mut document = 0;
        for input in 0..num_inputs {
            each_found(folder, input, |_, hits| {
                progress.check()?;
                document += 1;
                for hit in hits {
                    let at = hit.ngram as usize;
                    self.0[at] += u64::from(std::mem::replace(&mut last[at], document) != document);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The n-grams in more documents than `most`, in order.
    pub fn common(&self, most: u64) -> Vec<u32> {
        (0_u32..).zip(&self.0).filter(|(_, count)| **count > most).map(|(ngram, _)| ngram).collect()
    }

    /// Writes those that are in some document. How far a count is beyond `most` is not written: scans leave out hits of
    /// n-grams that are known to be common, and which ones depends on threads.
    ///
    /// # Errors
    /// The system's reason.
    pub fn write(&self, path: &Path, most: u64) -> Result<()> {
        let mut records = RecordWriter::<2>::create(path)?;
        for (ngram, count) in (0_u64..).zip(&self.0).filter(|(_, count)| **count > 0) {
            records.push([ngram, (*count).min(most.saturating_add(1))])?;
        }
        records.seal()
    }

    /// Adds what was written.
    ///
    /// # Errors
    /// An n-gram that is in no table; the system's reason.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        for record in RecordReader::<2>::open(path)? {
            let [ngram, count] = record?;
            let Some(sum) = self.0.get_mut(index(ngram)) else {
                return Err(Error::corrupt(path, 0, format!("counts of n-gram {ngram}, which there is not")));
            };
            *sum = sum.saturating_add(count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_parts_say_what_is_common_in_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut sum = NgramCounts::new(4);
        for (part, counts) in [vec![2, 0, 900, 1], vec![1, 0, 0, 1]].into_iter().enumerate() {
            let path = folder.path().join(part.to_string());
            NgramCounts(counts).write(&path, 2).unwrap();
            sum.add(&path).unwrap();
        }
        assert_eq!(sum, NgramCounts(vec![3, 0, 3, 2]));
        assert_eq!(sum.common(2), [0, 2]);
        assert!(NgramCounts::new(3).add(&folder.path().join("0")).is_err());
    }
}
