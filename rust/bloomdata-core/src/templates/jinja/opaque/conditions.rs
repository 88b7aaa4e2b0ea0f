//! What messages must not say for a template to treat them all alike.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use crate::conversation::is_python_space;

/// What a template asks of texts, collected while it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Queries {
    /// Whether they are true: that they are empty.
    pub(super) truth: bool,
    /// Whether two messages are the same.
    pub(super) same: bool,
    /// Whether they hold one of these.
    pub(super) holds: BTreeSet<String>,
    /// Whether they begin or end with one of these.
    pub(super) edges: BTreeSet<char>,
}

/// What must hold of all texts of a conversation so that its answers to what a template asks are those of all others.
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

    /// Whether they hold of these texts.
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

/// Whether two of them are the same.
fn has_twice(texts: &[&str]) -> bool {
    let mut seen = BTreeSet::new();
    texts.iter().any(|text| !seen.insert(*text))
}
