//! Independent zstd frames: found and decoded one by one.
//!
//! A file of many frames can be decoded by many threads and survives local damage; any zstd program reads it.
//! Origin: RFC 8878.

use std::path::{Path, PathBuf};

use zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use crate::error::{Error, Result};
use crate::io::input::{InputReader, READ_BYTES};
use crate::progress::Progress;

/// Frames that hold more than this are decoded as a stream, since they may not fit memory.
const MAX_CONTENT_BYTES: u64 = 16 << 20;
/// Compressed bytes looked at before a frame is decoded as a stream.
const MAX_FRAME_BYTES: usize = 16 << 20;
/// Decompressed bytes that make a job worth handing to another thread.
const JOB_BYTES: u64 = 1 << 20;
/// A window of 2 GiB: what `zstd --long=31` writes.
const MAX_WINDOW_LOG: u32 = 31;

/// A few whole frames, ready to be decoded by any thread.
#[derive(Debug)]
pub struct FrameJob {
    /// The file, for errors.
    pub path: PathBuf,
    /// Offset of the first frame in the file.
    pub file_offset: u64,
    /// Decompressed offset of the first frame's content.
    pub content_offset: u64,
    bytes: Vec<u8>,
    frames: Vec<(usize, usize)>,
}

impl FrameJob {
    /// Decompresses the frames.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the offset of the frame that is damaged.
    pub fn decode(&self, context: &mut DCtx<'_>) -> Result<Vec<u8>> {
        let mut content = vec![0; self.frames.iter().map(|frame| frame.1).sum()];
        let (mut from, mut to) = (0, 0);
        for &(compressed, size) in &self.frames {
            let written = context
                .decompress(&mut content[to..to + size], &self.bytes[from..from + compressed])
                .map_err(|code| self.error(from, zstd_safe::get_error_name(code)))?;
            if written != size {
                return Err(self.error(from, &format!("frame holds {written} bytes, its header says {size}")));
            }
            from += compressed;
            to += size;
        }
        Ok(content)
    }

    fn error(&self, from: usize, reason: &str) -> Error {
        Error::corrupt(&self.path, self.file_offset + from as u64, format!("zstd frame: {reason}"))
    }

    fn content_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.1 as u64).sum()
    }
}

/// What [`read_frames`] finds.
#[derive(Debug)]
pub enum FrameEvent {
    /// Frames still to be decoded.
    Frames(FrameJob),
    /// Decoded bytes of a large frame, at this decompressed offset.
    Content(u64, Vec<u8>),
}

/// Reads a `.zst` file to its end. Content before decompressed offset `start` may be left out.
///
/// # Errors
/// [`Error::Corrupt`] with the offset of a damaged or truncated frame; what `emit` returns.
pub fn read_frames(
    reader: &mut InputReader<'_>,
    start: u64,
    parallel: bool,
    mut emit: impl FnMut(FrameEvent) -> Result<()>,
) -> Result<u64> {
    let mut buffer: Vec<u8> = Vec::new();
    let mut from = 0;
    let mut content_offset = 0;
    let mut job: Option<FrameJob> = None;
    loop {
        if buffer.len() - from < 32 {
            buffer.drain(..from);
            from = 0;
            reader.fill(&mut buffer, READ_BYTES)?;
        }
        let rest = &buffer[from..];
        let file_offset = reader.position() - rest.len() as u64;
        if rest.is_empty() {
            break;
        }
        let whole = zstd_safe::find_frame_compressed_size(rest).ok();
        let size = zstd_safe::get_frame_content_size(rest).ok().flatten();
        match (whole, size) {
            (Some(compressed), Some(size)) if parallel && size <= MAX_CONTENT_BYTES => {
                // A frame that claims to be empty is decoded, too: the claim may be false.
                if content_offset + size > start || size == 0 {
                    let batch = job.get_or_insert_with(|| FrameJob {
                        path: reader.path().to_owned(),
                        file_offset,
                        content_offset,
                        bytes: Vec::new(),
                        frames: Vec::new(),
                    });
                    batch.bytes.extend_from_slice(&rest[..compressed]);
                    batch.frames.push((compressed, crate::token::index(size)));
                } else {
                    // What is skipped leaves a gap, over which no job may reach.
                    flush(&mut job, &mut emit)?;
                }
                content_offset += size;
                from += compressed;
                if job.as_ref().is_some_and(|job| job.content_bytes() >= JOB_BYTES)
                    && let Some(job) = job.take()
                {
                    emit(FrameEvent::Frames(job))?;
                }
            }
            (None, _) if rest.len() < MAX_FRAME_BYTES && is_frame(rest) => {
                // Perhaps only cut off by the end of the buffer: look further before giving up.
                let wanted = rest.len().max(READ_BYTES);
                buffer.drain(..from);
                from = 0;
                if reader.fill(&mut buffer, wanted)? == 0 {
                    // At the end of the file: decoding it tells what is wrong, and where.
                    flush(&mut job, &mut emit)?;
                    stream_frame(reader, &mut buffer, &mut from, &mut content_offset, start, &mut emit)?;
                }
            }
            _ => {
                flush(&mut job, &mut emit)?;
                stream_frame(reader, &mut buffer, &mut from, &mut content_offset, start, &mut emit)?;
            }
        }
    }
    flush(&mut job, &mut emit)?;
    Ok(content_offset)
}

fn is_frame(bytes: &[u8]) -> bool {
    matches!(bytes, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

fn flush(job: &mut Option<FrameJob>, emit: &mut impl FnMut(FrameEvent) -> Result<()>) -> Result<()> {
    job.take().map_or(Ok(()), |job| emit(FrameEvent::Frames(job)))
}

/// Decodes one frame of any size piece by piece, in this thread.
fn stream_frame(
    reader: &mut InputReader<'_>,
    buffer: &mut Vec<u8>,
    from: &mut usize,
    content_offset: &mut u64,
    start: u64,
    emit: &mut impl FnMut(FrameEvent) -> Result<()>,
) -> Result<()> {
    let file_offset = |reader: &InputReader<'_>, left: usize| reader.position() - left as u64;
    let frame_start = file_offset(reader, buffer.len() - *from);
    let mut context = decoder(reader.path())?;
    let mut out: Vec<u8> = Vec::with_capacity(READ_BYTES);
    loop {
        let mut input = InBuffer::around(&buffer[*from..]);
        let mut output = OutBuffer::around_pos(&mut out, 0);
        let left = loop {
            let left = context.decompress_stream(&mut output, &mut input).map_err(|code| {
                let offset = file_offset(reader, buffer.len() - *from) + input.pos() as u64;
                let reason = zstd_safe::get_error_name(code);
                Error::corrupt(reader.path(), offset, format!("zstd frame at {frame_start}: {reason}"))
            })?;
            if left == 0 || output.pos() == output.capacity() || input.pos() == buffer.len() - *from {
                break left;
            }
        };
        *from += input.pos();
        let (written, full) = (output.pos(), output.pos() == output.capacity());
        if written > 0 {
            if *content_offset + written as u64 > start {
                emit(FrameEvent::Content(*content_offset, out[..written].to_vec()))?;
            }
            *content_offset += written as u64;
        }
        if left == 0 {
            return Ok(());
        }
        if *from == buffer.len() {
            buffer.clear();
            *from = 0;
            // A full output may mean that the decoder still holds content, without any input left.
            if reader.fill(buffer, READ_BYTES)? == 0 && !full {
                let reason =
                    format!("truncated: the file ends inside the zstd frame that starts at {frame_start}");
                return Err(Error::corrupt(reader.path(), reader.position(), reason));
            }
        }
    }
}

/// A decoder that accepts the largest windows.
///
/// # Errors
/// Out of memory.
pub fn decoder(path: &Path) -> Result<DCtx<'static>> {
    let mut context = DCtx::try_create().ok_or_else(|| Error::Internal("no memory for zstd".into()))?;
    context
        .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
        .map_err(|code| Error::corrupt(path, 0, zstd_safe::get_error_name(code)))?;
    Ok(context)
}

/// Compresses whole frames.
#[allow(missing_debug_implementations, reason = "a handle of the zstd library")]
pub struct FrameEncoder {
    context: CCtx<'static>,
    level: i32,
}

/// From this level on a frame takes so long that it is compressed piece by piece, to be stopped in between.
const SLOW_LEVEL: i32 = 10;
/// Bytes of a piece.
const SLOW_PIECE: usize = 128 << 10;

impl FrameEncoder {
    /// An encoder at `level`, with content size and checksum in every frame.
    ///
    /// # Errors
    /// A level that zstd does not have.
    pub fn new(level: i32) -> Result<Self> {
        let range = zstd_safe::min_c_level()..=zstd_safe::max_c_level();
        if !range.contains(&level) {
            return Err(Error::config("level", format!("{level} is outside {range:?} of zstd")));
        }
        let mut context = CCtx::try_create().ok_or_else(|| Error::Internal("no memory for zstd".into()))?;
        for parameter in [CParameter::CompressionLevel(level), CParameter::ChecksumFlag(true)] {
            context
                .set_parameter(parameter)
                .map_err(|code| Error::config("level", zstd_safe::get_error_name(code)))?;
        }
        Ok(Self { context, level })
    }

    /// One frame that holds `content`.
    ///
    /// # Errors
    /// Out of memory, or the run was interrupted.
    pub fn encode(&mut self, content: &[u8], progress: &Progress) -> Result<Vec<u8>> {
        let failed = |code| Error::Internal(zstd_safe::get_error_name(code).to_owned());
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(content.len()));
        if self.level < SLOW_LEVEL {
            self.context.compress2(&mut out, content).map_err(failed)?;
            return Ok(out);
        }
        self.context.set_pledged_src_size(Some(content.len() as u64)).map_err(failed)?;
        let mut output = OutBuffer::around(&mut out);
        for piece in content.chunks(SLOW_PIECE) {
            if let Err(stopped) = progress.check() {
                let _ = self.context.reset(ResetDirective::SessionOnly);
                return Err(stopped);
            }
            let mut input = InBuffer::around(piece);
            while input.pos() < piece.len() {
                self.context.compress_stream(&mut output, &mut input).map_err(failed)?;
            }
        }
        while self.context.end_stream(&mut output).map_err(failed)? > 0 {}
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::seek_table::seek_table;

    fn read(bytes: &[u8], start: u64) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.zst");
        std::fs::write(&path, bytes).unwrap();
        let progress = Progress::default();
        let mut reader = InputReader::open(&path, &progress)?;
        let mut out = Vec::new();
        let mut context = decoder(&path)?;
        read_frames(&mut reader, start, true, |event| {
            let (offset, content) = match event {
                FrameEvent::Frames(job) => (job.content_offset, job.decode(&mut context)?),
                FrameEvent::Content(offset, content) => (offset, content),
            };
            out.truncate(crate::token::index(offset));
            out.resize(crate::token::index(offset), 0);
            out.extend(content);
            Ok(())
        })?;
        Ok(out)
    }

    fn frames(sizes: &[usize]) -> (Vec<u8>, Vec<u8>) {
        let mut encoder = FrameEncoder::new(3).unwrap();
        let (mut content, mut file, mut table) = (Vec::new(), Vec::new(), Vec::new());
        for (number, &size) in sizes.iter().enumerate() {
            let part: Vec<u8> =
                (0..size).map(|i| ((i * 7 + number * 13 + i / 251) & 0xff).try_into().unwrap()).collect();
            let frame = encoder.encode(&part, &Progress::default()).unwrap();
            table.push((frame.len() as u64, size as u64));
            file.extend(frame);
            content.extend(part);
        }
        file.extend(seek_table(&table).unwrap());
        (content, file)
    }

    #[test]
    fn frames_of_every_size_come_back() {
        let (content, file) = frames(&[0, 1, 100, 3 << 20, 20 << 20, 5]);
        assert!(read(&file, 0).unwrap() == content);
    }

    #[test]
    fn content_before_the_start_is_skipped() {
        let (content, file) = frames(&[3 << 20, 2 << 20, 100]);
        let out = read(&file, 4 << 20).unwrap();
        assert_eq!(out.len(), content.len());
        assert!(out[4 << 20..] == content[4 << 20..]);
        assert!(out[..3 << 20].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let (_, file) = frames(&[1000, 2000]);
        let frames_end = file.len() - 2 * 8 - 17;
        for length in 1..frames_end {
            let result = read(&file[..length], 0);
            // A cut between two frames cannot be seen from here; the manifest's hash sees it.
            let boundary = zstd_safe::find_frame_compressed_size(&file).unwrap() == length;
            assert_eq!(result.is_ok(), boundary, "cut at {length}");
        }
    }

    #[test]
    fn a_flipped_byte_is_an_error_with_an_offset() {
        let (_, mut file) = frames(&[5000, 5000]);
        let second = zstd_safe::find_frame_compressed_size(&file).unwrap();
        file[second + 40] ^= 0xff;
        match read(&file, 0) {
            Err(Error::Corrupt { offset, .. }) => assert_eq!(offset, second as u64),
            other => panic!("{other:?}"),
        }
    }
}
