//! A sequence of pre-tokenizers: each splits the pieces of the one before. Pre-tokens come out as bytes.
//!
//! The patterns of common families have splitters of their own, most others are matched by
//! [`super::pattern`]. The rest is left to the regex engine of the `tokenizers` crate; merging and caching
//! are still ours.

use std::borrow::Cow;

use tokenizers::utils::SysRegex;
use unicode_categories::UnicodeCategories;

use super::pattern::Pattern;
use super::split::Splitter;

/// A pre-tokenizer before `ByteLevel`, which splits text.
#[derive(Debug)]
pub(super) enum TextStep {
    /// The pattern of a common family.
    Known(Splitter),
    /// A pattern of character sets.
    Pattern(Box<Pattern>),
    /// Any other pattern: matches, and the text between them.
    Regex(SysRegex),
    /// Splits off numbers, in runs or digit by digit.
    Digits {
        /// Whether each digit is a piece of its own.
        individual: bool,
    },
    /// Splits off runs of punctuation.
    Punctuation,
}

/// A pre-tokenizer after `ByteLevel`, which sees the characters of the byte alphabet.
#[derive(Debug, Clone, Copy)]
pub(super) enum ByteStep {
    /// Splits off numbers. Some characters of the byte alphabet are numbers although their byte is no digit
    /// (`²` is byte B2).
    Digits {
        /// Whether each digit is a piece of its own.
        individual: bool,
    },
    /// Three ASCII digits at a time.
    ThreeDigits,
}

/// The pre-tokenizers of a definition.
#[derive(Debug)]
pub(in super::super) struct Sequence {
    pub(super) text: Vec<TextStep>,
    pub(super) bytes: Vec<ByteStep>,
    /// For each byte, whether its character in the byte alphabet is a number.
    pub(super) is_number: Vec<bool>,
    /// Whether a space is put in front of every text that does not start with one.
    pub(super) adds_space: bool,
}

impl Sequence {
    /// The text, with a space in front if one is added.
    pub(super) fn apply<'text>(&self, text: &'text str) -> Cow<'text, str> {
        if self.adds_space && !text.starts_with(' ') { format!(" {text}").into() } else { text.into() }
    }

    /// Visits start and end of all pre-tokens in order; together they cover the text.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "`visit` is the hottest call of all")]
    pub(super) fn split(&self, text: &str, mut visit: impl FnMut(usize, usize)) {
        if let ([TextStep::Known(splitter)], []) = (&self.text[..], &self.bytes[..]) {
            splitter.split(text, visit);
        } else if !text.is_empty() {
            self.split_text(&self.text, text, 0, &mut visit);
        }
    }

    /// Whether a pattern is left to the regex engine, which may give up on a text.
    pub(super) fn may_fail(&self) -> bool {
        self.text.iter().any(|step| matches!(step, TextStep::Regex(_)))
    }

    /// `start` is the offset of the piece `text`.
    fn split_text(&self, steps: &[TextStep], text: &str, start: usize, visit: &mut dyn FnMut(usize, usize)) {
        let Some((step, rest)) = steps.split_first() else {
            return self.split_bytes(&self.bytes, text.as_bytes(), start, visit);
        };
        let mut next = |from: usize, end: usize| {
            if from < end {
                self.split_text(rest, &text[from..end], start + from, visit);
            }
        };
        match step {
            TextStep::Known(splitter) => splitter.split(text, next),
            TextStep::Pattern(pattern) => pattern.split(text, next),
            TextStep::Regex(regex) => {
                let mut from = 0;
                for (start, end) in regex.find_iter(text) {
                    next(from, start);
                    next(start, end);
                    from = end;
                }
                next(from, text.len());
            }
            TextStep::Digits { individual } => split_by(text, char::is_numeric, *individual, next),
            TextStep::Punctuation => {
                let is_punctuation = |letter: char| letter.is_ascii_punctuation() || letter.is_punctuation();
                split_by(text, is_punctuation, false, next);
            }
        }
    }

    fn split_bytes(
        &self,
        steps: &[ByteStep],
        bytes: &[u8],
        start: usize,
        visit: &mut dyn FnMut(usize, usize),
    ) {
        let Some((step, rest)) = steps.split_first() else { return visit(start, start + bytes.len()) };
        let mut from = 0;
        while from < bytes.len() {
            let end = match step {
                ByteStep::Digits { individual } => {
                    let is_number = |at: usize| self.is_number[usize::from(bytes[at])];
                    if *individual && is_number(from) {
                        from + 1
                    } else {
                        (from..bytes.len())
                            .find(|&at| is_number(at) != is_number(from))
                            .unwrap_or(bytes.len())
                    }
                }
                ByteStep::ThreeDigits => {
                    let is_match = |at: usize| {
                        bytes.get(at..at + 3).is_some_and(|three| three.iter().all(u8::is_ascii_digit))
                    };
                    if is_match(from) {
                        from + 3
                    } else {
                        (from..bytes.len()).find(|&at| is_match(at)).unwrap_or(bytes.len())
                    }
                }
            };
            self.split_bytes(rest, &bytes[from..end], start + from, visit);
            from = end;
        }
    }
}

/// Visits runs of characters of a kind and runs of others; with `one_by_one`, each character of the kind
/// separately.
pub(super) fn split_by(
    text: &str,
    is_kind: impl Fn(char) -> bool,
    one_by_one: bool,
    mut next: impl FnMut(usize, usize),
) {
    let (mut from, mut was) = (0, None);
    for (at, letter) in text.char_indices() {
        let is = is_kind(letter);
        if was.is_some_and(|was| was != is || (is && one_by_one)) {
            next(from, at);
            from = at;
        }
        was = Some(is);
    }
    next(from, text.len());
}
