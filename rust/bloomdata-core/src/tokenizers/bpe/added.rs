//! Added tokens in texts, found as the `tokenizers` crate finds them.
//!
//! Of tokens that start at one place the longest is taken. A token may ask to stand alone as a word, and to take the
//! white space on its left or right with it.

use aho_corasick::{AhoCorasick, MatchKind};

/// A token and its id, which is the crate's own: it does not believe the file.
pub(super) type AddedToken = (u32, tokenizers::AddedToken);

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
    /// More than the automaton takes, two tokens of one text, or one of none.
    pub(super) fn new(tokens: Vec<AddedToken>) -> Result<Option<Self>, String> {
        if tokens.is_empty() {
            return Ok(None);
        }
        let mut texts: Vec<&str> = tokens.iter().map(|(_, token)| token.content.as_str()).collect();
        texts.sort_unstable();
        if let Some([text, ..]) = texts.windows(2).find(|two| two[0] == two[1]) {
            return Err(format!("the added token {text:?} stands twice in it"));
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

    /// The tokens' ids, and how many bytes of a text each takes, but for white space.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (u32, usize)> {
        self.tokens.iter().map(|(id, token)| (*id, token.content.len()))
    }

    /// Visits pieces of a text in order: where each starts and ends, and its id if it is a token.
    ///
    /// White space that a token took is looked through again, as the crate does: a token in it counts, too.
    pub(super) fn split(&self, text: &str, mut visit: impl FnMut(usize, usize, Option<u32>)) {
        let mut from = 0;
        for found in self.automaton.find_iter(text) {
            let (id, token) = &self.tokens[found.pattern().as_usize()];
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
            // Where the token before took it all, nothing is left.
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
