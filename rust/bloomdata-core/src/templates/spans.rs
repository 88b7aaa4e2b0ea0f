//! Locates what is trained on in a rendered conversation: each answer, and the token that ends it.
//!
//! The conversation is also rendered up to each answer. The text up to the answer with the generation
//! prompt must be a prefix of the whole text, and so must the text up to and including the answer.
//! Otherwise the model would be trained on text that it never sees when it answers, and the conversation is
//! refused.
//!
//! Contents are never searched for in the text, as they may occur elsewhere, too. What the template puts
//! before and after an answer is learned from the same conversation with a marker as the answer.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::markers::{OPEN, find_marker};

/// Which answers are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainOn {
    /// All messages of the assistant.
    All,
    /// The last message of the assistant.
    Last,
    /// Each message of the assistant, in a text of its own that ends with it.
    Each,
}

/// Renders beginnings of a conversation.
pub(super) trait Prefixes {
    /// The first `count` messages, with or without the generation prompt.
    fn render(&self, count: usize, asking: bool) -> Result<String, String>;
    /// The messages up to this one, whose content is its marker.
    fn probe(&self, message: usize) -> Result<String, String>;
    /// The messages up to this one, where the contents of all others are their markers; and the same with
    /// the generation prompt in place of this message.
    fn others(&self, message: usize) -> Result<(String, String), String>;
}

/// The input for locating answers.
pub(super) struct Locator<'run> {
    /// The role of each message.
    pub(super) roles: &'run [&'run str],
    /// The rendered conversation.
    pub(super) text: &'run str,
    pub(super) prefixes: &'run dyn Prefixes,
    /// The first of these tokens after an answer ends it.
    pub(super) end_tokens: &'run [String],
    /// The answers that are trained on.
    pub(super) answers: &'run [usize],
}

impl Locator<'_> {
    /// The spans that are trained on, in order.
    ///
    /// # Errors
    /// Why they cannot be located with certainty.
    pub(super) fn spans(&self) -> Result<Vec<Range<usize>>, String> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for &message in self.answers {
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
        // Some templates fail without any messages.
        let render =
            |asking| if message == 0 { Ok(String::new()) } else { self.prefixes.render(message, asking) };
        let (before, asking) = (render(false)?, render(true)?);
        let probe = self.prefixes.probe(message)?;
        let Some(marker) = find_marker(&probe, message) else {
            return Err(format!("message {message} is not in the text verbatim"));
        };
        let start = if asking == before {
            // Without a generation prompt: all text in front of the content.
            let front = if with.starts_with(&probe[..marker.start]) {
                &probe[..marker.start]
            } else {
                probe[..marker.start].trim_end()
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
            if !probe.starts_with(&asking) || marker.start < asking.len() {
                return Err(format!("message {message} starts within its generation prompt"));
            }
            asking.len()
        };
        self.refuse_other_contents(message)?;
        let after = &probe[marker.end..];
        let closing = &after[self.end_of(after)..];
        let end = if with.len() >= start + after.len() && with.ends_with(after) {
            with.len() - closing.len()
        } else {
            // An answer with another ending, such as tool calls: all of it is trained on.
            start + with[start..].trim_end().len()
        };
        // What follows may differ: some templates put a token at the end of the whole conversation.
        if self.text.starts_with(&with[..end]) {
            return Ok(start..end);
        }
        Err(differs(message))
    }

    /// Ensures that no content of another message is within the answer or after it.
    fn refuse_other_contents(&self, message: usize) -> Result<(), String> {
        if message == 0 {
            return Ok(());
        }
        let (with, before) = self.prefixes.others(message)?;
        if with.starts_with(&before) && !with[before.len()..].contains(OPEN) {
            return Ok(());
        }
        Err(format!("content of other messages is in message {message} or after it"))
    }

    /// End of the answer in the text after its content: after the first end token, else after the last
    /// character that is not white space.
    fn end_of(&self, rest: &str) -> usize {
        let ends = self.end_tokens.iter().filter(|token| !token.is_empty());
        let found = ends.filter_map(|token| Some(rest.find(token.as_str())? + token.len())).min();
        found.unwrap_or(rest.trim_end().len())
    }
}

fn differs(message: usize) -> String {
    format!(
        "up to message {message} the conversation does not render as it does in the whole: a model would be \
         trained on text that it never sees (train_on=\"each\" makes a text for each answer, train_on=\"last\" trains on the last one only)"
    )
}

/// The answers that are trained on in one text.
pub(super) fn answers(roles: &[impl AsRef<str>], train_on: TrainOn) -> Vec<usize> {
    let mut answers: Vec<usize> =
        (0..roles.len()).filter(|&message| roles[message].as_ref() == "assistant").collect();
    if train_on != TrainOn::All {
        answers.drain(..answers.len().saturating_sub(1));
    }
    answers
}
