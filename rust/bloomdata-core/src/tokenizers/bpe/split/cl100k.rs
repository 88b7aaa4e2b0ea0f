//! Pre-tokens of cl100k and similar patterns (Llama-3, Qwen2): letters with any one character in front; up
//! to a number of digits; runs of other characters with a space in front and line ends after them; line
//! ends with the white space before them; white space without its last character.

use super::Rule;
use super::blocks::{Block, before, run_starts};
use super::gpt2::last_spaces;

/// State that a block passes on to the next.
pub(super) struct Cl100k {
    digits: usize,
    /// Digits so far in the pre-token that the block ended in.
    count: usize,
    /// Whether line ends at the start of the block belong to the pre-token before.
    takes_newlines: bool,
    /// Whether white space at the start of the block continues that of the block before.
    in_spaces: bool,
    /// Whether the block ended in the first character of a run of others that has no space in front.
    in_first: bool,
    /// Starts in this block that come from a contraction in the block before.
    made: u64,
}

impl Cl100k {
    pub(super) fn new(digits: usize) -> Self {
        Self { digits, count: 0, takes_newlines: false, in_spaces: false, in_first: false, made: 0 }
    }

    /// Line ends right after a run of others.
    #[inline]
    fn taken_newlines(&mut self, last_other: u64, block: &Block) -> u64 {
        let first = block.newline & (before(last_other, block.other()) | u64::from(self.takes_newlines));
        // Adding the first bit of a run to the run clears the run.
        let (sum, goes_on) = block.newline.overflowing_add(first);
        self.takes_newlines = goes_on;
        block.newline & !sum
    }

    /// White space after the last line end of a run of white space.
    #[inline]
    fn after_lines(text: &str, last: &Block, block: &Block) -> u64 {
        let mut starts = 0;
        let mut after = before(last.newline, block.newline) & block.space & !block.newline;
        while after != 0 {
            let at = after.trailing_zeros();
            after &= after - 1;
            let rest = &text[block.at + at as usize..];
            let bytes = rest.as_bytes();
            let size = bytes.iter().position(|&byte| byte != b' ' && byte != b'\t').unwrap_or(bytes.len());
            let is_last = match bytes.get(size) {
                Some(b'\n' | b'\r') => false,
                Some(0x0b | 0x0c | 0x80..) => !line_follows(&rest[size..]),
                _ => true,
            };
            starts |= u64::from(is_last) << at;
        }
        starts
    }

    /// Numbers, split after the maximum number of digits.
    #[inline]
    fn numbers(&mut self, last: &Block, block: &Block) -> u64 {
        let mut each = block.number & !block.inside;
        if each == 0 {
            return 0;
        }
        let runs = run_starts(last.number, block.number);
        if self.digits == 1 {
            return each;
        }
        let mut starts = runs;
        while each != 0 {
            let bit = each & each.wrapping_neg();
            each &= each - 1;
            if runs & bit != 0 {
                self.count = 0;
            } else if self.count == self.digits {
                starts |= bit;
                self.count = 0;
            }
            self.count += 1;
        }
        starts
    }

    /// Bytes of the first characters of runs that have no space in front.
    #[inline]
    fn firsts(&mut self, runs: u64, block: &Block) -> u64 {
        let mut firsts = runs | (u64::from(self.in_first) & block.inside);
        if block.inside != 0 {
            for _ in 0..3 {
                firsts |= firsts << 1 & block.inside;
            }
        }
        firsts
    }
}

impl Rule for Cl100k {
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn starts(&mut self, text: &str, last: &Block, block: &Block, next: &Block) -> u64 {
        let last_other = if block.at == 0 { 0 } else { last.other() };
        let after_blank = before(last.blank, block.blank);
        let others = run_starts(last_other, block.other()) & !after_blank;
        let firsts = self.firsts(others, block);
        let taken = self.taken_newlines(last_other, block);
        let spaces = block.space & !taken;
        let mut starts = others
            | self.numbers(last, block)
            | (spaces & !(spaces << 1 | u64::from(self.in_spaces)))
            | Self::after_lines(text, last, block)
            | (last_spaces(text, block, next) & !block.newline)
            | std::mem::take(&mut self.made);
        // Letters take one character in front of them: white space other than line ends, or the first
        // character of a run.
        let in_front = before(last.space & !last.newline, block.space & !block.newline)
            | firsts << 1
            | u64::from(self.in_first);
        starts |= run_starts(last.letter, block.letter) & !in_front;
        let mut contractions = others & block.apostrophe;
        while contractions != 0 {
            let at = contractions.trailing_zeros();
            contractions &= contractions - 1;
            if let Some(size) = contraction_size(&text.as_bytes()[block.at + at as usize + 1..]) {
                match at + 1 + size {
                    end @ ..64 => starts |= 1 << end,
                    end => self.made |= 1 << (end - 64),
                }
            }
        }
        self.in_spaces = spaces >> 63 == 1;
        self.in_first = firsts >> 63 == 1;
        starts
    }
}

/// Whether a line ends in the white space that a text starts with.
#[cold]
fn line_follows(text: &str) -> bool {
    let classes = super::super::char_classes::CharClasses::get();
    let mut spaces = text.chars().take_while(|&letter| classes.is_space(letter));
    spaces.any(|letter| matches!(letter, '\n' | '\r'))
}

/// Bytes of `s`, `t`, `re`, `ve`, `m`, `ll` or `d` in any case, including the long s.
fn contraction_size(text: &[u8]) -> Option<u32> {
    match text {
        [b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => Some(1),
        [b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..] | [b'l' | b'L', b'l' | b'L', ..] | [0xc5, 0xbf, ..] => {
            Some(2)
        }
        _ => None,
    }
}
