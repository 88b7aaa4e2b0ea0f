//! A conversation as input for templates, from a record or from the reader of a source.

use std::borrow::Cow;
use std::collections::BTreeMap;

use minijinja::value::Value;
use serde_json::value::RawValue;

use super::jinja::{JinjaInput, value_of};
use super::message::{self, Content, Message, MessageKeys, keys_of};
use crate::conversation::Conversation;
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, extract_raw, malformed};
use crate::switches::{self, KEYS};

/// Unicode noncharacters that serve as markers while templates are probed.
const RESERVED: [char; 4] = ['\u{fdd1}', '\u{fdd2}', '\u{fdd3}', '\u{fdd4}'];

/// The messages of a conversation.
#[derive(Debug)]
pub struct Chat<'record> {
    /// The role of each message.
    pub roles: Vec<Cow<'record, str>>,
    /// The text of each message; `None` if the content is something else, such as a list of parts.
    pub contents: Vec<Option<Cow<'record, str>>>,
    /// Whether the role precedes the text in every message, as in [`messages_of`].
    is_in_order: bool,
    /// Messages that have not exactly a role and a content.
    num_wide: usize,
    /// The same, but for switches.
    num_wide_beside_switches: usize,
    /// Which messages are trained on, if any answer is switched off.
    mask: Option<Vec<bool>>,
    /// Switches of the record and their JSON.
    switches: Vec<(&'record str, &'record str)>,
    /// Messages that call tools, have switches, or whose content is no text.
    odd: Vec<Odd<'record>>,
    /// Whether a content is another one than in the record.
    is_replaced: bool,
    /// Keys of the messages, unless they are the usual ones.
    keys: Option<MessageKeys>,
    source: Source<'record>,
}

/// What a message holds besides a text, or in place of one.
#[derive(Debug)]
struct Odd<'record> {
    number: usize,
    is_text: bool,
    /// The JSON of a content that is no text; `None` if there is none.
    content: Option<&'record str>,
    has_calls: bool,
    switch: Result<Option<bool>, String>,
}

#[derive(Debug)]
enum Source<'record> {
    Record { messages: &'record str, tools: Option<&'record str>, documents: Option<&'record str> },
    Conversation { tools: Option<&'record str>, documents: Option<&'record str> },
}

/// Where a record holds its messages, tools and documents, and a message its role and its content.
#[derive(Debug)]
pub struct ChatKeys {
    /// Messages, tools, documents, and switches.
    record: Vec<FieldPath>,
    message: MessageKeys,
}

impl ChatKeys {
    /// With the messages at this path; `tools` and `documents` are keys of the record itself.
    pub fn new(messages: FieldPath, message: MessageKeys) -> Self {
        let others = ["tools", "documents"].into_iter().chain(KEYS).map(FieldPath::of_key);
        Self { record: std::iter::once(messages).chain(others).collect(), message }
    }
}

impl<'record> Chat<'record> {
    /// The messages of a record: an object with a list of them, and optionally `tools` and `documents`.
    ///
    /// # Errors
    /// Why the record is not a conversation.
    pub fn parse(record: &'record str, keys: &'record ChatKeys) -> Result<Self, BadRecord> {
        let found = extract_raw(record, &keys.record)?;
        let at = |place: usize| found.get(place).copied().flatten().filter(|raw| *raw != "null");
        let [messages, tools, documents] = [0, 1, 2].map(at);
        let switches = (3..found.len()).filter_map(|place| Some((keys.record[place].name(), at(place)?)));
        let messages = messages.ok_or_else(|| BadRecord::MissingField(keys.record[0].name().to_owned()))?;
        let mut chat = Self {
            roles: Vec::new(),
            contents: Vec::new(),
            is_in_order: true,
            num_wide: 0,
            num_wide_beside_switches: 0,
            mask: None,
            switches: switches.collect(),
            odd: Vec::new(),
            is_replaced: false,
            keys: (keys.message != MessageKeys::default()).then(|| keys.message.clone()),
            source: Source::Record { messages, tools, documents },
        };
        // Parses all messages at once; on any error parses them one by one, to report which is wrong.
        match message::messages(messages, &keys.message) {
            Ok(all) if !all.is_empty() => {
                chat.roles.reserve_exact(all.len());
                chat.contents.reserve_exact(all.len());
                all.into_iter().enumerate().try_for_each(|(number, message)| chat.push(number, message))?;
            }
            _ => chat.read_one_by_one(messages, keys)?,
        }
        Ok(chat)
    }

    fn read_one_by_one(&mut self, messages: &'record str, keys: &ChatKeys) -> Result<(), BadRecord> {
        if !messages.starts_with('[') {
            let name = keys.record[0].name();
            return Err(BadRecord::WrongForm(format!("{name:?}: expected a list of messages")));
        }
        let messages = list(messages)?;
        if messages.is_empty() {
            return Err(BadRecord::WrongForm("a conversation without messages".into()));
        }
        for (number, raw) in messages.into_iter().enumerate() {
            let bad = |what: &str| Err(BadRecord::WrongForm(format!("message {number}{what}")));
            if !raw.starts_with('{') {
                return bad(": expected an object");
            }
            match message::message(raw, &keys.message) {
                Ok(message) => self.push(number, message)?,
                Err(error) => return bad(&format!(" cannot be read: {error}")),
            }
        }
        Ok(())
    }

    fn push(&mut self, number: usize, message: Message<'record>) -> Result<(), BadRecord> {
        let Some(role) = message.role else {
            return Err(self.lacks(number, "role"));
        };
        let is_wide = |fields: usize| fields != 2 || matches!(message.content, Content::Missing);
        self.num_wide += usize::from(is_wide(message.num_fields));
        self.num_wide_beside_switches += usize::from(is_wide(message.num_fields - message.num_switches));
        let (content, raw) = match message.content {
            Content::Text(text) => (Some(text), None),
            Content::Missing => (None, None),
            Content::Other(raw) => (None, Some(raw)),
        };
        if content.is_none() || message.has_calls || message.num_switches > 0 {
            let (is_text, has_calls, switch) = (content.is_some(), message.has_calls, message.switch);
            self.odd.push(Odd { number, is_text, content: raw, has_calls, switch });
        }
        self.is_in_order &= message.is_in_order;
        self.roles.push(role);
        self.contents.push(content);
        Ok(())
    }

    /// Messages without a text: the number of each, the JSON of its content, and whether it calls tools.
    pub(super) fn without_text(&self) -> Vec<(usize, Option<&'record str>, bool)> {
        let odd = self.odd.iter().filter(|odd| !odd.is_text);
        odd.map(|odd| (odd.number, odd.content, odd.has_calls)).collect()
    }

    /// Messages that call tools, and their JSON.
    ///
    /// # Errors
    /// Malformed JSON.
    pub(super) fn calling(&self) -> Result<Vec<(usize, &'record str)>, BadRecord> {
        let Source::Record { messages, .. } = self.source else { return Ok(Vec::new()) };
        if !self.odd.iter().any(|odd| odd.has_calls) {
            return Ok(Vec::new());
        }
        let messages = list(messages)?;
        let calling = self.odd.iter().filter(|odd| odd.has_calls);
        Ok(calling.filter_map(|odd| Some((odd.number, *messages.get(odd.number)?))).collect())
    }

    /// Puts a text in place of a content that is none, or takes it back.
    pub(super) fn replace(&mut self, number: usize, text: Option<String>) {
        self.contents[number] = text.map(Cow::Owned);
        self.is_replaced = true;
    }

    /// Lets the switches of the record decide what is trained on; templates no longer see those of messages.
    ///
    /// # Errors
    /// A switch that is not understood, or that cannot be obeyed.
    pub(super) fn obey_switches(&mut self) -> Result<(), BadRecord> {
        if self.switches.is_empty() && self.num_wide == self.num_wide_beside_switches && self.odd.is_empty() {
            return Ok(());
        }
        let mut states = vec![None; self.roles.len()];
        for odd in &self.odd {
            let told = |reason: &String| BadRecord::WrongForm(format!("message {}: {reason}", odd.number));
            states[odd.number] = *odd.switch.as_ref().map_err(told)?;
        }
        let is_answer: Vec<bool> = self.roles.iter().map(|role| role == "assistant").collect();
        self.mask = switches::mask(&is_answer, states, &self.switches).map_err(BadRecord::WrongForm)?;
        self.num_wide = self.num_wide_beside_switches;
        Ok(())
    }

    /// Whether an answer is trained on, as far as switches decide.
    pub(super) fn trains(&self, message: usize) -> bool {
        self.mask.as_ref().is_none_or(|mask| mask[message])
    }

    /// Which messages are trained on, if any answer is switched off.
    pub fn mask(&self) -> Option<&[bool]> {
        self.mask.as_deref()
    }

    /// Answers that switches leave out.
    pub fn num_switched_off(&self) -> usize {
        let Some(mask) = &self.mask else { return 0 };
        self.roles.iter().zip(mask).filter(|(role, trains)| *role == "assistant" && !**trains).count()
    }

    /// Gives a message another role.
    pub(super) fn rename(&mut self, number: usize, role: &'static str) {
        self.roles[number] = role.into();
        self.is_replaced = true;
    }

    /// Whether every message has exactly a role and a text, whatever is beside the messages.
    pub(super) fn has_plain_messages(&self) -> bool {
        self.num_wide == 0 && self.contents.iter().all(Option::is_some)
    }

    /// Whether, besides, there are no tools or documents.
    pub(super) fn is_plain(&self) -> bool {
        self.raw_beside() == (None, None) && self.has_plain_messages()
    }

    /// Refuses a message that says nothing and calls no tools either; `content` is its JSON.
    pub(super) fn says_nothing(&self, number: usize, content: Option<&str>) -> BadRecord {
        match content {
            None => self.lacks(number, "content"),
            Some(raw) => BadRecord::WrongForm(format!(
                "message {number}: content is {}: expected a text, or calls of tools beside it",
                if raw == "null" { "null" } else { "an empty list" }
            )),
        }
    }

    /// A message without a field that it needs.
    fn lacks(&self, number: usize, field: &str) -> BadRecord {
        let keys = self.keys.clone().unwrap_or_default();
        let key = if field == "role" { keys.role } else { keys.content };
        let raw = match self.source {
            Source::Record { messages, .. } => list(messages).unwrap_or_default().get(number).copied(),
            Source::Conversation { .. } => None,
        };
        let found = raw.map_or_else(|| "none".into(), keys_of);
        BadRecord::WrongForm(format!(
            "message {number} has no {field}: expected a text under the key {key:?} ({field}_keyword), found the keys {found}"
        ))
    }

    /// The conversation that a source's reader made of a record.
    pub fn of(conversation: &'record Conversation) -> Self {
        let messages = &conversation.messages;
        Self {
            roles: messages.iter().map(|message| message.role.name().into()).collect(),
            contents: messages.iter().map(|message| Some(message.content.as_str().into())).collect(),
            mask: messages
                .iter()
                .any(|message| !message.trains)
                .then(|| messages.iter().map(|message| message.trains).collect()),
            is_in_order: true,
            num_wide: 0,
            num_wide_beside_switches: 0,
            switches: Vec::new(),
            odd: Vec::new(),
            is_replaced: false,
            keys: None,
            source: Source::Conversation { tools: None, documents: None },
        }
    }

    /// Messages of a role and a text each, with the JSON of tools and documents; `None` if there are no
    /// messages.
    pub fn plain(
        messages: Vec<(&'record str, &'record str)>,
        tools: Option<&'record str>,
        documents: Option<&'record str>,
    ) -> Option<Self> {
        let (roles, contents): (Vec<_>, Vec<_>) =
            messages.into_iter().map(|(role, content)| (role.into(), Some(content.into()))).unzip();
        let source = Source::Conversation { tools, documents };
        (!roles.is_empty()).then_some(Self {
            roles,
            contents,
            is_in_order: true,
            num_wide: 0,
            num_wide_beside_switches: 0,
            mask: None,
            switches: Vec::new(),
            odd: Vec::new(),
            is_replaced: false,
            keys: None,
            source,
        })
    }

    /// The input for Jinja templates.
    ///
    /// # Errors
    /// A message that is not JSON.
    pub fn input(&self) -> Result<JinjaInput, BadRecord> {
        self.input_with(&BTreeMap::new())
    }

    /// The same with the JSON of some messages replaced.
    ///
    /// # Errors
    /// As [`Chat::input`].
    pub(super) fn input_with(&self, others: &BTreeMap<usize, String>) -> Result<JinjaInput, BadRecord> {
        if self.is_in_order && self.is_plain() {
            return Ok(self.plain_input());
        }
        match &self.source {
            Source::Record { messages, .. } => {
                let (tools, documents) = self.beside()?;
                let messages = list(messages)?.into_iter().enumerate();
                let messages = messages.map(|(number, raw)| {
                    self.message(number, others.get(&number).map_or(raw, String::as_str))
                });
                let messages = messages.collect::<Result<Vec<_>, _>>()?.into();
                Ok(JinjaInput { messages, tools, documents })
            }
            Source::Conversation { .. } => {
                let (tools, documents) = self.beside()?;
                Ok(JinjaInput { tools, documents, ..self.plain_input() })
            }
        }
    }

    /// A message as templates take it: its keys have the usual names, its content is the text that replaces it.
    fn message(&self, number: usize, raw: &str) -> Result<Value, BadRecord> {
        let given = value(raw)?;
        if self.keys.is_none() && !self.is_replaced {
            return Ok(given);
        }
        let usual = MessageKeys::default();
        let keys = self.keys.as_ref().unwrap_or(&usual);
        let bad = |error: minijinja::Error| BadRecord::Template(error.to_string());
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        let text = self.contents[number].as_deref();
        let mut has_content = false;
        for key in given.try_iter().map_err(bad)? {
            let item = given.get_item(&key).map_err(bad)?;
            match key.as_str() {
                Some(name) if name == keys.role => {
                    let role = Value::from(&*self.roles[number]);
                    pairs.push(("role".into(), if self.is_replaced { role } else { item }));
                }
                Some(name) if name == keys.content => {
                    has_content = true;
                    pairs.push(("content".into(), text.map_or(item, Value::from)));
                }
                // Other keys must not take the place of these two.
                Some("role" | "content") => {}
                _ => pairs.push((key, item)),
            }
        }
        if let (false, Some(text)) = (has_content, text) {
            pairs.push(("content".into(), text.into()));
        }
        Ok(Value::from_pairs(pairs))
    }

    /// The JSON of tools and documents.
    pub(super) fn raw_beside(&self) -> (Option<&'record str>, Option<&'record str>) {
        match self.source {
            Source::Record { tools, documents, .. } | Source::Conversation { tools, documents } => {
                (tools, documents)
            }
        }
    }

    /// Tools and documents as template values.
    ///
    /// # Errors
    /// Malformed JSON.
    pub(super) fn beside(&self) -> Result<(Option<Value>, Option<Value>), BadRecord> {
        let (tools, documents) = self.raw_beside();
        Ok((tools.map(value).transpose()?, documents.map(value).transpose()?))
    }

    fn plain_input(&self) -> JinjaInput {
        let texts = self.contents.iter().map(|content| content.as_deref().unwrap_or_default());
        let roles = self.roles.iter().map(AsRef::as_ref);
        JinjaInput { messages: messages_of(roles.zip(texts)), tools: None, documents: None }
    }

    /// Whether a role or a text contains a reserved character.
    pub(super) fn contains_reserved(&self) -> bool {
        // The first byte of all reserved characters.
        let holds = |text: &str| memchr::memchr(0xef, text.as_bytes()).is_some() && text.contains(RESERVED);
        self.roles.iter().chain(self.contents.iter().flatten()).any(|text| holds(text))
    }

    /// All contents; `None` unless all are texts.
    pub fn texts(&self) -> Option<Vec<&str>> {
        self.contents.iter().map(|content| content.as_deref()).collect()
    }
}

fn value(raw: &str) -> Result<Value, BadRecord> {
    value_of(raw).map_err(|error| malformed(&error))
}

/// The JSON of each element of a list.
fn list(raw: &str) -> Result<Vec<&str>, BadRecord> {
    let list: Vec<&RawValue> = serde_json::from_str(raw).map_err(|error| malformed(&error))?;
    Ok(list.into_iter().map(RawValue::get).collect())
}

/// Messages of a role and a text each, as a template value.
pub fn messages_of<'text>(messages: impl Iterator<Item = (&'text str, &'text str)>) -> Value {
    let message =
        |(role, content)| Value::from_pairs([("role", Value::from(role)), ("content", Value::from(content))]);
    messages.map(message).collect::<Vec<Value>>().into()
}
