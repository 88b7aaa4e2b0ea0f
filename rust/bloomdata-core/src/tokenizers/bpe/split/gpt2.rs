//! GPT-2's pre-tokens: runs of letters, numbers or other characters, each with one space in front; English
//! contractions; white space without its last character.

use super::Rule;
use super::blocks::{Block, after, before, run_starts};

/// Starts in this block that a contraction in the block before removed, and those that it added.
#[derive(Default)]
pub(super) struct Gpt2 {
    taken: u64,
    made: u64,
}

impl Rule for Gpt2 {
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn starts(&mut self, text: &str, last: &Block, block: &Block, next: &Block) -> u64 {
        let after_blank = before(last.blank, block.blank);
        let last_other = if block.at == 0 { 0 } else { last.other() };
        let others = run_starts(last_other, block.other());
        let runs = run_starts(last.letter, block.letter) | run_starts(last.number, block.number) | others;
        let mut starts = (runs & !after_blank)
            | run_starts(last.space, block.space)
            | last_spaces(text, block, next)
            | std::mem::take(&mut self.made);
        starts &= !std::mem::take(&mut self.taken);
        let mut contractions = others & block.apostrophe & !after_blank;
        while contractions != 0 {
            let at = contractions.trailing_zeros();
            contractions &= contractions - 1;
            let size = match text.as_bytes()[block.at + at as usize + 1..] {
                [b's' | b't' | b'm' | b'd', ..] => 2,
                [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => 3,
                _ => continue,
            };
            // The letter after the apostrophe starts nothing, what follows the contraction does.
            let (taken, made) = (2_u128 << at, 1_u128 << (at + size));
            let [low, high] = [made, made >> 64].map(low_bits);
            starts = starts & !low_bits(taken) | low;
            self.taken |= low_bits(taken >> 64);
            self.made |= high;
        }
        starts
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
fn low_bits(bits: u128) -> u64 {
    bits as u64
}

/// The last character of white space, if something follows.
#[inline]
pub(super) fn last_spaces(text: &str, block: &Block, next: &Block) -> u64 {
    let goes_on = block.space | block.end;
    let next_goes_on = next.space | next.end;
    let last = block.space & !after(goes_on, next_goes_on);
    let longer = block.space & block.lead;
    if longer | (block.space & block.inside) == 0 {
        last
    } else {
        last & !(block.lead | block.inside) | last_longer(text, block, longer, next_goes_on)
    }
}

/// The same for multi-byte characters.
#[cold]
fn last_longer(text: &str, block: &Block, mut longer: u64, next_goes_on: u64) -> u64 {
    let goes_on = u128::from(block.space | block.end) | u128::from(next_goes_on) << 64;
    let mut starts = 0;
    while longer != 0 {
        let at = longer.trailing_zeros();
        longer &= longer - 1;
        let size = if text.as_bytes()[block.at + at as usize] < 0xe0 { 2 } else { 3 };
        if goes_on >> (at + size) & 1 == 0 {
            starts |= 1 << at;
        }
    }
    starts
}
