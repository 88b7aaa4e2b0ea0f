//! Names and frames of `.jsonl.zst` shards.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::compression::Compression;
use crate::io::zstd_frames::FrameEncoder;
use crate::progress::Progress;

/// Lines are compressed together until they have this many bytes; the boundary depends on the lines only.
pub const FRAME_BYTES: usize = 4 << 20;

/// How shards are named: `part-00000.jsonl.zst`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardNames {
    /// What stands before the number and its hyphen.
    pub prefix: String,
    /// Digits at least, filled with zeros so that names sort.
    pub digits: usize,
    /// Number of the first shard.
    pub first_index: u64,
    /// Sets the suffix.
    pub compression: Compression,
}

impl ShardNames {
    /// The name of the shard at `position`, counted from 0.
    pub fn name(&self, position: u64) -> String {
        let number = self.first_index + position;
        let Self { prefix, digits, compression, .. } = self;
        format!("{prefix}-{number:0digits$}.jsonl{}", compression.suffix())
    }
}

/// Compresses frames of lines.
#[allow(missing_debug_implementations, reason = "a handle of the zstd library")]
pub enum LineEncoder {
    /// As is.
    Plain,
    /// One gzip member a frame.
    Gzip(u32),
    /// One zstd frame a frame.
    Zstd(FrameEncoder),
}

impl LineEncoder {
    /// An encoder at `level`.
    ///
    /// # Errors
    /// A level that the compression does not have.
    pub fn new(compression: Compression, level: i32) -> Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain,
            Compression::Zstd => Self::Zstd(FrameEncoder::new(level)?),
            Compression::Gzip => match u32::try_from(level) {
                Ok(level @ 0..=9) => Self::Gzip(level),
                _ => return Err(Error::config("level", format!("{level} is outside 0 to 9 of gzip"))),
            },
            other => {
                let reason = format!("expected zstd, gzip or none, got {}, which is only read", other.name());
                return Err(Error::config("compression", reason));
            }
        })
    }

    /// The stored form of one frame.
    ///
    /// # Errors
    /// Out of memory, or the run was interrupted.
    pub fn encode(&mut self, lines: Vec<u8>, progress: &Progress) -> Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(lines),
            Self::Zstd(encoder) => encoder.encode(&lines, progress),
            Self::Gzip(level) => {
                let mut encoder = flate2::GzBuilder::new()
                    .write(Vec::with_capacity(lines.len() / 3), flate2::Compression::new(*level));
                std::io::Write::write_all(&mut encoder, &lines)
                    .and_then(|()| encoder.finish())
                    .map_err(|error| Error::Internal(error.to_string()))
            }
        }
    }
}
