//! A share of a file: what lies between two offsets, and which of its lines that is.
//!
//! A line belongs to the range in which it starts, where "in" is after `start` and up to `end`, so that nobody has to look
//! at the byte before a range; the first line of a file belongs to its first range. So the ranges of a file hold each of
//! its lines once, wherever they are cut, and cutting reads nothing.

use super::input::Input;

/// Drops the beginning of a range of lines: the end of a line that starts before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineSkipper {
    skips: bool,
}

impl LineSkipper {
    /// For an input that is read from `start` on.
    pub(super) fn new(input: &Input, start: u64) -> Self {
        let range = input.range().filter(|range| input.format.is_lines() && range.starts_inside());
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
