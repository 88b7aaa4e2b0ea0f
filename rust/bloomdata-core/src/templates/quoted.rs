//! Special tokens that messages hold as text: where they are in the rendered text.
//!
//! The conversation is rendered once more with a mark inside each of them, which a template hands on like any other
//! character. Without its marks the text has to be the one without marks: then no special token at a mark is the
//! template's own, and all others are.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use minijinja::Value;
use minijinja::value::ValueKind;

use super::chat::Chat;
use super::jinja::{JinjaInput, JinjaTemplate};
use crate::document::BadRecord;

/// A noncharacter of Unicode, which no text holds.
const MARK: char = '\u{fdd0}';

/// Finds special tokens in texts.
#[derive(Debug)]
pub struct SpecialFinder(AhoCorasick);

impl SpecialFinder {
    /// A finder of these tokens; none if there are none.
    ///
    /// # Errors
    /// More of them than can be looked for.
    pub fn new(tokens: &[String]) -> Result<Option<Self>, String> {
        if tokens.is_empty() {
            return Ok(None);
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(tokens);
        automaton.map(|automaton| Some(Self(automaton))).map_err(|error| error.to_string())
    }

    /// Where they are in a text.
    pub fn find(&self, text: &str) -> Vec<Range<usize>> {
        self.0.find_iter(text).map(|found| found.range()).collect()
    }

    /// How many there are.
    pub fn count(&self, text: &str) -> u64 {
        self.0.find_iter(text).count() as u64
    }

    /// How many there are in all that a template may write of a conversation.
    ///
    /// # Errors
    /// A message that is not JSON.
    pub fn count_in(&self, chat: &Chat<'_>) -> Result<u64, BadRecord> {
        if chat.is_plain() {
            return Ok(chat.contents.iter().flatten().map(|text| self.count(text)).sum());
        }
        let mut count = 0;
        map_input(&chat.input()?, &mut |text| {
            count += self.count(text);
            None
        });
        Ok(count)
    }

    /// Where the special tokens of messages are in a text, which a template rendered of them.
    ///
    /// # Errors
    /// A template that does not hand them on as they are.
    pub(super) fn quoted(
        &self,
        jinja: &JinjaTemplate,
        chat: &Chat<'_>,
        text: &str,
    ) -> Result<Vec<Range<usize>>, BadRecord> {
        let mut is_marked = false;
        let input = map_input(&chat.input()?, &mut |text| {
            is_marked |= text.contains(MARK);
            self.mark(text)
        });
        let marked = jinja.render(&input, false).map_err(BadRecord::Template)?;
        let (mut plain, mut marks) = (String::with_capacity(marked.len()), Vec::new());
        for part in marked.split_inclusive(MARK) {
            plain.push_str(part.trim_end_matches(MARK));
            if part.ends_with(MARK) {
                // Behind the first character of a token.
                marks.push(plain.len().saturating_sub(1)..plain.len());
            }
        }
        if is_marked || plain != text {
            let reason = "a text holds a special token, and the template does not write it as it is";
            return Err(BadRecord::Template(reason.into()));
        }
        Ok(marks)
    }

    /// A text with a mark in each token; `None` if it holds none.
    fn mark(&self, text: &str) -> Option<String> {
        let (mut marked, mut from) = (String::new(), 0);
        for found in self.0.find_iter(text) {
            let first = text[found.range()].chars().next().map_or(0, char::len_utf8);
            marked.push_str(&text[from..found.start() + first]);
            marked.push(MARK);
            from = found.start() + first;
        }
        marked.push_str(&text[from..]);
        (from > 0).then_some(marked)
    }
}

/// The input of a template with other texts: those that `map` gives, where it gives any.
fn map_input(input: &JinjaInput, map: &mut dyn FnMut(&str) -> Option<String>) -> JinjaInput {
    JinjaInput {
        messages: map_texts(&input.messages, map),
        tools: input.tools.as_ref().map(|tools| map_texts(tools, map)),
        documents: input.documents.as_ref().map(|documents| map_texts(documents, map)),
    }
}

fn map_texts(value: &Value, map: &mut dyn FnMut(&str) -> Option<String>) -> Value {
    if let Some(text) = value.as_str() {
        return map(text).map_or_else(|| value.clone(), Value::from);
    }
    match value.kind() {
        ValueKind::Seq => {
            let items = value.try_iter().into_iter().flatten();
            items.map(|item| map_texts(&item, map)).collect::<Vec<Value>>().into()
        }
        ValueKind::Map => {
            let keys = value.try_iter().into_iter().flatten();
            Value::from_pairs(keys.map(|key| {
                let item = value.get_item(&key).unwrap_or_default();
                (map_texts(&key, map), map_texts(&item, map))
            }))
        }
        _ => value.clone(),
    }
}
