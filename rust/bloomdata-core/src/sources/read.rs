//! One input becomes pieces of decompressed bytes, or of whole records where the file is not lines.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::inputs::{Format, Input};
use super::json_values::ValueSplitter;
use crate::document::Bound;
use crate::error::{Error, Result};
use crate::io::compression::Compression;
use crate::io::input::{InputReader, READ_BYTES};
use crate::io::zstd_frames::{FrameEvent, FrameJob, read_frames};
use crate::ordered::Sender;
use crate::progress::Progress;

/// What flows from readers to the one who cuts blocks.
#[derive(Debug)]
pub enum Piece {
    /// Decompressed bytes from this offset on.
    Bytes {
        /// Offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Whole records.
    Records {
        /// Their bytes, concatenated.
        bytes: Vec<u8>,
        /// Where each is.
        bounds: Vec<Bound>,
    },
    /// The input was read to its end.
    End {
        /// BLAKE3 of the file as stored, in hex.
        hash: String,
        /// Decompressed bytes; rows for tables.
        content_bytes: u64,
    },
}

/// The queue of pieces of one input.
pub type PieceSender = Sender<FrameJob, Piece>;

/// Reads `input` from offset `start` of its content to its end.
///
/// # Errors
/// Everything that can be wrong with a file; a queue whose receiver is gone.
pub fn read_input(input: &Input, start: u64, out: &PieceSender, progress: &Progress) -> Result<()> {
    let mut reader = InputReader::open_sized(&input.path, input.size, progress)?;
    check_magic(input)?;
    let content_bytes = if input.format == Format::Json {
        read_json(input, start, &mut reader, out)?
    } else {
        read_bytes(input, start, &mut reader, true, |event| match event {
            FrameEvent::Frames(job) => out.send(job),
            FrameEvent::Content(offset, bytes) => send_from(start, offset, bytes, out),
        })?
    };
    let hash = reader.finish(input.size)?;
    out.send_ready(Ok(Piece::End { hash, content_bytes }))
}

fn check_magic(input: &Input) -> Result<()> {
    let mut first = Vec::new();
    let file = std::fs::File::open(&input.path).map_err(Error::io(&input.path))?;
    file.take(8).read_to_end(&mut first).map_err(Error::io(&input.path))?;
    input.compression.check_magic(&input.path, &first)
}

/// Sends bytes, without those before `start`.
fn send_from(start: u64, offset: u64, mut bytes: Vec<u8>, out: &PieceSender) -> Result<()> {
    let offset = if offset < start {
        bytes.drain(..crate::token::index(start - offset).min(bytes.len()));
        start
    } else {
        offset
    };
    if bytes.is_empty() { Ok(()) } else { out.send_ready(Ok(Piece::Bytes { offset, bytes })) }
}

/// Decompresses a file; the number of bytes that it holds.
fn read_bytes(
    input: &Input,
    start: u64,
    reader: &mut InputReader<'_>,
    parallel: bool,
    mut emit: impl FnMut(FrameEvent) -> Result<()>,
) -> Result<u64> {
    match input.compression {
        Compression::Zstd => read_frames(reader, start, parallel, emit),
        Compression::Gzip => read_gzip(reader, emit),
        Compression::None => {
            let mut offset = 0;
            loop {
                let mut bytes = Vec::with_capacity(READ_BYTES);
                let count = reader.fill(&mut bytes, READ_BYTES)? as u64;
                if count == 0 {
                    return Ok(offset);
                }
                emit(FrameEvent::Content(offset, bytes))?;
                offset += count;
            }
        }
    }
}

/// Reads gzip members one after the other, in this thread: the format has no boundaries that could be found ahead.
fn read_gzip(reader: &mut InputReader<'_>, mut emit: impl FnMut(FrameEvent) -> Result<()>) -> Result<u64> {
    let path = reader.path().to_owned();
    let mut stored = BufReader::with_capacity(READ_BYTES, reader);
    let (mut offset, mut is_first) = (0, true);
    loop {
        if !is_first {
            skip_zeros(&mut stored)?;
        }
        is_first = false;
        let member_start = stored.get_ref().position() - stored.buffer().len() as u64;
        if let Err(error) = stored.fill_buf() {
            return Err(stored.get_ref().error(error));
        }
        if stored.buffer().is_empty() {
            return Ok(offset);
        }
        let mut decoder = GzDecoder::new(&mut stored);
        loop {
            let mut bytes = Vec::with_capacity(READ_BYTES);
            let result = (&mut decoder).take(READ_BYTES as u64).read_to_end(&mut bytes);
            if let Err(error) = result {
                let stored = decoder.into_inner();
                let at = stored.get_ref().position() - stored.buffer().len() as u64;
                stored.get_ref().error_if_stopped()?;
                let what =
                    if error.kind() == std::io::ErrorKind::UnexpectedEof { "truncated" } else { "damaged" };
                let reason = format!("{what} gzip member that starts at {member_start}: {error}");
                return Err(Error::corrupt(&path, at, reason));
            }
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len() as u64;
            emit(FrameEvent::Content(offset, bytes))?;
            offset += count;
        }
    }
}

/// Skips zeros after a member: padding to whole blocks, which gzip and Python skip as well.
fn skip_zeros(stored: &mut BufReader<&mut InputReader<'_>>) -> Result<()> {
    loop {
        if let Err(error) = stored.fill_buf() {
            return Err(stored.get_ref().error(error));
        }
        let zeros = stored.buffer().iter().take_while(|&&byte| byte == 0).count();
        stored.consume(zeros);
        if zeros == 0 || !stored.buffer().is_empty() {
            return Ok(());
        }
    }
}

/// Cuts a JSON file into its elements.
fn read_json(input: &Input, start: u64, reader: &mut InputReader<'_>, out: &PieceSender) -> Result<u64> {
    let mut splitter = ValueSplitter::default();
    let send = |splitter: &mut ValueSplitter, limit: usize| {
        if splitter.pending_bytes() < limit {
            return Ok(());
        }
        let (mut bytes, mut bounds) = splitter.take();
        let done = bounds.partition_point(|bound| bound.next_offset <= start);
        if let Some(last) = bounds[..done].last().copied() {
            bytes.drain(..last.end);
            bounds.drain(..done);
            for bound in &mut bounds {
                bound.end -= last.end;
            }
        }
        if bounds.is_empty() { Ok(()) } else { out.send_ready(Ok(Piece::Records { bytes, bounds })) }
    };
    let content_bytes = read_bytes(input, 0, reader, false, |event| {
        let FrameEvent::Content(_, bytes) = event else {
            return Err(Error::Internal("frames of a stream that was not asked for them".into()));
        };
        splitter.push(&input.path, &bytes)?;
        send(&mut splitter, READ_BYTES)
    })?;
    splitter.finish(&input.path)?;
    send(&mut splitter, 1)?;
    Ok(content_bytes)
}
