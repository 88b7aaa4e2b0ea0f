//! Files of records of `N` numbers: what one phase of a run hands to the next.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::atomic::{rename_durably, temporary_path};

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
        let file = File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        if !size.is_multiple_of(8 * N as u64) {
            return Err(Error::corrupt(path, size, format!("expected records of {} bytes", 8 * N)));
        }
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
