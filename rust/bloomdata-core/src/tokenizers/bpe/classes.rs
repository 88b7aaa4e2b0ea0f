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

/// Classes by code point.
#[derive(Debug)]
pub(super) struct Classes(Vec<u8>);

impl Classes {
    /// The table; made at the first call, in some 50 ms.
    pub(super) fn get() -> &'static Self {
        static TABLE: OnceLock<Classes> = OnceLock::new();
        TABLE.get_or_init(|| {
            let mut classes = vec![OTHER; char::MAX as usize + 1];
            let all: String = (0..=u32::from(char::MAX)).filter_map(char::from_u32).collect();
            for (pattern, class) in [(r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE)] {
                let Ok(regex) = SysRegex::new(pattern) else { continue };
                for (start, end) in regex.find_iter(&all) {
                    for letter in all[start..end].chars() {
                        classes[letter as usize] = class;
                    }
                }
            }
            Self(classes)
        })
    }

    /// Whether a character is white space.
    pub(super) fn is_space(&self, letter: char) -> bool {
        self.of(letter.into()) == SPACE
    }

    /// The class of a code point.
    pub(super) fn of(&self, code: u32) -> u8 {
        self.0[code as usize]
    }
}
