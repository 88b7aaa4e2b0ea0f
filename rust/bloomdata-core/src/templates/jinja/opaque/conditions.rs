//! Conditions on message contents under which a template is opaque to them.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use crate::conversation::is_python_space;

/// What a template asks about contents, collected during the analysis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Queries {
    /// Whether they are blank or empty.
    pub(super) truth: bool,
    /// Whether two messages are equal.
    pub(super) same: bool,
    /// Whether they contain one of these texts.
    pub(super) holds: BTreeSet<String>,
    /// Whether they start or end with one of these characters.
    pub(super) edges: BTreeSet<char>,
}

/// Conditions under which every query about contents has the answer that the analysis assumes.
#[derive(Debug)]
pub(in crate::templates) struct Conditions {
    queries: Queries,
    holds: Option<AhoCorasick>,
}

impl Conditions {
    pub(super) fn new(queries: Queries) -> Result<Self, String> {
        let holds = if queries.holds.is_empty() {
            None
        } else {
            Some(AhoCorasick::new(&queries.holds).map_err(|error| error.to_string())?)
        };
        Ok(Self { queries, holds })
    }

    /// Whether the conditions hold for all contents of a conversation.
    pub(in crate::templates) fn hold(&self, texts: &[&str]) -> bool {
        texts.iter().all(|text| self.hold_of(text)) && !(self.queries.same && has_twice(texts))
    }

    fn hold_of(&self, text: &str) -> bool {
        let is_edge =
            |letter: Option<char>| letter.is_some_and(|letter| self.queries.edges.contains(&letter));
        !(self.queries.truth && text.chars().all(is_python_space))
            && (self.queries.edges.is_empty()
                || !is_edge(text.chars().next()) && !is_edge(text.chars().next_back()))
            && !self.holds.as_ref().is_some_and(|holds| holds.is_match(text))
    }
}

/// Whether two contents are equal.
fn has_twice(texts: &[&str]) -> bool {
    let mut seen = BTreeSet::new();
    texts.iter().any(|text| !seen.insert(*text))
}
