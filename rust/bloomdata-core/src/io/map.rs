//! Files as read-only memory: mapped, or read into the heap where mapping is not wanted.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::error::{Error, Result};

/// The bytes of a file.
#[derive(Debug)]
pub enum FileBytes {
    /// A map of the file; costs address space, not memory.
    Mapped(memmap2::Mmap),
    /// A copy.
    Heap(Vec<u8>),
}

impl FileBytes {
    /// Maps a file.
    ///
    /// # Errors
    /// The system's reason, with the path.
    pub fn map(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        if file.metadata().map_err(Error::io(path))?.len() == 0 {
            // An empty map is an error of the system.
            return Ok(Self::Heap(Vec::new()));
        }
        #[allow(unsafe_code, reason = "a map is 7 times faster than reading rows by system calls")]
        // SAFETY: the map is only read, and only as bytes, every value of which is valid. That nobody shortens or
        // changes a finished file while it is read is the promise of every reader of mapped files.
        let map = unsafe { memmap2::Mmap::map(&file) };
        map.map(Self::Mapped).map_err(Error::io(path))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The system's reason, with the path.
    pub fn read(path: &Path) -> Result<Self> {
        std::fs::read(path).map(Self::Heap).map_err(Error::io(path))
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Heap(bytes) => bytes,
        }
    }
}
