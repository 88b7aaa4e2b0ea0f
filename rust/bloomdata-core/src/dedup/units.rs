//! The units of a text that are compared: words, or characters.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::char_kinds::{CAPITAL, CharKinds, SINGLE, VISIBLE, WORD};
use crate::error::Result;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Words; of scripts without blanks between words, each character.
    Words,
    /// Characters.
    Characters,
}

/// What makes two units equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// Equal bytes; words are split at white space.
    None,
    /// Lower case; words are runs of letters, marks and numbers.
    Fold,
}

/// Cuts texts into units.
#[derive(Debug, Clone, Copy)]
pub struct Units {
    kinds: &'static CharKinds,
    unit: Unit,
    normalize: Normalize,
}

impl Units {
    /// A cutter of this kind.
    ///
    /// # Errors
    /// Never, see [`CharKinds::get`].
    pub fn new(unit: Unit, normalize: Normalize) -> Result<Self> {
        Ok(Self { kinds: CharKinds::get()?, unit, normalize })
    }

    /// The hashes of all units of a text, in place of what `hashes` holds.
    pub fn hashes(&self, text: &str, hashes: &mut Vec<u64>) {
        hashes.clear();
        self.each(text, |hash, _, _| hashes.push(hash));
    }

    /// Hashes, and where each unit starts and ends in the text, in bytes.
    pub fn with_ranges(&self, text: &str, hashes: &mut Vec<u64>, ranges: &mut Vec<(usize, usize)>) {
        hashes.clear();
        ranges.clear();
        self.each(text, |hash, start, end| {
            hashes.push(hash);
            ranges.push((start, end));
        });
    }

    #[inline]
    fn each(&self, text: &str, emit: impl FnMut(u64, usize, usize)) {
        match (self.unit, self.normalize) {
            (Unit::Words, Normalize::None) => self.words::<VISIBLE, false>(text, emit),
            (Unit::Words, Normalize::Fold) => self.words::<WORD, true>(text, emit),
            (Unit::Characters, _) => self.characters(text, emit),
        }
    }

    /// Runs of characters of the kind `INSIDE`; those of [`SINGLE`] scripts alone.
    #[inline]
    fn words<const INSIDE: u8, const FOLDS: bool>(
        &self,
        text: &str,
        mut emit: impl FnMut(u64, usize, usize),
    ) {
        let (bytes, kinds) = (text.as_bytes(), self.kinds);
        let mut lower = String::new();
        let mut at = 0;
        while at < bytes.len() {
            let (mut kind, mut size) = kinds.at(bytes, at);
            if kind & INSIDE == 0 {
                at += size;
                continue;
            }
            let (start, mut seen) = (at, kind);
            at += size;
            if kind & SINGLE == 0 {
                loop {
                    let (count, kinds_of_run) = kinds.ascii_run(bytes, at, INSIDE);
                    at += count;
                    seen |= kinds_of_run;
                    if at == bytes.len() {
                        break;
                    }
                    (kind, size) = kinds.at(bytes, at);
                    if kind & (INSIDE | SINGLE) != INSIDE {
                        break;
                    }
                    seen |= kind;
                    at += size;
                }
            }
            let hash = if FOLDS && seen & CAPITAL != 0 {
                lower.clear();
                lower.extend(text[start..at].chars().flat_map(char::to_lowercase));
                xxh3_64(lower.as_bytes())
            } else {
                xxh3_64(&bytes[start..at])
            };
            emit(hash, start, at);
        }
    }

    fn characters(&self, text: &str, mut emit: impl FnMut(u64, usize, usize)) {
        let mut lower = String::new();
        for (start, letter) in text.char_indices() {
            let end = start + letter.len_utf8();
            if self.normalize == Normalize::None {
                emit(xxh3_64(&text.as_bytes()[start..end]), start, end);
            } else if self.kinds.of(letter) & WORD != 0 {
                lower.clear();
                lower.extend(letter.to_lowercase());
                emit(xxh3_64(lower.as_bytes()), start, end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, unit: Unit, normalize: Normalize) -> Vec<&str> {
        let (mut hashes, mut ranges) = (Vec::new(), Vec::new());
        Units::new(unit, normalize).unwrap().with_ranges(text, &mut hashes, &mut ranges);
        ranges.iter().map(|&(start, end)| &text[start..end]).collect()
    }

    #[test]
    fn words_end_at_white_space_or_at_all_that_is_no_letter() {
        let text = "It's  2nd-rate:\u{3000}中文, ไทย x";
        assert_eq!(
            words(text, Unit::Words, Normalize::None),
            ["It's", "2nd-rate:", "中", "文", ",", "ไ", "ท", "ย", "x"]
        );
        assert_eq!(
            words(text, Unit::Words, Normalize::Fold),
            ["It", "s", "2nd", "rate", "中", "文", "ไ", "ท", "ย", "x"]
        );
        assert_eq!(words("a 中!", Unit::Characters, Normalize::None), ["a", " ", "中", "!"]);
        assert_eq!(words("a 中!", Unit::Characters, Normalize::Fold), ["a", "中"]);
    }

    #[test]
    fn case_does_not_count_when_folded() {
        let hashes = |text: &str, normalize| {
            let mut hashes = Vec::new();
            Units::new(Unit::Words, normalize).unwrap().hashes(text, &mut hashes);
            hashes
        };
        assert_eq!(hashes("ÄRGER Über", Normalize::Fold), hashes("ärger, über!", Normalize::Fold));
        assert_ne!(hashes("A", Normalize::None), hashes("a", Normalize::None));
        assert!(hashes(" .!", Normalize::Fold).is_empty());
    }
}
