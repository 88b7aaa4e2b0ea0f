//! Added tokens in texts, found as the `tokenizers` crate finds them.
//!
//! Of tokens that start at one place the longest is taken. A token may ask to stand alone as a word, and to take the
//! white space on its left or right with it.

use aho_corasick::{AhoCorasick, MatchKind};
use serde::Deserialize;

/// A token as a `tokenizer.json` has it.
#[derive(Debug, Clone, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "as in the file")]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    pub(super) normalized: bool,
}

/// Finds tokens of one kind: those of raw text, or those of normalized text.
#[derive(Debug)]
pub(super) struct Finder {
    automaton: AhoCorasick,
    tokens: Vec<AddedToken>,
}

impl Finder {
    /// None when there is nothing to find.
    ///
    /// # Errors
    /// More than the automaton takes, or two tokens of one text.
    pub(super) fn new(tokens: Vec<AddedToken>) -> Result<Option<Self>, String> {
        if tokens.is_empty() {
            return Ok(None);
        }
        let mut texts: Vec<&str> = tokens.iter().map(|token| token.content.as_str()).collect();
        texts.sort_unstable();
        if let Some([text, ..]) = texts.windows(2).find(|two| two[0] == two[1]) {
            return Err(format!("the added token {text:?} stands twice in it"));
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|token| &token.content))
            .map_err(|error| error.to_string())?;
        Ok(Some(Self { automaton, tokens }))
    }

    /// Visits pieces of a text in order: where each starts and ends, and its id if it is a token.
    ///
    /// White space that a token took is looked through again, as the crate does: a token in it counts, too.
    pub(super) fn split(&self, text: &str, mut visit: impl FnMut(usize, usize, Option<u32>)) {
        let mut from = 0;
        for found in self.automaton.find_iter(text) {
            let token = &self.tokens[found.pattern().as_usize()];
            let (mut start, mut end) = (found.start(), found.end());
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
            visit(start, end, Some(token.id));
            from = end;
        }
        if from < text.len() {
            visit(from, text.len(), None);
        }
    }
}
