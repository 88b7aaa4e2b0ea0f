//! Files of records of `N` numbers: what one phase of a run hands to the next.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::atomic::{rename_durably, temporary_path};
use crate::token::index;

/// Writes records; the file gets its name when it is whole.
#[derive(Debug)]
pub struct RecordWriter<const N: usize> {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    /// Records so far.
    pub count: u64,
}

impl<const N: usize> RecordWriter<N> {
    /// Starts a file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn create(path: &Path) -> Result<Self> {
        let temporary = temporary_path(path);
        let file = File::create(&temporary).map_err(Error::io(&temporary))?;
        Ok(Self { path: path.to_owned(), temporary, file: BufWriter::with_capacity(1 << 18, file), count: 0 })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// The system's reason.
    #[inline]
    pub fn push(&mut self, record: [u64; N]) -> Result<()> {
        for number in record {
            self.file.write_all(&number.to_le_bytes()).map_err(Error::io(&self.temporary))?;
        }
        self.count += 1;
        Ok(())
    }

    /// Syncs the file, and gives it its name.
    ///
    /// # Errors
    /// The system's reason.
    pub fn seal(self) -> Result<()> {
        let file = self.file.into_inner().map_err(|error| Error::io(&self.temporary)(error.into_error()))?;
        file.sync_all().map_err(Error::io(&self.temporary))?;
        rename_durably(&self.temporary, &self.path)
    }
}

/// Reads records in order.
#[derive(Debug)]
pub struct RecordReader<const N: usize> {
    path: PathBuf,
    file: BufReader<File>,
}

impl<const N: usize> RecordReader<N> {
    /// Opens a file.
    ///
    /// # Errors
    /// A file that ends inside of a record; the system's reason.
    pub fn open(path: &Path) -> Result<Self> {
        Self::with_buffer(path, 128 << 10)
    }

    /// The same with so many bytes read ahead.
    ///
    /// # Errors
    /// The system's reason.
    pub fn with_buffer(path: &Path, bytes: usize) -> Result<Self> {
        let (file, _) = open::<N>(path)?;
        Ok(Self { path: path.to_owned(), file: BufReader::with_capacity(bytes, file) })
    }

    fn read(&mut self) -> std::io::Result<Option<[u64; N]>> {
        let mut record = [0; N];
        for (at, number) in record.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            match self.file.read_exact(&mut bytes) {
                Err(error) if at == 0 && error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                read => read?,
            }
            *number = u64::from_le_bytes(bytes);
        }
        Ok(Some(record))
    }
}

impl<const N: usize> Iterator for RecordReader<N> {
    type Item = Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(Error::io(&self.path)).transpose()
    }
}

/// Reads records anywhere.
#[derive(Debug)]
pub struct RecordFile<const N: usize> {
    path: PathBuf,
    file: File,
    /// Records.
    pub count: u64,
}

impl<const N: usize> RecordFile<N> {
    /// Opens a file.
    ///
    /// # Errors
    /// A file that ends inside of a record; the system's reason.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, count) = open::<N>(path)?;
        Ok(Self { path: path.to_owned(), file, count })
    }

    /// `count` records from the one with the number `first` on.
    ///
    /// # Errors
    /// There are not so many; the system's reason.
    pub fn read(&self, first: u64, count: u64) -> Result<Vec<[u64; N]>> {
        let width = 8 * N as u64;
        let mut bytes = vec![0; index(width * count)];
        self.file.read_exact_at(&mut bytes, width * first).map_err(Error::io(&self.path))?;
        let (numbers, _) = bytes.as_chunks::<8>();
        let (records, _) = numbers.as_chunks::<N>();
        Ok(records.iter().map(|record| record.map(u64::from_le_bytes)).collect())
    }

    /// The first record that is not below `wanted`, of those with the numbers `low` to `high`, which are in order. Only the
    /// first `M` numbers are compared.
    ///
    /// # Errors
    /// The system's reason.
    pub fn lowest<const M: usize>(&self, (low, high): (u64, u64), wanted: [u64; M]) -> Result<u64> {
        let mut bytes = [[0; 8]; M];
        partition_point((low, high), |at| {
            let place = 8 * N as u64 * at;
            self.file.read_exact_at(bytes.as_flattened_mut(), place).map_err(Error::io(&self.path))?;
            Ok(bytes.map(u64::from_le_bytes) < wanted)
        })
    }

    /// The records with a first number from `start` to `end`, of those with the numbers `low` to `high`, which are in order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn between(&self, bounds: (u64, u64), start: u64, end: u64) -> Result<Vec<[u64; N]>> {
        let (from, to) = (self.lowest(bounds, [start])?, self.lowest(bounds, [end])?);
        self.read(from, to - from)
    }
}

/// The first number from `low` to `high` that is not `below`, or `high`: a binary search in what is read from a file.
///
/// # Errors
/// What `below` returns.
pub fn partition_point(
    (mut low, mut high): (u64, u64),
    mut below: impl FnMut(u64) -> Result<bool>,
) -> Result<u64> {
    while low < high {
        let middle = u64::midpoint(low, high);
        if below(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// A file, and how many records it has.
fn open<const N: usize>(path: &Path) -> Result<(File, u64)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let size = file.metadata().map_err(Error::io(path))?.len();
    if !size.is_multiple_of(8 * N as u64) {
        return Err(Error::corrupt(path, size, format!("expected records of {} bytes", 8 * N)));
    }
    Ok((file, size / (8 * N as u64)))
}
