//! Which part of a rendered conversation is trained on: what the model is to say, and the token that ends it.
//!
//! Known by rendering the conversation up to each answer: the text up to there with the prompt for an answer must be
//! how the whole text begins, and so must the text up to and with the answer. A template for which this does not hold
//! would train on text that no model ever sees when it answers; it is refused.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Which answers are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainOn {
    /// All messages of the assistant.
    All,
    /// The last one.
    Last,
}

/// How to find out.
pub(super) struct Question<'run> {
    /// The role of each message.
    pub(super) roles: &'run [&'run str],
    /// The whole text.
    pub(super) text: &'run str,
    /// Renders the first messages, so many, with or without the prompt for an answer.
    pub(super) render: &'run dyn Fn(usize, bool) -> Result<String, String>,
    /// Where the content of a message stands in the part of the text that is its own.
    pub(super) locate: &'run dyn Fn(usize, &str) -> Option<Range<usize>>,
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
        let answers: Vec<usize> =
            (0..self.roles.len()).filter(|&message| self.roles[message] == "assistant").collect();
        let asked = match self.train_on {
            TrainOn::All => &answers[..],
            TrainOn::Last => &answers[answers.len().saturating_sub(1)..],
        };
        let mut spans: Vec<Range<usize>> = Vec::with_capacity(asked.len());
        for &message in asked {
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
        let with = if is_last { self.text.to_owned() } else { (self.render)(message + 1, false)? };
        // Some templates object to having no message at all.
        let before = if message == 0 { String::new() } else { (self.render)(message, false)? };
        let asking = if message == 0 { before.clone() } else { (self.render)(message, true)? };
        let own = if self.text.starts_with(&before) { before.len() } else { 0 };
        let content = (self.locate)(message, &with[own..]).map(|at| own + at.start..own + at.end);
        let has_prompt = asking != before;
        if has_prompt && !with.starts_with(&asking) {
            return Err(format!("what asks for message {message} is not what stands in front of it"));
        }
        let start = match (&content, has_prompt) {
            (Some(content), true) if content.start < asking.len() => {
                return Err(format!("message {message} begins in front of what asks for it"));
            }
            (_, true) => asking.len(),
            (Some(content), false) => content.start,
            (None, false) => return Err(format!("message {message} is not in the text as it was given")),
        };
        let after = content.map_or(start, |content| content.end);
        let end = after + self.end_of(&with[after..]);
        // What follows may differ: some templates end the whole conversation with a token of its own.
        if self.text.starts_with(&with[..end]) {
            return Ok(start..end);
        }
        Err(format!(
            "up to message {message} the conversation does not render as it does in the whole: a model would be \
             trained on text that it never sees (train_on=\"last\" trains on the last answer only)"
        ))
    }

    /// Where an answer ends in the text behind its content: with the first token that ends, else with the last letter.
    fn end_of(&self, rest: &str) -> usize {
        let ends = self.end_tokens.iter().filter(|token| !token.is_empty());
        let found = ends.filter_map(|token| Some(rest.find(token.as_str())? + token.len())).min();
        found.unwrap_or(rest.trim_end().len())
    }
}
