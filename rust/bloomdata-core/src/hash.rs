//! Content hashes: BLAKE3, as 64 hex digits, checkable with the `b3sum` program.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::progress::Progress;

/// Running hash of a file's bytes.
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash so far, 64 hex digits.
    pub fn hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// Hash of a few bytes in memory.
pub fn hash_bytes(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Size and hash of a whole file; `limit` stops after that many bytes.
///
/// # Errors
/// The file cannot be read, is shorter than `limit`, or the run was interrupted.
pub fn hash_file(path: &Path, limit: Option<u64>, progress: &Progress) -> Result<(u64, ContentHasher)> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut reader = file.take(limit.unwrap_or(u64::MAX));
    let mut buffer = vec![0; 1 << 20];
    let mut hasher = ContentHasher::default();
    let mut size = 0;
    loop {
        progress.check()?;
        let count = reader.read(&mut buffer).map_err(Error::io(path))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    match limit {
        Some(expected) if expected != size => {
            Err(Error::mismatch(format!("{}: size in bytes", path.display()), expected, size))
        }
        _ => Ok((size, hasher)),
    }
}
