//! What kind of character each code point is, of the Unicode version of the `regex-syntax` crate (16.0).

use std::sync::OnceLock;

use hashbrown::HashMap;
use regex_syntax::Parser;
use regex_syntax::hir::{Class, HirKind};

use crate::error::{Error, Result};

/// Not white space (`White_Space`).
pub const VISIBLE: u8 = 1;
/// A letter, a mark or a number (general categories L, M and N).
pub const WORD: u8 = 2;
/// Of a script that puts no blanks between words, so that each character counts as a word.
pub const SINGLE: u8 = 4;
/// Not its own lower case.
pub const CAPITAL: u8 = 8;
/// Of bytes, not of characters: part of a character beyond ASCII.
const BEYOND_ASCII: u8 = 16;

const SINGLE_SCRIPTS: &str = r"[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}\p{sc=Tibetan}]";

/// The kinds of all characters, as bit sets.
#[derive(Debug)]
pub struct CharKinds {
    /// Kinds of ASCII characters, by byte.
    bytes: [u8; 256],
    /// Index of the block of each 256 code points; most blocks are shared.
    pages: Vec<u16>,
    blocks: Vec<[u8; 256]>,
}

impl CharKinds {
    /// The table, which is built at the first call.
    ///
    /// # Errors
    /// Never: the patterns are constants.
    pub fn get() -> Result<&'static Self> {
        static TABLE: OnceLock<std::result::Result<CharKinds, String>> = OnceLock::new();
        TABLE.get_or_init(Self::build).as_ref().map_err(|reason| Error::Internal(reason.clone()))
    }

    fn build() -> std::result::Result<Self, String> {
        let mut kinds = vec![VISIBLE; char::MAX as usize + 1];
        let mut each = |pattern: &str, change: &dyn Fn(char, &mut u8)| -> std::result::Result<(), String> {
            for (first, last) in ranges(pattern)? {
                for letter in first..=last {
                    change(letter, &mut kinds[letter as usize]);
                }
            }
            Ok(())
        };
        each(r"\p{White_Space}", &|_, kind| *kind &= !VISIBLE)?;
        each(r"[\p{L}\p{M}\p{N}]", &|letter, kind| {
            *kind |= WORD;
            if !letter.to_lowercase().eq([letter]) {
                *kind |= CAPITAL;
            }
        })?;
        each(SINGLE_SCRIPTS, &|_, kind| *kind |= SINGLE)?;
        let (mut pages, mut blocks, mut known) = (Vec::new(), Vec::new(), HashMap::new());
        for block in kinds.as_chunks::<256>().0 {
            let next = u16::try_from(blocks.len()).map_err(|_| "too many kinds of blocks".to_owned())?;
            let page = *known.entry(*block).or_insert_with(|| {
                blocks.push(*block);
                next
            });
            pages.push(page);
        }
        let bytes = std::array::from_fn(|at| if at < 0x80 { kinds[at] } else { BEYOND_ASCII });
        Ok(Self { bytes, pages, blocks })
    }

    /// The kind of the character at `at` of valid UTF-8, and its length in bytes.
    #[inline]
    pub fn at(&self, text: &[u8], at: usize) -> (u8, usize) {
        let first = text[at];
        let kind = self.bytes[usize::from(first)];
        if kind == BEYOND_ASCII { self.beyond_ascii(text, at) } else { (kind, 1) }
    }

    #[inline(never)]
    fn beyond_ascii(&self, text: &[u8], at: usize) -> (u8, usize) {
        let first = text[at];
        let low = |at: usize| usize::from(text[at] & 0x3f);
        let first = usize::from(first);
        let (code, size) = match first {
            0..0xe0 => ((first & 0x1f) << 6 | low(at + 1), 2),
            0xe0..0xf0 => ((first & 0x0f) << 12 | low(at + 1) << 6 | low(at + 2), 3),
            _ => ((first & 7) << 18 | low(at + 1) << 12 | low(at + 2) << 6 | low(at + 3), 4),
        };
        (self.blocks[usize::from(self.pages[code >> 8])][code & 0xff], size)
    }

    /// The kind of a character.
    pub fn of(&self, letter: char) -> u8 {
        let code = letter as usize;
        self.blocks[usize::from(self.pages[code >> 8])][code & 0xff]
    }
}

/// The ranges of a character class.
fn ranges(pattern: &str) -> std::result::Result<Vec<(char, char)>, String> {
    let parsed = Parser::new().parse(pattern).map_err(|error| error.to_string())?;
    match parsed.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            Ok(class.ranges().iter().map(|range| (range.start(), range.end())).collect())
        }
        _ => Err(format!("{pattern} is not a class of characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_unicode() {
        let kinds = CharKinds::get().unwrap();
        for (letter, kind) in [
            ('a', VISIBLE | WORD),
            ('A', VISIBLE | WORD | CAPITAL),
            ('.', VISIBLE),
            (' ', 0),
            ('\u{3000}', 0),
            ('字', VISIBLE | WORD | SINGLE),
            ('ก', VISIBLE | WORD | SINGLE),
            ('\u{0f0b}', VISIBLE | SINGLE),
            ('\u{301}', VISIBLE | WORD),
            ('½', VISIBLE | WORD),
            ('İ', VISIBLE | WORD | CAPITAL),
            ('한', VISIBLE | WORD),
            ('\u{10ffff}', VISIBLE),
        ] {
            assert_eq!(kinds.of(letter), kind, "{letter:?}");
            let text = format!("x{letter}");
            assert_eq!(kinds.at(text.as_bytes(), 1), (kind, letter.len_utf8()), "{letter:?}");
        }
    }
}
