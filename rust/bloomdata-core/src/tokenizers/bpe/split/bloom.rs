//! BLOOM's pre-tokens: runs between its 39 delimiters, with one space in front; and runs of delimiters.

use super::Rule;
use super::blocks::{Block, Blocks, after, before, run_starts};
use crate::byte_masks::bits;

/// The rule, which has no state.
pub(super) struct Bloom;

impl Rule for Bloom {
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn block(blocks: &mut Blocks<'_>, at: usize) -> Block {
        let (bytes, end) = blocks.bytes(at);
        let is_delimiter = |byte: u8| {
            byte.wrapping_sub(9) < 5
                || byte.wrapping_sub(b' ') < 2
                || byte.wrapping_sub(b'(') < 2
                || matches!(byte, b',' | b'.' | b'?' | b'|')
        };
        let mut block = Block {
            at,
            delimiter: bits(&bytes, is_delimiter),
            blank: bits(&bytes, |byte| byte == b' '),
            end,
            ..Block::default()
        };
        if blocks.rest > 0 {
            block.delimiter |= (1 << blocks.rest) - 1;
            blocks.rest = 0;
        }
        let mut leads = bits(&bytes, |byte| matches!(byte, 0xc2 | 0xd8 | 0xdb | 0xe0..=0xe3 | 0xef));
        while leads != 0 {
            let place = leads.trailing_zeros() as usize;
            leads &= leads - 1;
            let size = delimiter_size(&blocks.text[at + place..]);
            block.delimiter |= ((1 << size) - 1) << place;
            blocks.rest = (place + size).saturating_sub(64);
        }
        block
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn starts(&mut self, _: &str, last: &Block, block: &Block, next: &Block) -> u64 {
        let run_starts_of = |last: u64, block: &Block| run_starts(last, !(block.delimiter | block.end));
        let last_inside = if block.at == 0 { 0 } else { !last.delimiter };
        let starts = run_starts_of(last_inside, block);
        let next_starts = run_starts_of(!(block.delimiter | block.end), next);
        // A space in front of a run belongs to it.
        let takes_space = starts & before(last.blank, block.blank);
        let next_takes_space = next_starts & before(block.blank, next.blank);
        (starts & !takes_space)
            | after(takes_space, next_takes_space)
            | run_starts(last.delimiter, block.delimiter)
    }
}

/// Bytes of the delimiter that a text starts with; 0 if it is not a multi-byte delimiter.
fn delimiter_size(text: &[u8]) -> usize {
    match text {
        [0xc2, 0x85 | 0xa0, ..] | [0xd8, 0x8c, ..] | [0xdb, 0x94, ..] => 2,
        [0xe0, 0xa5, 0xa4, ..]
        | [0xe1, 0x9a, 0x80, ..]
        | [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf | 0xa6, ..]
        | [0xe2, 0x81, 0x9f, ..]
        | [0xe3, 0x80, 0x80..=0x82, ..]
        | [0xef, 0xbc, 0x8c, ..] => 3,
        _ => 0,
    }
}
