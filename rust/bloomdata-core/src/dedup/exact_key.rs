//! The normalised text of a document, or of a part of it, as a key of 128 bits.

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};
use xxhash_rust::xxh3::xxh3_128;

use super::char_kinds::{CharKinds, VISIBLE, WORD};
use crate::error::Result;

/// What makes two texts equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextForm {
    /// Equal bytes.
    None,
    /// NFC; each run of white space is one blank, and none counts at the ends.
    Whitespace,
    /// NFC, lower case, only letters, marks and numbers.
    Fold,
}

/// Makes keys, and holds the memory for it.
#[derive(Debug, Clone)]
pub struct ExactKeys {
    kinds: &'static CharKinds,
    form: TextForm,
    text: String,
}

impl ExactKeys {
    /// For texts in this form.
    ///
    /// # Errors
    /// Never, see [`CharKinds::get`].
    pub fn new(form: TextForm) -> Result<Self> {
        Ok(Self { kinds: CharKinds::get()?, form, text: String::new() })
    }

    /// The key of a text.
    pub fn key(&mut self, text: &str) -> u128 {
        if self.form == TextForm::None {
            return xxh3_128(text.as_bytes());
        }
        self.text.clear();
        if text.is_ascii() || is_nfc(text) {
            self.collect(text.chars());
        } else {
            self.collect(text.nfc());
        }
        xxh3_128(self.text.as_bytes())
    }

    fn collect(&mut self, letters: impl Iterator<Item = char>) {
        let (kinds, out) = (self.kinds, &mut self.text);
        if self.form == TextForm::Fold {
            out.extend(letters.filter(|&letter| kinds.of(letter) & WORD != 0).flat_map(char::to_lowercase));
            return;
        }
        let mut has_gap = false;
        for letter in letters {
            if kinds.of(letter) & VISIBLE == 0 {
                has_gap = !out.is_empty();
            } else {
                if std::mem::take(&mut has_gap) {
                    out.push(' ');
                }
                out.push(letter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_differ_in_what_they_ignore() {
        let same = |form, left: &str, right: &str| {
            let mut keys = ExactKeys::new(form).unwrap();
            keys.key(left) == keys.key(right)
        };
        assert!(same(TextForm::None, "a b", "a b"));
        assert!(!same(TextForm::None, "a  b", "a b"));
        assert!(same(TextForm::Whitespace, " e\u{301}\n\u{3000}b\n", "é b"));
        assert!(!same(TextForm::Whitespace, "A b", "a b"));
        assert!(!same(TextForm::Whitespace, "ab", "a b"));
        assert!(same(TextForm::Fold, "A-b, E\u{301}!", "abé"));
        assert!(!same(TextForm::Fold, "ab1", "ab"));
    }
}
