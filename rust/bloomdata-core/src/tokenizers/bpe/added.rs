//! Finds added tokens in texts exactly as the `tokenizers` crate does.
//!
//! Of tokens that start at the same place, the longest wins. A token may require to stand alone as a word,
//! and may absorb the white space on its left or right.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

/// A token and the id that the crate gives it: the crate ignores the id in the file.
pub(super) type AddedToken = (u32, tokenizers::AddedToken);

/// Parts of a text in which special tokens are text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted<'run> {
    /// In order.
    pub(super) parts: &'run [Range<usize>],
    /// Where the piece that is searched starts in the text.
    pub(super) start: usize,
}

impl Quoted<'_> {
    fn overlaps(self, start: usize, end: usize) -> bool {
        let (start, end) = (self.start + start, self.start + end);
        let next = self.parts.partition_point(|part| part.end <= start);
        self.parts.get(next).is_some_and(|part| part.start < end)
    }
}

/// Finds the added tokens of either raw or normalized text.
#[derive(Debug)]
pub(super) struct Finder {
    automaton: AhoCorasick,
    tokens: Vec<AddedToken>,
}

impl Finder {
    /// Builds the automaton; `None` if there are no tokens.
    ///
    /// # Errors
    /// More tokens than the automaton supports, two tokens with the same text, or an empty one.
    pub(super) fn new(tokens: Vec<AddedToken>) -> Result<Option<Self>, String> {
        if tokens.is_empty() {
            return Ok(None);
        }
        let mut texts: Vec<&str> = tokens.iter().map(|(_, token)| token.content.as_str()).collect();
        texts.sort_unstable();
        if let Some([text, ..]) = texts.windows(2).find(|two| two[0] == two[1]) {
            return Err(format!("the added token {text:?} is listed twice"));
        }
        if texts[0].is_empty() {
            return Err("an added token is empty once it is normalized".into());
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(_, token)| &token.content))
            .map_err(|error| error.to_string())?;
        Ok(Some(Self { automaton, tokens }))
    }

    /// The id of each token and the bytes of text that it takes, without absorbed white space.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (u32, usize)> {
        self.tokens.iter().map(|(id, token)| (*id, token.content.len()))
    }

    /// Whether any of its tokens is special.
    pub(super) fn has_special(&self) -> bool {
        self.tokens.iter().any(|(_, token)| token.special)
    }

    /// Visits the pieces of a text in order: start, end, and the id if the piece is an added token.
    ///
    /// White space that a token absorbed is searched again, as the crate does, so that a token inside it
    /// counts.
    pub(super) fn split(
        &self,
        text: &str,
        quoted: Quoted<'_>,
        mut visit: impl FnMut(usize, usize, Option<u32>),
    ) {
        let mut from = 0;
        for found in self.automaton.find_iter(text) {
            let (id, token) = &self.tokens[found.pattern().as_usize()];
            let (mut start, mut end) = (found.start(), found.end());
            // The crate goes on behind such a token, too.
            if token.special && quoted.overlaps(start, end) {
                continue;
            }
            let is_word = |letter: char| regex_syntax::try_is_word_character(letter).unwrap_or(false);
            if token.single_word
                && (text[..start].chars().next_back().is_some_and(is_word)
                    || text[end..].chars().next().is_some_and(is_word))
            {
                continue;
            }
            if token.lstrip {
                start = text[..start].trim_end().len().max(from);
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            if from < start {
                visit(from, start, None);
            }
            // Empty if the token before absorbed all of it.
            if start < end {
                visit(start, end, Some(*id));
            }
            from = end;
        }
        if from < text.len() {
            visit(from, text.len(), None);
        }
    }
}
