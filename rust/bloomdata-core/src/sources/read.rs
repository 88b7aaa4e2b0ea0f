//! One input becomes pieces of decompressed bytes, or of whole records where the file is not lines.

use super::input::{Format, Input};
use super::json_values::ValueSplitter;
use super::place::FileRange;
use super::records_key::{RecordsFinder, refuse_wrapping};
use crate::document::Bound;
use crate::error::{Error, Result};
use crate::io::compression::{Compression, MAGIC_BYTES, check_content};
use crate::io::input::{InputReader, READ_BYTES};
use crate::io::members::read_members;
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
    read_input_from(input, start, out, &|_| Ok(()), progress)
}

/// As [`read_input`], where `extend` brings the bytes behind a range up to an offset, if they are not there yet.
pub(super) fn read_input_from(
    input: &Input,
    start: u64,
    out: &PieceSender,
    extend: &Extend<'_>,
    progress: &Progress,
) -> Result<()> {
    if let Some(range) = input.range() {
        return read_range(input, range, start, out, extend, progress);
    }
    let mut reader = if input.read_once {
        InputReader::stdin(progress)?
    } else {
        InputReader::open_at(&input.path, input.file(), input.size, progress)?
    };
    let first = reader.peek(MAGIC_BYTES)?;
    // The standard input has no name that would say how it is stored.
    let compression = if input.read_once { Compression::of_content(first) } else { input.compression };
    compression.check_magic(&input.path, first)?;
    let content_bytes = if input.format == Format::Json {
        read_json(input, start, &mut reader, out)?
    } else {
        read_bytes(compression, start, &mut reader, true, |event| match event {
            FrameEvent::Frames(job) => out.send(job),
            FrameEvent::Content(offset, bytes) => {
                if offset == 0 {
                    check_content(&input.path, &bytes[..bytes.len().min(MAGIC_BYTES)])?;
                }
                send_from(start, offset, bytes, out)
            }
        })?
    };
    let hash = reader.finish(input.size)?;
    out.send_ready(Ok(Piece::End { hash, content_bytes }))
}

/// Reads a share of a file of lines, and the rest of the line that its end lies in. The hash is that of the share.
fn read_range(
    input: &Input,
    range: FileRange,
    start: u64,
    out: &PieceSender,
    extend: &Extend<'_>,
    progress: &Progress,
) -> Result<()> {
    let [base, end] = range.content;
    input.check_unchanged()?;
    let mut reader = InputReader::open_between(&input.path, input.file(), range.stored, progress)?;
    if range.stored[0] == 0 {
        input.compression.check_magic(&input.path, reader.peek(MAGIC_BYTES)?)?;
    }
    let read =
        read_bytes(input.compression, start.saturating_sub(base), &mut reader, true, |event| match event {
            FrameEvent::Frames(mut job) => {
                job.content_offset += base;
                out.send(job)
            }
            FrameEvent::Content(offset, bytes) => {
                if base + offset == 0 {
                    check_content(&input.path, &bytes[..bytes.len().min(MAGIC_BYTES)])?;
                }
                send_from(start, base + offset, bytes, out)
            }
        })?;
    if base + read != end {
        let what = format!("{}: bytes of content from {base} on", input.path.display());
        return Err(Error::mismatch(what, end - base, read));
    }
    let hash = reader.finish(range.stored[1])?;
    if !range.is_last(input.size) {
        send_from(start, end, read_tail(input, range, extend, progress)?, out)?;
    }
    out.send_ready(Ok(Piece::End { hash, content_bytes: read }))
}

/// Brings the bytes of a file up to an offset.
pub(super) type Extend<'run> = dyn Fn(u64) -> Result<()> + 'run;

/// Bytes behind a range that are looked at first; as many again, and again, until its last line ends.
const TAIL_BYTES: u64 = 1 << 20;

/// The bytes behind a range up to the end of the line that `end` lies in: its last line goes on there.
///
/// # Errors
/// What can be wrong with a file.
fn read_tail(input: &Input, range: FileRange, extend: &Extend<'_>, progress: &Progress) -> Result<Vec<u8>> {
    let start = range.stored[1];
    let mut length = TAIL_BYTES;
    loop {
        let end = start.saturating_add(length).min(input.size);
        extend(end)?;
        match read_line(input, [start, end], progress) {
            Ok((line, true)) => return Ok(line),
            Ok((line, false)) if end == input.size => return Ok(line),
            // Frames are cut where nothing more was looked at.
            Err(error @ (Error::Corrupt { .. } | Error::Io { .. })) if end == input.size => {
                return Err(error);
            }
            Ok(_) | Err(Error::Corrupt { .. } | Error::Io { .. }) => length = length.saturating_mul(4),
            Err(error) => return Err(error),
        }
    }
}

/// The rest of a line, and whether it ends in these bytes of the file.
fn read_line(input: &Input, stored: [u64; 2], progress: &Progress) -> Result<(Vec<u8>, bool)> {
    let mut reader = InputReader::open_between(&input.path, input.file(), stored, progress)?;
    let (mut line, mut found) = (Vec::new(), false);
    let read = read_bytes(input.compression, 0, &mut reader, false, |event| {
        let FrameEvent::Content(_, bytes) = event else { return Ok(()) };
        let end = memchr::memchr(b'\n', &bytes).map(|at| at + 1);
        line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
        found = end.is_some();
        // No decoder stops otherwise before the end of its bytes.
        if found { Err(Error::Interrupted) } else { Ok(()) }
    });
    match read {
        Err(Error::Interrupted) if found => Ok((line, true)),
        read => read.map(|_| (line, false)),
    }
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
    compression: Compression,
    start: u64,
    reader: &mut InputReader<'_>,
    parallel: bool,
    mut emit: impl FnMut(FrameEvent) -> Result<()>,
) -> Result<u64> {
    match compression {
        Compression::Zstd => read_frames(reader, start, parallel, emit),
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
        _ => read_members(reader, compression, |offset, bytes| emit(FrameEvent::Content(offset, bytes))),
    }
}

/// Cuts a JSON file into its elements.
fn read_json(input: &Input, start: u64, reader: &mut InputReader<'_>, out: &PieceSender) -> Result<u64> {
    let mut finder = input.records.as_deref().map(RecordsFinder::new).transpose()?;
    let mut splitter = ValueSplitter::default();
    let send = |splitter: &mut ValueSplitter, limit: usize| {
        // A file that is one object may be a wrapping of records: that is known at its end.
        if splitter.pending_bytes() < limit || (limit > 1 && splitter.holds_one_value()) {
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
    let content_bytes = read_bytes(input.compression, 0, reader, false, |event| {
        let FrameEvent::Content(offset, bytes) = event else {
            return Err(Error::Internal("frames of a stream that was not asked for them".into()));
        };
        if offset == 0 {
            check_content(&input.path, &bytes[..bytes.len().min(MAGIC_BYTES)])?;
        }
        match &mut finder {
            Some(finder) => finder.push(&input.path, &bytes, &mut splitter)?,
            None => splitter.push(&input.path, &bytes)?,
        }
        send(&mut splitter, READ_BYTES)
    })?;
    match finder {
        Some(finder) => finder.finish(&input.path, &mut splitter)?,
        None => splitter.finish(&input.path)?,
    }
    if input.records.is_none() && splitter.holds_one_value() {
        refuse_wrapping(&input.path, splitter.pending())?;
    }
    send(&mut splitter, 1)?;
    Ok(content_bytes)
}
