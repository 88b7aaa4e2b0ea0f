//! A file read from front to back, counted and hashed as stored.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::hash::ContentHasher;
use crate::progress::Progress;

/// Bytes asked of the system at once.
pub const READ_BYTES: usize = 1 << 20;

/// An open input file.
#[derive(Debug)]
pub struct InputReader<'run> {
    path: PathBuf,
    file: File,
    hasher: ContentHasher,
    position: u64,
    expected_size: u64,
    progress: &'run Progress,
}

impl<'run> InputReader<'run> {
    /// Opens `path` at its start.
    ///
    /// # Errors
    /// The system's reason, with the path.
    pub fn open(path: &Path, progress: &'run Progress) -> Result<Self> {
        Self::open_sized(path, u64::MAX, progress)
    }

    /// Opens `path`, of which no more than `expected_size` bytes are read.
    ///
    /// # Errors
    /// The system's reason, with the path.
    pub fn open_sized(path: &Path, expected_size: u64, progress: &'run Progress) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            hasher: ContentHasher::default(),
            position: 0,
            expected_size,
            progress,
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Appends up to `limit` bytes to `buffer`; fewer only at the end of the file.
    ///
    /// # Errors
    /// The system's reason, or that the run was interrupted.
    pub fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<usize> {
        let before = buffer.len();
        loop {
            self.progress.check()?;
            let (from, left) = (buffer.len(), limit - (buffer.len() - before));
            // Not by our own `read`: std would fill the room with zeros first.
            let part = READ_BYTES.min(left);
            buffer.reserve(part);
            let count = (&self.file).take(part as u64).read_to_end(buffer).map_err(Error::io(&self.path))?;
            self.note(&buffer[from..]).map_err(|source| self.error(source))?;
            if count < part || count == left {
                return Ok(buffer.len() - before);
            }
        }
    }

    /// Counts and hashes bytes that were read.
    fn note(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        if self.position > self.expected_size {
            return Err(std::io::Error::other("the file has grown"));
        }
        Progress::add(&self.progress.read_bytes, bytes.len() as u64);
        Ok(())
    }

    /// Turns an error that passed through [`Read`] back into ours.
    pub fn error(&self, source: std::io::Error) -> Error {
        self.error_if_stopped().err().unwrap_or(Error::Io { path: self.path.clone(), source })
    }

    /// The real cause of an error that a decoder reports.
    ///
    /// # Errors
    /// The run was asked to stop, or the file has grown.
    pub fn error_if_stopped(&self) -> Result<()> {
        self.progress.check().and_then(|()| self.check_size())
    }

    /// Size and hash of the file, once it was read to its end.
    ///
    /// # Errors
    /// The file was not `expected_size` bytes long: it changed since the run was planned.
    pub fn finish(self, expected_size: u64) -> Result<String> {
        if self.position != expected_size {
            return Err(self.changed(expected_size));
        }
        Ok(self.hasher.hex())
    }

    /// # Errors
    /// The file has more bytes than it was said to have.
    fn check_size(&self) -> Result<()> {
        if self.position > self.expected_size { Err(self.changed(self.expected_size)) } else { Ok(()) }
    }

    fn changed(&self, expected_size: u64) -> Error {
        let what = format!("{}: size in bytes (changed while it was read)", self.path.display());
        Error::mismatch(what, expected_size, self.position)
    }
}

impl Read for InputReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.progress.check().is_err() {
            // Not `Interrupted`: std retries that kind for ever.
            return Err(std::io::Error::other("interrupted"));
        }
        let limit = buffer.len().min(READ_BYTES);
        let count = self.file.read(&mut buffer[..limit])?;
        self.note(&buffer[..count])?;
        Ok(count)
    }
}
