//! What a record of a conversation says beside roles and texts: calls of tools, thoughts, switches, its system's text.

use std::borrow::Cow;

use super::message::{Content, Message};
use crate::document::BadRecord;
use crate::json_fields::{Given, is_empty};
use crate::switches;

/// A message that holds more than a text, or something in place of one.
#[derive(Debug)]
struct Odd<'record> {
    number: usize,
    is_text: bool,
    /// The JSON of a content that is not a string; `None` if the message has no content.
    content: Option<&'record str>,
    has_calls: bool,
    thought: Option<&'static str>,
    switch: Result<Option<bool>, String>,
}

/// What is found in a record.
#[derive(Debug, Default)]
pub(super) struct Facts<'record> {
    odd: Vec<Odd<'record>>,
    /// Messages that have not exactly a role and a content.
    num_wide: usize,
    /// The same, but for switches.
    num_wide_beside_switches: usize,
    /// Which messages are trained on, if any answer is switched off.
    mask: Option<Vec<bool>>,
    /// Switches of the record.
    switches: Vec<Given<'record>>,
    /// What it says beside its messages: texts of its system, and what templates do not know.
    context: Vec<Given<'record>>,
    /// Keys that may be lost.
    ignored: &'record [String],
}

impl<'record> Facts<'record> {
    /// Of a record with these keys beside its messages, tools and documents.
    pub(super) fn new(given: Vec<Given<'record>>, ignored: &'record [String]) -> Self {
        let (switches, context) = switches::parted(given);
        Self { switches, context, ignored, ..Self::default() }
    }

    /// Of a conversation whose answers are trained on where this says so.
    pub(super) fn of(trains: impl Iterator<Item = bool> + Clone) -> Self {
        let has_off = trains.clone().any(|trains| !trains);
        Self { mask: has_off.then(|| trains.collect()), ..Self::default() }
    }

    /// Takes note of the next message; its text, if it has one.
    pub(super) fn note(&mut self, number: usize, message: Message<'record>) -> Option<Cow<'record, str>> {
        let is_wide = |fields: usize| fields != 2 || matches!(message.content, Content::Missing);
        self.num_wide += usize::from(is_wide(message.num_fields));
        self.num_wide_beside_switches += usize::from(is_wide(message.num_fields - message.num_switches));
        let (text, raw) = match message.content {
            Content::Text(text) => (Some(text), None),
            Content::Missing => (None, None),
            Content::Other(raw) => (None, Some(raw)),
        };
        let Message { has_calls, switch, thought, num_switches, .. } = message;
        if text.is_none() || has_calls || num_switches > 0 || thought.is_some() {
            self.odd.push(Odd { number, is_text: text.is_some(), content: raw, has_calls, thought, switch });
        }
        text
    }

    /// Whether every message has exactly a role and a content.
    pub(super) fn is_plain(&self) -> bool {
        self.num_wide == 0
    }

    /// Messages without a text: the number of each, the JSON of its content, and whether it calls tools.
    pub(super) fn without_text(&self) -> Vec<(usize, Option<&'record str>, bool)> {
        let odd = self.odd.iter().filter(|odd| !odd.is_text);
        odd.map(|odd| (odd.number, odd.content, odd.has_calls)).collect()
    }

    /// Messages that call tools.
    pub(super) fn calling(&self) -> Vec<usize> {
        self.odd.iter().filter(|odd| odd.has_calls).map(|odd| odd.number).collect()
    }

    /// Messages that hold what the model thinks, and under which key.
    pub(super) fn thoughts(&self) -> Vec<(usize, &'static str)> {
        self.odd.iter().filter_map(|odd| Some((odd.number, odd.thought?))).collect()
    }

    /// What the record says beside its messages, except for what may be lost.
    pub(super) fn context(&self) -> Vec<Given<'record>> {
        let given = self.context.iter().copied();
        given.filter(|(key, raw)| !is_empty(raw) && !self.ignores(key)).collect()
    }

    /// Whether a key may be lost.
    pub(super) fn ignores(&self, key: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored == key)
    }

    /// Lets switches decide what is trained on; templates no longer see those of messages.
    ///
    /// # Errors
    /// A switch that is not understood, or that cannot be obeyed.
    pub(super) fn obey_switches(&mut self, roles: &[Cow<'_, str>]) -> Result<(), BadRecord> {
        if self.switches.is_empty() && self.odd.is_empty() {
            return Ok(());
        }
        let mut states = vec![None; roles.len()];
        for odd in &self.odd {
            let told = |reason: &String| BadRecord::WrongForm(format!("message {}: {reason}", odd.number));
            states[odd.number] = *odd.switch.as_ref().map_err(told)?;
        }
        let is_answer: Vec<bool> = roles.iter().map(|role| role == "assistant").collect();
        self.mask = switches::mask(&is_answer, states, &self.switches).map_err(BadRecord::WrongForm)?;
        self.num_wide = self.num_wide_beside_switches;
        Ok(())
    }

    /// Which messages are trained on, if any answer is switched off.
    pub(super) fn mask(&self) -> Option<&[bool]> {
        self.mask.as_deref()
    }

    /// Only the first `count` messages are left. They count as wide if any of all messages was: that takes longer, but
    /// renders the same text.
    pub(super) fn truncate(&mut self, count: usize) {
        self.odd.retain(|odd| odd.number < count);
        if let Some(mask) = &mut self.mask {
            mask.truncate(count);
        }
    }

    /// There is another message in front of all.
    pub(super) fn shift(&mut self) {
        if let Some(mask) = &mut self.mask {
            mask.insert(0, false);
        }
    }
}
