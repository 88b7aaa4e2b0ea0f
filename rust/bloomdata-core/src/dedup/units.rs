//! The units of a text that are compared: words, or characters.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::char_kinds::{CAPITAL, CharKinds, SINGLE, VISIBLE, WORD};
use super::word_hash::{PADDING, word_hash};
use crate::byte_masks::{bits, block_at};
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
    fn words<const INSIDE: u8, const FOLDS: bool>(&self, text: &str, emit: impl FnMut(u64, usize, usize)) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi1") {
            #[allow(unsafe_code, reason = "the instruction set is known only at run time")]
            // SAFETY: the features were detected just before.
            return unsafe { words_avx2::<INSIDE, FOLDS>(self.kinds, text, emit) };
        }
        words_of::<INSIDE, FOLDS>(self.kinds, text, emit);
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

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1")]
fn words_avx2<const INSIDE: u8, const FOLDS: bool>(
    kinds: &CharKinds,
    text: &str,
    emit: impl FnMut(u64, usize, usize),
) {
    words_of::<INSIDE, FOLDS>(kinds, text, emit);
}

/// ASCII is cut by bit masks of 64 bytes, all else character by character.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
fn words_of<const INSIDE: u8, const FOLDS: bool>(
    kinds: &CharKinds,
    text: &str,
    mut emit: impl FnMut(u64, usize, usize),
) {
    let bytes = text.as_bytes();
    let mut lower = String::new();
    let mut padded = Vec::with_capacity(bytes.len() + PADDING);
    padded.extend_from_slice(bytes);
    padded.extend([0; PADDING]);
    if FOLDS {
        padded.make_ascii_lowercase();
    }
    // Whether there are capitals beyond ASCII.
    let mut word = |start: usize, end: usize, has_capital: bool| {
        let hash = if FOLDS && has_capital {
            lower.clear();
            lower.extend(text[start..end].chars().flat_map(char::to_lowercase));
            xxh3_64(lower.as_bytes())
        } else {
            word_hash(&padded, start, end)
        };
        emit(hash, start, end);
    };
    let (mut at, mut start, mut is_inside, mut has_capital) = (0, 0_usize, false, false);
    while at < bytes.len() {
        let (block, size) = block_at(bytes, at);
        let count = size.min(bits(&block, |byte| byte >= 0x80).trailing_zeros() as usize);
        let inside = bits(&block, if FOLDS { is_word } else { is_visible }) & lowest(count);
        let mut edges = (inside ^ (inside << 1 | u64::from(is_inside))) & lowest(count);
        while edges != 0 {
            let edge = edges.trailing_zeros() as usize;
            edges &= edges - 1;
            if is_inside {
                word(start, at + edge, has_capital);
            } else {
                (start, has_capital) = (at + edge, false);
            }
            is_inside = !is_inside;
        }
        at += count;
        // A run of characters beyond ASCII.
        while at < bytes.len() && bytes[at] >= 0x80 {
            let (kind, size) = kinds.at(bytes, at);
            let is_part = kind & (INSIDE | SINGLE) == INSIDE;
            if is_inside && !is_part {
                word(start, at, has_capital);
            } else if !is_inside && is_part {
                (start, has_capital) = (at, false);
            }
            is_inside = is_part;
            has_capital |= kind & CAPITAL != 0;
            if kind & (INSIDE | SINGLE) == INSIDE | SINGLE {
                word(at, at + size, kind & CAPITAL != 0);
            }
            at += size;
        }
    }
    if is_inside {
        word(start, bytes.len(), has_capital);
    }
}

/// The lowest `count` bits, 64 at most.
#[inline]
const fn lowest(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// ASCII letters and digits.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a part of a loop over 64 bytes")]
fn is_word(byte: u8) -> bool {
    (byte | 0x20).wrapping_sub(b'a') < 26 || byte.wrapping_sub(b'0') < 10
}

/// All of ASCII but white space.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a part of a loop over 64 bytes")]
fn is_visible(byte: u8) -> bool {
    byte != b' ' && byte.wrapping_sub(9) >= 5
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
