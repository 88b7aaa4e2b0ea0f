//! Content hashes: BLAKE3, as 64 hex digits, checkable with the `b3sum` program.

use std::io::{Read, Seek, SeekFrom};
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

/// What tells contents apart in memory: the first half of their hash.
pub fn content_key(bytes: &[u8]) -> u128 {
    u128::from_le_bytes(*blake3::hash(bytes).as_bytes().first_chunk().unwrap_or(&[0; 16]))
}

/// Hash of the bytes of a file between two offsets.
///
/// # Errors
/// The file cannot be read, ends before, or the run was interrupted.
pub fn hash_between(path: &Path, [start, end]: [u64; 2], progress: &Progress) -> Result<ContentHasher> {
    let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
    file.seek(SeekFrom::Start(start)).map_err(Error::io(path))?;
    hash_of(path, file, Some(end - start), progress).map(|(_, hasher)| hasher)
}

/// Size and hash of a whole file; `limit` stops after that many bytes.
///
/// # Errors
/// The file cannot be read, is shorter than `limit`, or the run was interrupted.
pub fn hash_file(path: &Path, limit: Option<u64>, progress: &Progress) -> Result<(u64, ContentHasher)> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    hash_of(path, file, limit, progress)
}

fn hash_of(
    path: &Path,
    file: std::fs::File,
    limit: Option<u64>,
    progress: &Progress,
) -> Result<(u64, ContentHasher)> {
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
