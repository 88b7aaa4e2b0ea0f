//! A share of a file: what lies between two offsets, and which of its lines that is.
//!
//! A line belongs to the range in which it starts, where "in" is after `start` and up to `end`, so that nobody has to look
//! at the byte before a range; the first line of a file belongs to its first range. So the ranges of a file hold each of
//! its lines once, wherever they are cut, and cutting reads nothing.

use serde::{Deserialize, Serialize};

use super::inputs::Input;
use super::read::read_bytes;
use crate::error::{Error, Result};
use crate::io::input::InputReader;
use crate::io::zstd_frames::FrameEvent;
use crate::progress::Progress;

/// A share of a file of lines. Both pairs of offsets are of the same places: frames of zstd start there, or any byte of a
/// file that is not compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRange {
    /// Start and end in the file as stored.
    pub stored: [u64; 2],
    /// Start and end in what it holds.
    pub content: [u64; 2],
}

impl FileRange {
    /// Whether it is the last one of its file.
    pub fn is_last(&self, input: &Input) -> bool {
        self.stored[1] >= input.size
    }

    /// Whether lines are skipped at its start: one that starts before it.
    pub fn starts_inside(&self) -> bool {
        self.content[0] > 0
    }
}

/// Brings the bytes of a file up to an offset.
pub(super) type Extend<'run> = dyn Fn(u64) -> Result<()> + 'run;

/// Bytes behind a range that are looked at first; as many again, and again, until its last line ends.
const TAIL_BYTES: u64 = 1 << 20;

/// The bytes behind a range up to the end of the line that `end` lies in: its last line goes on there.
///
/// # Errors
/// What can be wrong with a file.
pub(super) fn read_tail(
    input: &Input,
    range: FileRange,
    extend: &Extend<'_>,
    progress: &Progress,
) -> Result<Vec<u8>> {
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

/// Drops the beginning of a range of lines: the end of a line that starts before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineSkipper {
    skips: bool,
}

impl LineSkipper {
    /// For an input that is read from `start` on.
    pub(super) fn new(input: &Input, start: u64) -> Self {
        let range = input.range.filter(|range| input.format.is_lines() && range.starts_inside());
        Self { skips: range.is_some_and(|range| start <= range.content[0]) }
    }

    /// How many of the next bytes are dropped.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> usize {
        if !self.skips {
            return 0;
        }
        match memchr::memchr(b'\n', bytes) {
            Some(at) => {
                self.skips = false;
                at + 1
            }
            None => bytes.len(),
        }
    }
}
