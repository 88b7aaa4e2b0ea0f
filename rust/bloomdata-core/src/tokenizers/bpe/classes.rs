//! Letters, numbers and white space, exactly as the regex engine of the `tokenizers` crate has them.
//!
//! Tables of another Unicode version would differ for a few thousand characters, so the engine itself is asked, once.

use std::sync::OnceLock;

use tokenizers::utils::SysRegex;

/// What a character is for the patterns of GPT-2 and its successors.
pub(super) const OTHER: u8 = 0;
/// `\p{L}`.
pub(super) const LETTER: u8 = 1;
/// `\p{N}`.
pub(super) const NUMBER: u8 = 2;
/// `\s`.
pub(super) const SPACE: u8 = 3;

/// Of characters that begin with the same two bytes and are of several classes.
const MIXED: u8 = u8::MAX;
/// Planes whose characters belong to nothing: not assigned, or for private use.
const EMPTY: [std::ops::RangeInclusive<u32>; 2] = [0x4_0000..=0xd_ffff, 0xf_0000..=0x10_ffff];

/// Classes by code point.
#[derive(Debug)]
pub(super) struct Classes {
    all: Vec<u8>,
    /// By the first two bytes, six bits of each; all that there is to know for nearly every character.
    by_two: Vec<u8>,
    /// Of characters of two bytes: by the first one a bit for each letter, and for each number or white space.
    letters: [u64; 32],
    others: [u64; 32],
    /// First and last of the first bytes of three of which all characters are letters: most of Chinese.
    letters_by_first: [u8; 2],
}

impl Classes {
    /// The table; made at the first call, in some 20 ms.
    pub(super) fn get() -> &'static Self {
        static TABLE: OnceLock<Classes> = OnceLock::new();
        TABLE.get_or_init(|| {
            Self::new(
                (0..=u32::from(char::MAX)).filter(|code| !EMPTY.iter().any(|plane| plane.contains(code))),
            )
        })
    }

    /// With what the engine says of these characters.
    fn new(codes: impl Iterator<Item = u32>) -> Self {
        let mut all = vec![OTHER; char::MAX as usize + 1];
        let text: String = codes.filter_map(char::from_u32).collect();
        for (pattern, class) in [(r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE)] {
            let Ok(regex) = SysRegex::new(pattern) else { continue };
            for (start, end) in regex.find_iter(&text) {
                for letter in text[start..end].chars() {
                    all[letter as usize] = class;
                }
            }
        }
        let mut by_two = vec![None; 1 << 12];
        for letter in (0x80..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let mut bytes = [0; 4];
            letter.encode_utf8(&mut bytes);
            let (class, known) = (all[letter as usize], &mut by_two[two(bytes[0], bytes[1])]);
            *known = Some(if known.is_none_or(|known| known == class) { class } else { MIXED });
        }
        let by_two: Vec<u8> = by_two.into_iter().map(Option::unwrap_or_default).collect();
        let all_letters = |first: &u8| (0..64).all(|second| by_two[two(*first, second)] == LETTER);
        // From the middle of Chinese, which is letters in every version of Unicode.
        let least = (0xe4..=0xe6).rev().take_while(all_letters).last();
        let most = (0xe6..=0xe9).take_while(all_letters).last();
        let letters_by_first = [least.unwrap_or(u8::MAX), most.unwrap_or(u8::MAX)];
        let bits = |classes: &[u8]| {
            let bit = |code: usize| u64::from(classes.contains(&all[code])) << (code % 64);
            std::array::from_fn(|first| {
                (0..64).map(|second| bit(64 * first + second)).fold(0, |all, bit| all | bit)
            })
        };
        let (letters, others) = (bits(&[LETTER]), bits(&[NUMBER, SPACE]));
        Self { all, by_two, letters, others, letters_by_first }
    }

    /// Whether a character is white space.
    pub(super) fn is_space(&self, letter: char) -> bool {
        self.of(letter.into()) == SPACE
    }

    /// The class of a code point.
    pub(super) fn of(&self, code: u32) -> u8 {
        self.all[code as usize]
    }

    /// Whether a character of two bytes is a letter, and whether it is a number or white space: one bit each.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a handful of instructions, for each character")]
    pub(super) fn of_two(&self, first: u8, second: u8) -> [u64; 2] {
        let first = usize::from(first % 32);
        [self.letters[first], self.others[first]].map(|bits| bits >> (second % 64) & 1)
    }

    /// First and last of the first bytes of characters of three, all of which are letters.
    #[inline]
    pub(super) fn letters_by_first(&self) -> [u8; 2] {
        self.letters_by_first
    }

    /// The class of all characters that begin with two bytes, if it is one.
    #[inline]
    pub(super) fn by_two(&self, first: u8, second: u8) -> Option<u8> {
        Some(self.by_two[two(first, second)]).filter(|&class| class != MIXED)
    }
}

fn two(first: u8, second: u8) -> usize {
    usize::from(first & 0x3f) << 6 | usize::from(second & 0x3f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_that_are_not_looked_at_are_of_no_class() {
        let whole = Classes::new(0..=u32::from(char::MAX));
        assert!(whole.all == Classes::get().all && whole.by_two == Classes::get().by_two);
        assert!(
            whole.all.contains(&LETTER) && whole.by_two.contains(&LETTER) && whole.by_two.contains(&MIXED)
        );
    }
}
