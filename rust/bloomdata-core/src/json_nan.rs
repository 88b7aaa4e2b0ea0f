//! `NaN`, `Infinity` and `-Infinity`, which Python's `json` writes and reads and JSON does not have.

use std::ops::Range;

use crate::document::JsonFault;

const WORDS: [&[u8]; 2] = [b"NaN", b"Infinity"];

/// Whether a fault is one of these words.
pub(crate) fn is_nan(fault: &JsonFault) -> bool {
    ["NaN is", "Infinity is", "-Infinity is"].iter().any(|words| fault.reason.starts_with(words))
}

/// A record in which such words stand as numbers of the same length.
#[derive(Debug)]
pub(crate) struct Masked {
    /// The record.
    pub(crate) text: String,
    /// Where the words are.
    pub(crate) places: Vec<Range<usize>>,
}

impl Masked {
    /// The record with its words masked; `None` if there are none outside of strings.
    pub(crate) fn new(record: &str) -> Option<Self> {
        let mut bytes = record.as_bytes().to_vec();
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(found) = memchr::memchr3(b'"', b'N', b'I', &bytes[at..]) {
            at += found;
            if bytes[at] == b'"' {
                at = behind_string(&bytes, at);
                continue;
            }
            let word = WORDS.into_iter().find(|word| bytes[at..].starts_with(word));
            let Some(word) = word.filter(|word| stands_alone(&bytes, at..at + word.len())) else {
                at += 1;
                continue;
            };
            // All digits: the parser finds a number where the word was.
            bytes[at..at + word.len()].fill(b'1');
            places.push(at..at + word.len());
            at += word.len();
        }
        let text = if places.is_empty() { None } else { String::from_utf8(bytes).ok() };
        text.map(|text| Self { text, places })
    }
}

/// Behind the string that begins here.
fn behind_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// Whether a word touches nothing that would make it part of another one; `Infinity` may have a minus.
fn stands_alone(bytes: &[u8], word: Range<usize>) -> bool {
    let is_apart = |byte: Option<&u8>| byte.is_none_or(|byte| b" \t\r\n:,[]{}".contains(byte));
    let mut before = &bytes[..word.start];
    if bytes[word.start] == b'I' {
        before = before.strip_suffix(b"-").unwrap_or(before);
    }
    is_apart(before.last()) && is_apart(bytes.get(word.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_numbers_of_the_same_length_outside_of_strings_only() {
        let masked = Masked::new(r#"{"a\"NaN":NaN,"b":[-Infinity, Infinity],"c":"NaN"}"#).unwrap();
        assert_eq!(masked.text, r#"{"a\"NaN":111,"b":[-11111111, 11111111],"c":"NaN"}"#);
        assert_eq!(masked.places.len(), 3);
        for record in [r#"{"a":"NaN"}"#, "1NaN", "NaN1", "-NaN", "NaNN", "+Infinity", r#"{"a":"\"#, "\"NaN"] {
            assert!(Masked::new(record).is_none(), "{record}");
        }
    }
}
