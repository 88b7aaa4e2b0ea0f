//! Records in order, of any number, in bounded memory: sorted runs go to disk and are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use super::records::{RecordReader, RecordWriter};
use crate::error::Result;
use crate::progress::Progress;
use crate::token::index;

/// Runs that are merged at once.
const MAX_RUNS: usize = 64;
/// Bytes read ahead of each run.
const READ_BYTES: usize = 64 << 10;

/// Where scratch files go, and how much memory a sorter may take.
#[derive(Debug, Clone, Copy)]
pub struct Room<'run> {
    /// The folder.
    pub folder: &'run Path,
    /// Bytes of memory of one sorter.
    pub bytes: u64,
    /// Threads that sort.
    pub num_threads: usize,
    /// What stops the run.
    pub progress: &'run Progress,
}

/// Takes records of `N` numbers in any order.
#[derive(Debug)]
pub struct Sorter<'run, const N: usize> {
    room: Room<'run>,
    name: &'static str,
    most: usize,
    buffer: Vec<[u64; N]>,
    runs: Vec<PathBuf>,
    made: usize,
}

impl<'run, const N: usize> Sorter<'run, N> {
    /// An empty sorter; `name` tells its files from those of others.
    pub fn new(room: Room<'run>, name: &'static str) -> Self {
        let most = index(room.bytes / (8 * N as u64)).max(1 << 10);
        Self { room, name, most, buffer: Vec::new(), runs: Vec::new(), made: 0 }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// The system's reason.
    pub fn push(&mut self, record: [u64; N]) -> Result<()> {
        if self.buffer.len() >= self.most {
            self.spill()?;
        }
        if self.buffer.len() == self.buffer.capacity() {
            // Doubling would go beyond what the limit allows.
            self.buffer.reserve_exact((self.buffer.len().max(1 << 12)).min(self.most - self.buffer.len()));
        }
        self.buffer.push(record);
        Ok(())
    }

    /// All records in order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn finish(mut self) -> Result<Sorted<N>> {
        if !self.runs.is_empty() && !self.buffer.is_empty() {
            self.spill()?;
        }
        let parts = sort_parts(&mut self.buffer, self.room.num_threads);
        let buffer = std::mem::take(&mut self.buffer);
        Sorted::new(buffer, parts, std::mem::take(&mut self.runs))
    }

    fn spill(&mut self) -> Result<()> {
        self.room.progress.check()?;
        let parts = sort_parts(&mut self.buffer, self.room.num_threads);
        let sorted = Sorted::new(std::mem::take(&mut self.buffer), parts, Vec::new())?;
        self.buffer = self.write_run(sorted)?;
        self.buffer.clear();
        if self.runs.len() >= MAX_RUNS {
            let merged = Sorted::new(Vec::new(), Vec::new(), std::mem::take(&mut self.runs))?;
            self.write_run(merged)?;
        }
        Ok(())
    }

    /// Writes a run; gives back the memory of what was sorted.
    fn write_run(&mut self, mut sorted: Sorted<N>) -> Result<Vec<[u64; N]>> {
        let path = self.room.folder.join(format!("{}-{}.run", self.name, self.made));
        self.made += 1;
        let mut run = RecordWriter::create(&path)?;
        while let Some(record) = sorted.next().transpose()? {
            run.push(record)?;
            if run.count.is_multiple_of(1 << 20) {
                self.room.progress.check()?;
            }
        }
        run.seal()?;
        self.runs.push(path);
        Ok(std::mem::take(&mut sorted.buffer))
    }
}

impl<const N: usize> Drop for Sorter<'_, N> {
    fn drop(&mut self) {
        for path in &self.runs {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Sorts a part on each thread; where the parts end.
fn sort_parts<const N: usize>(buffer: &mut [[u64; N]], num_threads: usize) -> Vec<usize> {
    let size = buffer.len().div_ceil(num_threads.max(1)).max(1 << 12);
    std::thread::scope(|scope| {
        let mut ends = Vec::new();
        let mut end = 0;
        for part in buffer.chunks_mut(size) {
            end += part.len();
            ends.push(end);
            scope.spawn(|| part.sort_unstable());
        }
        ends
    })
}

/// Records in order.
#[derive(Debug)]
pub struct Sorted<const N: usize> {
    buffer: Vec<[u64; N]>,
    /// What is left of each sorted part of the buffer.
    parts: Vec<(usize, usize)>,
    runs: Vec<Run<N>>,
    /// The next record of every part and run.
    next: BinaryHeap<Reverse<([u64; N], usize)>>,
}

/// Records of a file, which is removed in the end.
#[derive(Debug)]
struct Run<const N: usize> {
    path: PathBuf,
    records: RecordReader<N>,
}

impl<const N: usize> Sorted<N> {
    fn new(buffer: Vec<[u64; N]>, ends: Vec<usize>, paths: Vec<PathBuf>) -> Result<Self> {
        let mut start = 0;
        let parts = ends.into_iter().map(|end| (std::mem::replace(&mut start, end), end)).collect();
        let mut runs = Vec::new();
        for path in paths {
            let records = RecordReader::with_buffer(&path, READ_BYTES)?;
            runs.push(Run { path, records });
        }
        let mut sorted = Self { buffer, parts, runs, next: BinaryHeap::new() };
        for source in 0..sorted.parts.len() + sorted.runs.len() {
            if let Some(record) = sorted.pull(source)? {
                sorted.next.push(Reverse((record, source)));
            }
        }
        Ok(sorted)
    }

    /// The next record of one source.
    fn pull(&mut self, source: usize) -> Result<Option<[u64; N]>> {
        if let Some((start, end)) = self.parts.get_mut(source) {
            let at = *start;
            *start += 1;
            return Ok((at < *end).then(|| self.buffer[at]));
        }
        self.runs[source - self.parts.len()].records.next().transpose()
    }
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((record, source)) = *self.next.peek()?;
        match self.pull(source) {
            Err(error) => return Some(Err(error)),
            Ok(Some(following)) => {
                if let Some(mut first) = self.next.peek_mut() {
                    *first = Reverse((following, source));
                }
            }
            Ok(None) => {
                self.next.pop();
            }
        }
        Some(Ok(record))
    }
}

impl<const N: usize> Drop for Run<N> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::key;

    #[test]
    fn order_does_not_depend_on_memory_or_threads() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::default();
        let records: Vec<[u64; 2]> = (0..200_000).map(|at| [key(3, 3, at) % 5000, key(3, 4, at)]).collect();
        let mut expected = records.clone();
        expected.sort_unstable();
        for (bytes, num_threads) in [(1 << 30, 1), (1 << 30, 3), (64 << 10, 2), (0, 1)] {
            let room = Room { folder: folder.path(), bytes, num_threads, progress: &progress };
            let mut sorter = Sorter::new(room, "test");
            for record in &records {
                sorter.push(*record).unwrap();
            }
            let found: Vec<[u64; 2]> = sorter.finish().unwrap().map(Result::unwrap).collect();
            assert!(found == expected, "{bytes} bytes, {num_threads} threads");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
