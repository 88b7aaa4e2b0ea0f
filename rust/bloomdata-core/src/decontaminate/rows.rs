//! Texts of evaluation rows, and how much of one must be found.

use serde::{Deserialize, Serialize};

use crate::token::double;

/// Words of the shortest row that is looked for.
pub const SHORTEST_ROW: usize = 8;
/// Words of a row from which on the threshold holds as it is.
const LONG_WORDS: usize = 50;
/// Words of a row up to which all of it must be found.
const SHORT_WORDS: usize = 20;

/// Which field of a row a text is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// `text`.
    Text,
    /// `question`.
    Question,
    /// `passage`.
    Passage,
}

/// A text that is looked for. A row with a question and a passage has two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowText {
    /// Index of the file that the row is from.
    pub set: usize,
    /// The row's line, from 1.
    pub line: u64,
    /// The row's name.
    pub id: String,
    /// Where in the row it is.
    pub part: Part,
    /// The text.
    pub text: String,
    /// What should follow it.
    pub answer: Option<String>,
}

/// Words of an n-gram of a text of `num_words`; none for a text that is too short to look for.
pub fn ngram_size(num_words: usize, n: usize) -> Option<usize> {
    if num_words >= n {
        return Some(n);
    }
    (num_words >= SHORTEST_ROW).then_some(num_words)
}

/// The share of the n-grams of a text that must be found: all of a short one, `threshold` of a long one.
pub fn needed(num_words: usize, threshold: f64) -> f64 {
    if num_words >= LONG_WORDS {
        return threshold;
    }
    if num_words <= SHORT_WORDS {
        return 1.0;
    }
    threshold + (1.0 - threshold) * double((LONG_WORDS - num_words) as u64) / 30.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_rows_must_be_found_whole() {
        assert_eq!(
            [7, 8, 12, 13, 99].map(|words| ngram_size(words, 13)),
            [None, Some(8), Some(12), Some(13), Some(13)]
        );
        assert_eq!(ngram_size(5, 5), Some(5));
        let found = [8, 20, 35, 50, 400].map(|words| needed(words, 0.8));
        assert!(found.iter().zip([1.0, 1.0, 0.9, 0.8, 0.8]).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-9));
    }
}
