//! Which part of a rendered conversation is trained on: what the model is to say, and the token that ends it.
//!
//! Known by rendering the conversation up to each answer: the text up to there with the prompt for an answer must be
//! how the whole text begins, and so must the text up to and with the answer. A template for which this does not hold
//! would train on text that no model ever sees when it answers; it is refused.
//!
//! Nothing is ever looked up by what a message says, which may stand elsewhere, too: what the template puts in front
//! of an answer and behind it is learned from the same conversation whose answer is a mark.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::markers::{OPEN, find_marker};

/// Which answers are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainOn {
    /// All messages of the assistant.
    All,
    /// The last one.
    Last,
}

/// A conversation up to an answer, in several ways.
pub(super) trait Prefixes {
    /// The first messages, so many, with or without the prompt for an answer.
    fn render(&self, count: usize, asking: bool) -> Result<String, String>;
    /// The messages up to this one, which says nothing but its mark.
    fn probe(&self, message: usize) -> Result<String, String>;
    /// The messages up to this one, in which all others say nothing but their marks; and with the prompt in its place.
    fn strangers(&self, message: usize) -> Result<(String, String), String>;
}

/// How to find out.
pub(super) struct Question<'run> {
    /// The role of each message.
    pub(super) roles: &'run [&'run str],
    /// The whole text.
    pub(super) text: &'run str,
    pub(super) prefixes: &'run dyn Prefixes,
    /// Tokens of which the first behind an answer ends it.
    pub(super) end_tokens: &'run [String],
    pub(super) train_on: TrainOn,
}

impl Question<'_> {
    /// The parts that are trained on, in order.
    ///
    /// # Errors
    /// Why that cannot be said for sure.
    pub(super) fn spans(&self) -> Result<Vec<Range<usize>>, String> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for message in asked(self.roles, self.train_on) {
            let span = self.span(message)?;
            if span.start < spans.last().map_or(0, |last| last.end) {
                return Err(format!("message {message} overlaps the answer before it"));
            }
            spans.push(span);
        }
        Ok(spans)
    }

    fn span(&self, message: usize) -> Result<Range<usize>, String> {
        let is_last = message + 1 == self.roles.len();
        let with = if is_last { self.text.to_owned() } else { self.prefixes.render(message + 1, false)? };
        // Some templates object to having no message at all.
        let render =
            |asking| if message == 0 { Ok(String::new()) } else { self.prefixes.render(message, asking) };
        let (before, asking) = (render(false)?, render(true)?);
        let probe = self.prefixes.probe(message)?;
        let Some(mark) = find_marker(&probe, message) else {
            return Err(format!("message {message} is not in the text verbatim"));
        };
        let start = if asking == before {
            // Without a prompt, all that stands in front of what is said.
            let front = if with.starts_with(&probe[..mark.start]) {
                &probe[..mark.start]
            } else {
                probe[..mark.start].trim_end()
            };
            if !front.starts_with(&before) {
                return Err(differs(message));
            }
            if !with.starts_with(front) {
                return Err(format!("the text in front of message {message} depends on its content"));
            }
            front.len()
        } else {
            if !with.starts_with(&asking) {
                return Err(format!(
                    "the generation prompt for message {message} is not the text in front of it"
                ));
            }
            if !probe.starts_with(&asking) || mark.start < asking.len() {
                return Err(format!("message {message} starts within its generation prompt"));
            }
            asking.len()
        };
        self.refuse_strangers(message)?;
        let behind = &probe[mark.end..];
        let closing = &behind[self.end_of(behind)..];
        let end = if with.len() >= start + behind.len() && with.ends_with(behind) {
            with.len() - closing.len()
        } else {
            // It ends otherwise, as calls of tools do: all of it.
            start + with[start..].trim_end().len()
        };
        // What follows may differ: some templates end the whole conversation with a token of its own.
        if self.text.starts_with(&with[..end]) {
            return Ok(start..end);
        }
        Err(differs(message))
    }

    /// Nothing that another message says may stand where the answer does.
    fn refuse_strangers(&self, message: usize) -> Result<(), String> {
        if message == 0 {
            return Ok(());
        }
        let (with, before) = self.prefixes.strangers(message)?;
        if with.starts_with(&before) && !with[before.len()..].contains(OPEN) {
            return Ok(());
        }
        Err(format!("content of other messages is in message {message} or after it"))
    }

    /// Where an answer ends in the text behind its content: with the first token that ends, else with the last letter.
    fn end_of(&self, rest: &str) -> usize {
        let ends = self.end_tokens.iter().filter(|token| !token.is_empty());
        let found = ends.filter_map(|token| Some(rest.find(token.as_str())? + token.len())).min();
        found.unwrap_or(rest.trim_end().len())
    }
}

fn differs(message: usize) -> String {
    format!(
        "up to message {message} the conversation does not render as it does in the whole: a model would be \
         trained on text that it never sees (train_on=\"last\" trains on the last answer only)"
    )
}

/// The answers that are trained on.
pub(super) fn asked(roles: &[impl AsRef<str>], train_on: TrainOn) -> Vec<usize> {
    let mut answers: Vec<usize> =
        (0..roles.len()).filter(|&message| roles[message].as_ref() == "assistant").collect();
    if train_on == TrainOn::Last {
        answers.drain(..answers.len().saturating_sub(1));
    }
    answers
}
