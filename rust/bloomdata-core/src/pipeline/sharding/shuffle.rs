//! A seeded shuffle of any number of lines in bounded memory.
//!
//! Every line gets the key `rng::key(seed, index)`; the shuffled order is the order of (key, index). Lines are first
//! scattered to bucket files by the upper bits of their keys; then each bucket fits memory and is sorted by itself.
//! How many buckets there are changes nothing but the memory needed.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::zstd_frames::{FrameEncoder, decoder};
use crate::progress::Progress;
use crate::rng;
use crate::sources::Input;
use crate::token::index;

/// Use of the seed for shuffles (see [`rng::key`]).
const SHUFFLE_STREAM: u64 = 2;
/// Folder of the buckets inside the output.
pub const BUCKET_FOLDER: &str = ".shuffle";
/// Aim for this many bytes in a bucket.
const BUCKET_BYTES: u64 = 64 << 20;
/// A bucket with more than this is scattered once more.
const MAX_BUCKET_BYTES: u64 = 256 << 20;
/// Bytes collected before a bucket file grows.
const BUFFER_BYTES: usize = 256 << 10;
const MAX_BITS: u32 = 8;
/// Key, index and length before each line.
const HEADER_BYTES: usize = 24;

/// What was scattered, for the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scattered {
    /// Upper bits of the key that choose the bucket.
    pub bits: u32,
    /// Uncompressed bytes of each bucket.
    pub bucket_bytes: Vec<u64>,
}

/// Bits for inputs of this size.
pub fn bits_for(inputs: &[Input]) -> u32 {
    let bytes: u64 = inputs
        .iter()
        .map(|input| {
            if input.compression == crate::io::compression::Compression::None {
                input.size
            } else {
                6 * input.size
            }
        })
        .sum();
    (bytes / BUCKET_BYTES + 1).next_power_of_two().ilog2().min(MAX_BITS)
}

/// Lines are in the order of this, and then of their numbers.
pub(super) const fn order_key(seed: u64, number: u64) -> u64 {
    rng::key(seed, SHUFFLE_STREAM, number)
}

/// Writes lines to buckets.
#[allow(missing_debug_implementations, reason = "a handle of the zstd library")]
pub struct Scatter {
    bits: u32,
    shift: u32,
    files: Vec<(PathBuf, File)>,
    buffers: Vec<Vec<u8>>,
    bucket_bytes: Vec<u64>,
    encoder: FrameEncoder,
}

impl Scatter {
    /// Makes `2^bits` empty buckets in `folder`, by the bits of the key after the first `used` ones.
    ///
    /// # Errors
    /// The system's reason.
    pub fn create(folder: &Path, bits: u32, used: u32) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let files = (0..1_usize << bits)
            .map(|bucket| {
                let path = bucket_path(folder, bucket);
                File::create(&path).map(|file| (path.clone(), file)).map_err(Error::io(&path))
            })
            .collect::<Result<Vec<_>>>()?;
        let count = files.len();
        Ok(Self {
            bits,
            shift: used,
            files,
            buffers: vec![Vec::new(); count],
            bucket_bytes: vec![0; count],
            encoder: FrameEncoder::new(1)?,
        })
    }

    /// Takes line number `number`.
    ///
    /// # Errors
    /// The system's reason.
    pub fn push(&mut self, seed: u64, number: u64, line: &[u8]) -> Result<()> {
        self.put(order_key(seed, number), number, line)
    }

    fn put(&mut self, key: u64, number: u64, line: &[u8]) -> Result<()> {
        // A shift by 64 is not defined: without bits there is one bucket.
        let bucket = if self.bits == 0 { 0 } else { index((key << self.shift) >> (64 - self.bits)) };
        let buffer = &mut self.buffers[bucket];
        buffer.extend(key.to_le_bytes());
        buffer.extend(number.to_le_bytes());
        buffer.extend((line.len() as u64).to_le_bytes());
        buffer.extend_from_slice(line);
        if buffer.len() >= BUFFER_BYTES { self.flush(bucket) } else { Ok(()) }
    }

    fn flush(&mut self, bucket: usize) -> Result<()> {
        let buffer = &mut self.buffers[bucket];
        let frame = self.encoder.encode(buffer, &Progress::default())?;
        let (path, file) = &mut self.files[bucket];
        let mut header = (frame.len() as u64).to_le_bytes().to_vec();
        header.extend((buffer.len() as u64).to_le_bytes());
        file.write_all(&header).and_then(|()| file.write_all(&frame)).map_err(Error::io(path))?;
        self.bucket_bytes[bucket] += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    /// Writes and syncs everything.
    ///
    /// # Errors
    /// The system's reason.
    pub fn finish(mut self) -> Result<Scattered> {
        for bucket in 0..self.buffers.len() {
            self.flush(bucket)?;
            let (path, file) = &self.files[bucket];
            file.sync_all().map_err(Error::io(path))?;
        }
        Ok(Scattered { bits: self.bits, bucket_bytes: self.bucket_bytes })
    }
}

fn bucket_path(folder: &Path, bucket: usize) -> PathBuf {
    folder.join(format!("bucket-{bucket:03}.tmp"))
}

/// Calls `visit` with every line of bucket number `bucket`, in shuffled order.
///
/// # Errors
/// A damaged bucket file; what `visit` returns.
pub fn gather(
    folder: &Path,
    scattered: &Scattered,
    bucket: usize,
    visit: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    gather_bucket(&bucket_path(folder, bucket), scattered.bits, scattered.bucket_bytes[bucket], visit)
}

fn gather_bucket(
    path: &Path,
    used: u32,
    size: u64,
    visit: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    if size > MAX_BUCKET_BYTES && used + 4 <= 64 {
        let folder = path.with_extension("split");
        let mut scatter = Scatter::create(&folder, 4, used)?;
        read_bucket(path, |content| {
            each_line(path, content, |key, number, line| scatter.put(key, number, line))
        })?;
        let inner = scatter.finish()?;
        for (part, &size) in inner.bucket_bytes.iter().enumerate() {
            let whole = size == inner.bucket_bytes.iter().sum::<u64>();
            // One huge line, or equal keys: splitting further would not help.
            gather_bucket(&bucket_path(&folder, part), if whole { 64 } else { used + 4 }, size, visit)?;
        }
        return std::fs::remove_dir_all(&folder).map_err(Error::io(&folder));
    }
    let mut content = Vec::with_capacity(index(size));
    read_bucket(path, |part| {
        content.extend_from_slice(part);
        Ok(())
    })?;
    let mut lines = Vec::new();
    let mut at = 0;
    each_line(path, &content, |key, number, line| {
        at += HEADER_BYTES;
        lines.push((key, number, at, line.len()));
        at += line.len();
        Ok(())
    })?;
    lines.sort_unstable();
    for (_, _, at, length) in lines {
        visit(&content[at..at + length])?;
    }
    Ok(())
}

/// Decompresses a bucket frame by frame. Lines do not cross frames.
fn read_bucket(path: &Path, mut visit: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let mut context = decoder(path)?;
    loop {
        let mut header = Vec::new();
        (&mut reader).take(16).read_to_end(&mut header).map_err(Error::io(path))?;
        if header.is_empty() {
            return Ok(());
        }
        let word =
            |at: usize| -> Option<u64> { Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?)) };
        let (Some(stored), Some(size)) = (word(0), word(8)) else { return Err(damaged(path)) };
        let mut frame = Vec::new();
        (&mut reader).take(stored).read_to_end(&mut frame).map_err(Error::io(path))?;
        let mut content = vec![0; index(size)];
        let written = context.decompress(&mut content[..], &frame).map_err(|_| damaged(path))?;
        if written != content.len() {
            return Err(damaged(path));
        }
        visit(&content)?;
    }
}

fn each_line(
    path: &Path,
    mut content: &[u8],
    mut visit: impl FnMut(u64, u64, &[u8]) -> Result<()>,
) -> Result<()> {
    while !content.is_empty() {
        let word = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(content.get(at..at + 8)?.try_into().ok()?))
        };
        let (Some(key), Some(number), Some(length)) = (word(0), word(8), word(16)) else {
            return Err(damaged(path));
        };
        let Some(line) = content.get(HEADER_BYTES..HEADER_BYTES + index(length)) else {
            return Err(damaged(path));
        };
        visit(key, number, line)?;
        content = &content[HEADER_BYTES + index(length)..];
    }
    Ok(())
}

fn damaged(path: &Path) -> Error {
    Error::corrupt(path, 0, "damaged shuffle bucket (overwrite=True starts anew)")
}
