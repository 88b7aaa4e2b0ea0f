//! Character classes of the patterns of GPT-2 and its successors: letters, numbers and white space, exactly
//! as the regex engine of the `tokenizers` crate defines them.
//!
//! A few thousand characters change class between versions of Unicode. Asking the engine at run time takes
//! 80 ms, so its answers are stored in [`char_class_ranges`](super::char_class_ranges); a test compares
//! them with the engine.

use std::sync::OnceLock;

use super::char_class_ranges::RANGES;

/// None of the other classes.
pub(super) const OTHER: u8 = 0;
/// `\p{L}`.
pub(super) const LETTER: u8 = 1;
/// `\p{N}`.
pub(super) const NUMBER: u8 = 2;
/// `\s`.
pub(super) const SPACE: u8 = 3;

/// Marks characters that share their first two bytes, but not their class.
const MIXED: u8 = u8::MAX;
/// The class of every code point.
#[derive(Debug)]
pub(super) struct CharClasses {
    /// By code point, up to the last one that has a class.
    all: Vec<u8>,
    /// By the lower six bits of the first two bytes: sufficient for nearly all characters.
    by_two: Vec<u8>,
    /// Two-byte characters, by the first byte: one bit per second byte for letters, and for numbers or
    /// white space.
    letters: [u64; 32],
    others: [u64; 32],
    /// First and last of the leading bytes whose three-byte characters are all letters: most of Chinese.
    letters_by_first: [u8; 2],
}

impl CharClasses {
    /// The table, which is built at the first call.
    pub(super) fn get() -> &'static Self {
        static TABLE: OnceLock<CharClasses> = OnceLock::new();
        TABLE.get_or_init(|| Self::new(RANGES))
    }

    /// From ranges of code points, each with its class.
    fn new(ranges: &[(u32, u32, u8)]) -> Self {
        let size = ranges.iter().map(|&(_, last, _)| last as usize + 1).max().unwrap_or_default();
        // Rounded up to whole groups of characters that share their first two bytes.
        let mut all = vec![OTHER; size.next_multiple_of(1 << 12).max(1 << 16)];
        for &(first, last, class) in ranges {
            all[first as usize..=last as usize].fill(class);
        }
        let mut by_two = vec![OTHER; 1 << 12];
        // Characters of two, three and four bytes: range of code points, and how many share their first two
        // bytes.
        for (from, end, same) in [(0x80, 0x800, 1), (0x800, 1 << 16, 1 << 6), (1 << 16, all.len(), 1 << 12)] {
            for code in (from..end).step_by(same) {
                let Some(letter) = u32::try_from(code).ok().and_then(char::from_u32) else { continue };
                let mut bytes = [0; 4];
                letter.encode_utf8(&mut bytes);
                let is_one = all[code..code + same].iter().all(|&class| class == all[code]);
                by_two[two(bytes[0], bytes[1])] = if is_one { all[code] } else { MIXED };
            }
        }
        let all_letters = |first: &u8| (0..64).all(|second| by_two[two(*first, second)] == LETTER);
        // Outwards from the middle of the Chinese characters, which are letters in every version of
        // Unicode.
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
        self.all.get(code as usize).copied().unwrap_or(OTHER)
    }

    /// For a two-byte character: whether it is a letter, and whether it is a number or white space, one bit
    /// each.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a handful of instructions, for each character")]
    pub(super) fn of_two(&self, first: u8, second: u8) -> [u64; 2] {
        let first = usize::from(first % 32);
        [self.letters[first], self.others[first]].map(|bits| bits >> (second % 64) & 1)
    }

    /// First and last of the leading bytes whose three-byte characters are all letters.
    #[inline]
    pub(super) fn letters_by_first(&self) -> [u8; 2] {
        self.letters_by_first
    }

    /// The class shared by all characters that start with these two bytes; `None` if they differ.
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
    use tokenizers::utils::SysRegex;

    use super::*;
    use crate::token::narrow;

    /// The class of every character, as the engine defines it.
    fn by_engine() -> Vec<(u32, u32, u8)> {
        let text: String = (0..=u32::from(char::MAX)).filter_map(char::from_u32).collect();
        let mut all = vec![OTHER; char::MAX as usize + 2];
        for (pattern, class) in [(r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE)] {
            for (start, end) in SysRegex::new(pattern).unwrap().find_iter(&text) {
                text[start..end].chars().for_each(|letter| all[letter as usize] = class);
            }
        }
        let (mut ranges, mut first) = (Vec::new(), 0);
        for next in 1..all.len() {
            if all[next] != all[first] {
                if all[first] != OTHER {
                    ranges.push((narrow(first), narrow(next - 1), all[first]));
                }
                first = next;
            }
        }
        ranges
    }

    #[test]
    fn ranges_are_what_the_engine_says() {
        let expected = by_engine();
        let line = |ranges: &[(u32, u32, u8)]| {
            let each = ranges.iter().map(|(first, last, class)| format!("({first:#x}, {last:#x}, {class})"));
            format!("    {},", each.collect::<Vec<_>>().join(", "))
        };
        let lines: Vec<_> = expected.chunks(5).map(line).collect();
        assert!(expected == RANGES, "char_class_ranges.rs should hold\n{}", lines.join("\n"));
    }

    #[test]
    fn what_begins_with_two_bytes_is_of_their_class() {
        let classes = CharClasses::get();
        let mut seen = vec![Vec::new(); 1 << 12];
        for letter in (0x80..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let mut bytes = [0; 4];
            letter.encode_utf8(&mut bytes);
            let class = classes.of(letter.into());
            let seen = &mut seen[two(bytes[0], bytes[1])];
            if !seen.contains(&class) {
                seen.push(class);
            }
            assert!(classes.by_two(bytes[0], bytes[1]).is_none_or(|one| one == class), "{letter:?}");
        }
        for (seen, &class) in seen.iter().zip(&classes.by_two) {
            assert_eq!(seen.len() > 1, class == MIXED);
        }
        let [first, last] = classes.letters_by_first();
        assert!(first <= 0xe5 && last >= 0xe8);
    }
}
