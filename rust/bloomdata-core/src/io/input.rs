//! A file read from front to back, counted and hashed as stored.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::hash::ContentHasher;
use crate::progress::Progress;

/// Bytes asked of the system at once.
pub const READ_BYTES: usize = 1 << 20;

/// What the standard input is called in messages and manifests.
pub const STDIN: &str = "<stdin>";
/// Bytes asked of a stream at once, which gives what it has.
const STREAM_BYTES: usize = 1 << 16;
/// After so long somebody who waits for a stream looks whether the run was interrupted.
const WAIT_MILLISECONDS: i32 = 100;

/// An open input file, or the standard input.
#[derive(Debug)]
pub struct InputReader<'run> {
    path: PathBuf,
    file: File,
    /// Whether it gives bytes when it has some, and no size is known.
    is_stream: bool,
    /// Bytes that were looked at and not handed out yet.
    ahead: Vec<u8>,
    hasher: ContentHasher,
    position: u64,
    expected_size: u64,
    /// Bytes that may still be asked of the file.
    left: u64,
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
        Self::open_at(path, path, expected_size, progress)
    }

    /// As [`InputReader::open_sized`], of bytes that lie at `place`; errors name `path`.
    ///
    /// # Errors
    /// The system's reason, with the path.
    pub fn open_at(path: &Path, place: &Path, expected_size: u64, progress: &'run Progress) -> Result<Self> {
        let file = File::open(place).map_err(Error::io(path))?;
        Ok(Self::new(path, file, expected_size, progress))
    }

    /// As [`InputReader::open_at`], from `start` to `end`, in bytes as stored; positions are those of the file.
    ///
    /// # Errors
    /// The system's reason, with the path.
    pub fn open_between(
        path: &Path,
        place: &Path,
        [start, end]: [u64; 2],
        progress: &'run Progress,
    ) -> Result<Self> {
        let mut file = File::open(place).map_err(Error::io(path))?;
        file.seek(SeekFrom::Start(start)).map_err(Error::io(path))?;
        let left = end.saturating_sub(start);
        Ok(Self { position: start, left, ..Self::new(path, file, end, progress) })
    }

    /// The standard input, from where it stands.
    ///
    /// # Errors
    /// The system's reason.
    pub fn stdin(progress: &'run Progress) -> Result<Self> {
        let path = Path::new(STDIN);
        let own = std::io::stdin().as_fd().try_clone_to_owned().map_err(Error::io(path))?;
        Ok(Self { is_stream: true, ..Self::new(path, File::from(own), u64::MAX, progress) })
    }

    fn new(path: &Path, file: File, expected_size: u64, progress: &'run Progress) -> Self {
        Self {
            path: path.to_owned(),
            file,
            is_stream: false,
            ahead: Vec::new(),
            hasher: ContentHasher::default(),
            position: 0,
            expected_size,
            left: u64::MAX,
            progress,
        }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes, `count` of them unless the file ends before; they are still to be read.
    ///
    /// # Errors
    /// As for [`InputReader::fill`].
    pub fn peek(&mut self, count: usize) -> Result<&[u8]> {
        let mut ahead = std::mem::take(&mut self.ahead);
        while ahead.len() < count && self.read_more(&mut ahead, count)? > 0 {}
        self.ahead = ahead;
        Ok(&self.ahead[..self.ahead.len().min(count)])
    }

    /// Appends bytes of the file that are neither counted nor hashed yet; none only at its end.
    fn read_more(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<usize> {
        if !self.is_stream {
            // Not by our own `read`: std would fill the room with zeros first.
            buffer.reserve(limit);
            let limit = self.left.min(limit as u64);
            let count = (&self.file).take(limit).read_to_end(buffer).map_err(Error::io(&self.path))?;
            self.left -= count as u64;
            return Ok(count);
        }
        let from = buffer.len();
        buffer.resize(from + limit.min(STREAM_BYTES), 0);
        let count =
            self.wait().and_then(|()| self.read_some(&mut buffer[from..]).map_err(Error::io(&self.path)));
        buffer.truncate(from + count.as_ref().map_or(0, |count| *count));
        count
    }

    fn read_some(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match (&self.file).read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Waits until a stream has bytes or has ended, or the run is to stop.
    fn wait(&self) -> Result<()> {
        loop {
            self.progress.check()?;
            let mut entry = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            #[allow(unsafe_code, reason = "the standard library has no poll")]
            // SAFETY: one entry, which lives as long as the call; its file is open as long as `self`.
            let ready = unsafe { libc::poll(&raw mut entry, 1, WAIT_MILLISECONDS) };
            if ready > 0 {
                return Ok(());
            }
            let error = std::io::Error::last_os_error();
            if ready < 0 && error.kind() != ErrorKind::Interrupted {
                return Err(Error::Io { path: self.path.clone(), source: error });
            }
        }
    }

    /// Appends up to `limit` bytes to `buffer`; fewer only at the end of the file.
    ///
    /// # Errors
    /// The system's reason, or that the run was interrupted.
    pub fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<usize> {
        let before = buffer.len();
        let known = self.ahead.len().min(limit);
        buffer.extend(self.ahead.drain(..known));
        self.note(&buffer[before..]).map_err(|source| self.error(source))?;
        loop {
            self.progress.check()?;
            let (from, left) = (buffer.len(), limit - (buffer.len() - before));
            let part = READ_BYTES.min(left);
            let count = self.read_more(buffer, part)?;
            self.note(&buffer[from..]).map_err(|source| self.error(source))?;
            if count == left || count < part && (count == 0 || !self.is_stream) {
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
        if !self.is_stream && self.position != expected_size {
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
        let count = if self.ahead.is_empty() {
            if self.is_stream && self.wait().is_err() {
                return Err(std::io::Error::other("interrupted"));
            }
            let limit = crate::token::index(self.left.min(limit as u64));
            let count = self.read_some(&mut buffer[..limit])?;
            self.left -= count as u64;
            count
        } else {
            let count = self.ahead.len().min(limit);
            buffer[..count].copy_from_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            count
        };
        self.note(&buffer[..count])?;
        Ok(count)
    }
}
