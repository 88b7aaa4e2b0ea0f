//! The seek table at the end of a file of zstd frames: sizes of all frames, in a frame that decoders skip.
//!
//! Origin: `contrib/seekable_format` of the zstd repository.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

const SKIPPABLE_SEEK_TABLE: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// The skippable frame that closes a file: sizes of all frames before it.
///
/// # Errors
/// A frame over 4 GiB, which we never write.
pub fn seek_table(frames: &[(u64, u64)]) -> Result<Vec<u8>> {
    let small =
        |value: u64| u32::try_from(value).map_err(|_| Error::Internal("zstd frame over 4 GiB".into()));
    let mut out = SKIPPABLE_SEEK_TABLE.to_le_bytes().to_vec();
    out.extend(small(frames.len() as u64 * 8 + 9)?.to_le_bytes());
    for &(compressed, content) in frames {
        out.extend(small(compressed)?.to_le_bytes());
        out.extend(small(content)?.to_le_bytes());
    }
    out.extend(small(frames.len() as u64)?.to_le_bytes());
    out.push(0); // descriptor: no checksums here, every frame has its own
    out.extend(SEEKABLE_MAGIC.to_le_bytes());
    Ok(out)
}

/// Bytes at the end of a file of frames that say how long its seek table is.
const FOOTER_BYTES: usize = 9;

/// Sizes of all frames of a file of `size` bytes, compressed and decompressed, by the seek table at its end; `None` where
/// it has none. `read` gives so many of its last bytes.
///
/// # Errors
/// What `read` reports.
pub fn seek_table_of(size: u64, read: impl Fn(usize) -> Result<Vec<u8>>) -> Result<Option<Vec<(u64, u64)>>> {
    let word = |bytes: &[u8]| bytes.iter().take(4).rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    if size < FOOTER_BYTES as u64 {
        return Ok(None);
    }
    let footer = read(FOOTER_BYTES)?;
    if footer.len() != FOOTER_BYTES || word(&footer[5..]) != u64::from(SEEKABLE_MAGIC) {
        return Ok(None);
    }
    // The highest bit of the descriptor: each frame has a checksum, too.
    let (count, entry) = (word(&footer), if footer[4] & 0x80 == 0 { 8 } else { 12 });
    let length = count * entry + 8 + FOOTER_BYTES as u64;
    let Some(frames_end) = size.checked_sub(length) else { return Ok(None) };
    let length = crate::token::index(length);
    let table = read(length)?;
    if table.len() != length {
        return Ok(None);
    }
    let entries = table[8..length - FOOTER_BYTES].chunks_exact(crate::token::index(entry));
    let frames: Vec<(u64, u64)> = entries.map(|entry| (word(entry), word(&entry[4..]))).collect();
    let is_table = word(&table) == u64::from(SKIPPABLE_SEEK_TABLE) && word(&table[4..]) == length as u64 - 8;
    let fits = frames.iter().map(|frame| frame.0).sum::<u64>() == frames_end;
    Ok((is_table && fits).then_some(frames))
}

/// As [`seek_table_of`], of a file.
///
/// # Errors
/// The system's reason.
pub fn read_seek_table(path: &Path, size: u64) -> Result<Option<Vec<(u64, u64)>>> {
    let file = File::open(path).map_err(Error::io(path))?;
    seek_table_of(size, |length| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, size - length as u64).map_err(Error::io(path)).map(|()| bytes)
    })
}
