//! The parts of a text that may be repeated elsewhere: windows of units, paragraphs, or lines.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::cut::Gap;
use super::exact_key::{ExactKeys, TextForm};
use super::units::{Normalize, Unit, Units};
use super::windows::Windows;
use crate::error::Result;
use crate::token::halves;

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// So many words in a row.
    Windows {
        /// Words of a window.
        words: usize,
        /// Which words are equal.
        normalize: Normalize,
    },
    /// What stands between blank lines.
    Paragraphs(WholeParts),
    /// What stands between newlines.
    Lines(WholeParts),
}

impl Part {
    /// What is left behind such a part.
    pub const fn gap(self) -> Gap {
        match self {
            Self::Windows { .. } => Gap::Blanks,
            Self::Paragraphs(_) => Gap::BlankLines,
            Self::Lines(_) => Gap::None,
        }
    }
}

/// Which paragraphs or lines are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeParts {
    /// What makes their texts equal.
    pub normalize: TextForm,
    /// Shorter ones are never duplicates.
    pub min_characters: usize,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Number of its first unit (word, paragraph or line) in the text.
    pub unit: u64,
    /// Where it starts in the text, in bytes.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
}

/// Finds the parts of texts, and holds the memory for it.
#[derive(Debug, Clone)]
pub struct Segments {
    part: Part,
    units: Units,
    windows: Windows,
    keys: ExactKeys,
    hashes: Vec<u64>,
    ranges: Vec<(usize, usize)>,
    bytes: Vec<u8>,
    whole: Vec<Segment>,
}

impl Segments {
    /// For parts of this kind.
    ///
    /// # Errors
    /// Never, see [`Units::new`].
    pub fn new(part: Part) -> Result<Self> {
        let (words, normalize, form) = match part {
            Part::Windows { words, normalize } => (words, normalize, TextForm::None),
            Part::Paragraphs(whole) | Part::Lines(whole) => (1, Normalize::None, whole.normalize),
        };
        Ok(Self {
            part,
            units: Units::new(Unit::Words, normalize)?,
            windows: Windows::new(words),
            keys: ExactKeys::new(form)?,
            hashes: Vec::new(),
            ranges: Vec::new(),
            bytes: Vec::new(),
            whole: Vec::new(),
        })
    }

    /// Appends the key of every part of a text; how many units the text has.
    pub fn keys(&mut self, text: &str, out: &mut Vec<u64>) -> u64 {
        if let Part::Windows { .. } = self.part {
            self.units.hashes(text, &mut self.hashes);
            self.windows.each(&self.hashes, |key| out.push(key));
            return self.hashes.len() as u64;
        }
        self.each_whole(text, |key, _| out.push(halves(key).1))
    }

    /// Calls `emit` with the full key and the place of every part whose key `may_repeat`.
    pub fn repeated(
        &mut self,
        text: &str,
        may_repeat: impl Fn(u64) -> bool,
        mut emit: impl FnMut(u128, Segment),
    ) {
        if let Part::Windows { words, .. } = self.part {
            self.units.with_ranges(text, &mut self.hashes, &mut self.ranges);
            let (hashes, ranges, bytes) = (&self.hashes, &self.ranges, &mut self.bytes);
            let mut at = 0;
            self.windows.each(hashes, |key| {
                if may_repeat(key) {
                    bytes.clear();
                    bytes.extend(hashes[at..at + words].iter().flat_map(|hash| hash.to_le_bytes()));
                    let (start, end) = (ranges[at].0 as u64, ranges[at + words - 1].1 as u64);
                    emit(xxh3_128(bytes), Segment { unit: at as u64, start, end });
                }
                at += 1;
            });
            return;
        }
        self.each_whole(text, |key, segment| {
            if may_repeat(halves(key).1) {
                emit(key, segment);
            }
        });
    }

    /// Paragraphs or lines that are long enough; how many there are in all, but for blank ones.
    fn each_whole(&mut self, text: &str, mut emit: impl FnMut(u128, Segment)) -> u64 {
        let Self { part, keys, whole: segments, .. } = self;
        let (whole, is_paragraphs) = match part {
            Part::Paragraphs(whole) => (*whole, true),
            Part::Lines(whole) => (*whole, false),
            Part::Windows { .. } => return 0,
        };
        segments.clear();
        let mut start = 0;
        let mut open: Option<Segment> = None;
        for line in text.split_inclusive('\n') {
            let end = start + line.len() as u64;
            if line.trim().is_empty() {
                segments.extend(open.take());
            } else if let (Some(open), true) = (&mut open, is_paragraphs) {
                open.end = end;
            } else {
                segments.extend(open.take());
                open = Some(Segment { unit: 0, start, end });
            }
            start = end;
        }
        segments.extend(open);
        for (unit, segment) in (0..).zip(segments.iter()) {
            let text = &text[crate::token::index(segment.start)..crate::token::index(segment.end)];
            let text = text.strip_suffix('\n').unwrap_or(text);
            if text.chars().nth(whole.min_characters.saturating_sub(1)).is_some() {
                emit(keys.key(text), Segment { unit, ..*segment });
            }
        }
        segments.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(part: Part, text: &str) -> Vec<&str> {
        let mut segments = Segments::new(part).unwrap();
        let mut found = Vec::new();
        segments.repeated(
            text,
            |_| true,
            |_, segment| {
                found.push(&text[crate::token::index(segment.start)..crate::token::index(segment.end)]);
            },
        );
        let mut keys = Vec::new();
        segments.keys(text, &mut keys);
        assert_eq!(keys.len(), found.len());
        found
    }

    #[test]
    fn parts_are_windows_paragraphs_or_lines() {
        let text = "one two\nthree\n\n \nfour\n\nfive six";
        let whole = WholeParts { normalize: TextForm::None, min_characters: 5 };
        assert_eq!(places(Part::Lines(whole), text), ["one two\n", "three\n", "five six"]);
        assert_eq!(places(Part::Paragraphs(whole), text), ["one two\nthree\n", "five six"]);
        let windows = Part::Windows { words: 5, normalize: Normalize::None };
        assert_eq!(
            places(windows, text),
            ["one two\nthree\n\n \nfour\n\nfive", "two\nthree\n\n \nfour\n\nfive six"]
        );
    }
}
