//! Bit masks of a block of 64 bytes: which bytes belong to which class of characters.

use super::super::char_classes::{CharClasses, LETTER, NUMBER, SPACE};
use crate::byte_masks::{bits, block_at};

/// Masks of 64 bytes of a text; bits after the end of the text are set in [`Block::end`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Block {
    /// Offset of the block in the text.
    pub(super) at: usize,
    pub(super) letter: u64,
    pub(super) number: u64,
    pub(super) space: u64,
    /// U+0020.
    pub(super) blank: u64,
    /// CR and LF.
    pub(super) newline: u64,
    pub(super) apostrophe: u64,
    /// First bytes of characters of several bytes, and continuation bytes.
    pub(super) lead: u64,
    pub(super) inside: u64,
    /// BLOOM's delimiters.
    pub(super) delimiter: u64,
    /// After the end of the text.
    pub(super) end: u64,
}

/// Builds the blocks of a text, in order.
pub(super) struct Blocks<'text> {
    pub(super) text: &'text [u8],
    classes: &'static CharClasses,
    /// Bytes of the last block's last character that are in the next block, and its class.
    pub(super) rest: usize,
    pub(super) rest_class: u8,
}

impl<'text> Blocks<'text> {
    pub(super) fn new(text: &'text [u8]) -> Self {
        Self { text, classes: CharClasses::get(), rest: 0, rest_class: 0 }
    }

    /// The bytes at `at`, and the mask of those after the end.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    pub(super) fn bytes(&self, at: usize) -> ([u8; 64], u64) {
        let (bytes, count) = block_at(self.text, at);
        (bytes, if count == 64 { 0 } else { u64::MAX << count })
    }

    /// The block at `at`, with classes of characters.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    pub(super) fn class_block(&mut self, at: usize) -> Block {
        let (bytes, end) = self.bytes(at);
        let mut block = Block {
            at,
            letter: bits(&bytes, |byte| (byte | 0x20).wrapping_sub(b'a') < 26),
            number: bits(&bytes, |byte| byte.wrapping_sub(b'0') < 10),
            space: bits(&bytes, |byte| byte == b' ' || byte.wrapping_sub(9) < 5),
            blank: bits(&bytes, |byte| byte == b' '),
            newline: bits(&bytes, |byte| byte == b'\n' || byte == b'\r'),
            apostrophe: bits(&bytes, |byte| byte == b'\''),
            end,
            ..Block::default()
        };
        let high = bits(&bytes, |byte| byte >= 0x80);
        if high != 0 {
            let [leads, wide] = [0xc0, 0xe0].map(|least| bits(&bytes, |byte| byte >= least));
            self.add_two(&mut block, leads & !wide, high & !leads);
            if wide != 0 {
                let [first, last] = self.classes.letters_by_first();
                let letters = wide & bits(&bytes, |byte| byte.wrapping_sub(first) <= last - first);
                self.add_letters(&mut block, letters);
                self.add_longer(&mut block, wide & !letters);
            }
        }
        block
    }

    /// Adds letters of three bytes.
    fn add_letters(&mut self, block: &mut Block, leads: u64) {
        block.lead |= leads;
        block.letter |= leads | leads << 1 | leads << 2;
        if leads >> 62 != 0 {
            (self.rest, self.rest_class) = ((leads >> 62) as usize, LETTER);
        }
    }

    /// Adds the rest of the last block's last character, and characters of two bytes.
    fn add_two(&mut self, block: &mut Block, mut leads: u64, inside: u64) {
        (block.lead, block.inside) = (leads, inside);
        if self.rest > 0 {
            add(block, self.rest_class, (1 << self.rest) - 1);
            self.rest = 0;
        }
        let mut others = 0;
        let text = &self.text[block.at..];
        while leads != 0 {
            let at = leads.trailing_zeros() as usize;
            let [letter, other] = self.classes.of_two(text[at], text[at + 1]);
            block.letter |= (3 * letter) << at;
            others |= other << at;
            if at == 63 {
                (self.rest, self.rest_class) = (1, self.class_at(block.at + at));
            }
            leads &= leads - 1;
        }
        while others != 0 {
            let at = others.trailing_zeros() as usize;
            others &= others - 1;
            add(block, self.class_at(block.at + at), 3 << at);
        }
    }

    /// Adds characters of more than two bytes.
    fn add_longer(&mut self, block: &mut Block, mut leads: u64) {
        block.lead |= leads;
        let text = &self.text[block.at..];
        while leads != 0 {
            let at = leads.trailing_zeros() as usize;
            leads &= leads - 1;
            let (first, second) = (text[at], text[at + 1]);
            let size = 3 + usize::from(first >= 0xf0);
            let class = self.classes.by_two(first, second).unwrap_or_else(|| self.class_at(block.at + at));
            add(block, class, ((1 << size) - 1) << at);
            if at + size > 64 {
                (self.rest, self.rest_class) = (at + size - 64, class);
            }
        }
    }

    /// The class of the multi-byte character at `at`.
    #[inline(never)]
    fn class_at(&self, at: usize) -> u8 {
        let low = |at: usize| u32::from(self.text[at] & 0x3f);
        let first = u32::from(self.text[at]);
        self.classes.of(match first {
            0..0xe0 => (first & 0x1f) << 6 | low(at + 1),
            0xe0..0xf0 => (first & 0x0f) << 12 | low(at + 1) << 6 | low(at + 2),
            _ => (first & 7) << 18 | low(at + 1) << 12 | low(at + 2) << 6 | low(at + 3),
        })
    }
}

fn add(block: &mut Block, class: u8, bits: u64) {
    match class {
        LETTER => block.letter |= bits,
        NUMBER => block.number |= bits,
        SPACE => block.space |= bits,
        _ => {}
    }
}

impl Block {
    /// Neither letter, number nor white space.
    pub(super) fn other(&self) -> u64 {
        !(self.letter | self.number | self.space | self.end)
    }
}

/// A mask shifted one byte later: bit i is that of byte i - 1.
#[inline]
pub(super) fn before(last: u64, bits: u64) -> u64 {
    bits << 1 | last >> 63
}

/// A mask shifted one byte earlier: bit i is that of byte i + 1.
#[inline]
pub(super) fn after(bits: u64, next: u64) -> u64 {
    bits >> 1 | next << 63
}

/// Where runs start.
#[inline]
pub(super) fn run_starts(last: u64, bits: u64) -> u64 {
    bits & !before(last, bits)
}
