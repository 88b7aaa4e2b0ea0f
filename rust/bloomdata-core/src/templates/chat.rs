//! A conversation as input for templates, from a record or from the reader of a source.

use std::borrow::Cow;
use std::collections::BTreeMap;

use minijinja::value::Value;
use serde_json::value::RawValue;

use super::chat_facts::Facts;
pub use super::chat_keys::ChatKeys;
use super::chat_keys::{DOCUMENTS, named};
use super::jinja::{JinjaInput, value_of};
use super::message::{self, Message, MessageKeys, keys_of};
use super::tool_arguments::{ToolArguments, parsed};
use crate::conversation::Conversation;
use crate::document::{BadRecord, JsonFault};
use crate::json_faults::fault;
use crate::json_fields::{elements_of, extract_raw_and, holds_something, is_empty, malformed_value};
use crate::key_log::KeyLog;

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
    pub(super) facts: Facts<'record>,
    /// Whether a role or a content is another one than in the record.
    is_replaced: bool,
    /// Whether the first message is the text of the record's system.
    has_system: bool,
    /// Tools that were a list in a string.
    parsed_tools: Option<String>,
    /// Messages whose calls had arguments that were an object in a string, by number in the record.
    parsed_calls: BTreeMap<usize, String>,
    /// Keys of the messages, unless they are the usual ones.
    keys: Option<MessageKeys>,
    source: Source<'record>,
}

#[derive(Debug)]
enum Source<'record> {
    Record { messages: &'record str, tools: Option<&'record str>, documents: Option<&'record str> },
    Conversation { tools: Option<&'record str>, documents: Option<&'record str> },
}

impl<'record> Chat<'record> {
    /// The messages of a record: an object with a list of them, and optionally `tools` and `documents`. Notes the keys
    /// that only a template might read: those of messages, and `documents`.
    ///
    /// # Errors
    /// Why the record is not a conversation.
    pub fn parse(
        record: &'record str,
        keys: &'record ChatKeys,
        log: &mut KeyLog<'_>,
    ) -> Result<Self, BadRecord> {
        let (found, given) = extract_raw_and(record, &keys.record, named, Some(log))?;
        let [messages, tools, documents] = <[_; 3]>::try_from(found)
            .map_err(|_| BadRecord::NotAnObject("something else"))?
            .map(|raw: Option<&str>| raw.filter(|raw| *raw != "null"));
        if documents.is_some_and(holds_something) {
            log.note(DOCUMENTS.as_bytes(), true);
        }
        let messages = messages.ok_or_else(|| BadRecord::MissingField(keys.record[0].name().to_owned()))?;
        let mut chat = Self {
            facts: Facts::new(given, &keys.ignored),
            keys: (keys.message != MessageKeys::default()).then(|| keys.message.clone()),
            ..Self::new(Source::Record { messages, tools, documents })
        };
        // Parses all messages at once; on any error parses them one by one, to report which is wrong.
        match message::messages(messages, &keys.message) {
            Ok(all) if !all.is_empty() => {
                chat.roles.reserve_exact(all.len());
                chat.contents.reserve_exact(all.len());
                log.inside(&keys.list, |log| {
                    let mut all = all.into_iter().enumerate();
                    all.try_for_each(|(number, message)| chat.push(number, message, log))
                })?;
            }
            _ => log.inside(&keys.list, |log| chat.read_one_by_one(messages, keys, log))?,
        }
        if keys.tool_arguments == ToolArguments::Parsed {
            chat.parse_arguments()?;
        }
        Ok(chat)
    }

    /// Takes arguments of tools that are JSON in a text as objects; the place of the first one, if there is any.
    ///
    /// # Errors
    /// A text that is not the JSON of an object.
    pub(super) fn parse_arguments(&mut self) -> Result<Option<String>, BadRecord> {
        let (mut all, mut first) = (BTreeMap::new(), None);
        for (number, raw) in self.calling()? {
            if let Some((place, json)) = parsed(raw, &format!("messages[{number}]"))? {
                first.get_or_insert(place);
                all.insert(number, json);
            }
        }
        self.parsed_calls.append(&mut all);
        Ok(first)
    }

    fn read_one_by_one(
        &mut self,
        messages: &'record str,
        keys: &ChatKeys,
        log: &mut KeyLog<'_>,
    ) -> Result<(), BadRecord> {
        if !messages.starts_with('[') {
            let name = keys.record[0].name();
            return Err(BadRecord::WrongForm(format!("{name:?}: expected a list of messages")));
        }
        let messages = elements_of(messages)?;
        if messages.is_empty() {
            return Err(BadRecord::WrongForm("a conversation without messages".into()));
        }
        for (number, raw) in messages.into_iter().enumerate() {
            let bad = |what: &str| Err(BadRecord::WrongForm(format!("message {number}{what}")));
            if !raw.starts_with('{') {
                return bad(": expected an object");
            }
            match message::message(raw, &keys.message) {
                Ok(message) => self.push(number, message, log)?,
                Err(error) if fault(raw).is_some() => return Err(malformed_value(raw, &error)),
                Err(error) => return bad(&format!(" cannot be read: {}", JsonFault::from(&error).reason)),
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        number: usize,
        mut message: Message<'record>,
        log: &mut KeyLog<'_>,
    ) -> Result<(), BadRecord> {
        if !message.others.is_empty() {
            log.open();
            message.others.iter().for_each(|(key, holds)| log.note(key.as_bytes(), *holds));
        }
        let Some(role) = message.role.take() else {
            return Err(self.lacks(number, "role"));
        };
        self.is_in_order &= message.is_in_order;
        self.roles.push(role);
        self.contents.push(self.facts.note(number, message));
        Ok(())
    }

    /// Messages that call tools, and their JSON.
    ///
    /// # Errors
    /// Malformed JSON.
    pub(super) fn calling(&self) -> Result<Vec<(usize, &str)>, BadRecord> {
        let Source::Record { messages, .. } = self.source else { return Ok(Vec::new()) };
        let calling = self.facts.calling();
        if calling.is_empty() {
            return Ok(Vec::new());
        }
        let messages = elements_of(messages)?;
        let message = |number: usize| {
            let parsed = self.parsed_calls.get(&number).map(String::as_str);
            Some((number, parsed.or_else(|| messages.get(number).copied())?))
        };
        Ok(calling.into_iter().filter_map(message).collect())
    }

    /// Puts a text in place of a content that is not a string; `None` takes it back.
    pub(super) fn replace(&mut self, number: usize, text: Option<String>) {
        self.contents[number] = text.map(Cow::Owned);
        self.is_replaced = true;
    }

    /// Lets switches decide what is trained on.
    ///
    /// # Errors
    /// A switch that is not understood, or that cannot be obeyed.
    pub(super) fn obey_switches(&mut self) -> Result<(), BadRecord> {
        self.facts.obey_switches(&self.roles)
    }

    /// Whether an answer is trained on, as far as switches decide.
    pub(super) fn trains(&self, message: usize) -> bool {
        self.mask().is_none_or(|mask| mask[message])
    }

    /// Which messages are trained on, if any answer is switched off.
    pub(super) fn mask(&self) -> Option<&[bool]> {
        self.facts.mask()
    }

    /// Answers that switches leave out.
    pub fn num_switched_off(&self) -> usize {
        let mask = self.mask().unwrap_or_default();
        self.roles.iter().zip(mask).filter(|(role, trains)| *role == "assistant" && !**trains).count()
    }

    /// Gives a message another role.
    pub(super) fn rename(&mut self, number: usize, role: &'static str) {
        self.roles[number] = role.into();
        self.is_replaced = true;
    }

    /// Whether every message has exactly a role and a text, whatever is beside the messages.
    pub(super) fn has_plain_messages(&self) -> bool {
        self.facts.is_plain() && self.contents.iter().all(Option::is_some)
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
            Source::Record { messages, .. } => elements_of(messages).unwrap_or_default().get(number).copied(),
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
            facts: Facts::of(messages.iter().map(|message| message.trains)),
            ..Self::new(Source::Conversation { tools: None, documents: None })
        }
    }

    fn new(source: Source<'record>) -> Self {
        Self {
            roles: Vec::new(),
            contents: Vec::new(),
            is_in_order: true,
            facts: Facts::default(),
            is_replaced: false,
            has_system: false,
            parsed_tools: None,
            parsed_calls: BTreeMap::new(),
            keys: None,
            source,
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
        (!roles.is_empty()).then(|| Self { roles, contents, ..Self::new(source) })
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
                let messages = elements_of(messages)?.into_iter().enumerate();
                let messages = messages.map(|(number, raw)| {
                    let other = others.get(&number).or_else(|| self.parsed_calls.get(&number));
                    self.message(number, other.map_or(raw, String::as_str))
                });
                let system = self.has_system.then(|| self.contents[0].as_deref().unwrap_or_default());
                let system = messages_of(system.into_iter().map(|text| ("system", text)))
                    .try_iter()
                    .into_iter()
                    .flatten();
                let messages = system.map(Ok).chain(messages).take(self.roles.len());
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
        let number = number + usize::from(self.has_system);
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
    pub(super) fn raw_beside(&self) -> (Option<&str>, Option<&'record str>) {
        match self.source {
            Source::Record { tools, documents, .. } | Source::Conversation { tools, documents } => {
                (self.parsed_tools.as_deref().or(tools), documents)
            }
        }
    }

    /// Takes tools that are a list in a string as that list, as tables have them.
    ///
    /// # Errors
    /// Tools that are neither.
    pub(super) fn parse_tools(&mut self) -> Result<(), BadRecord> {
        let (Some(raw), _) = self.raw_beside() else { return Ok(()) };
        self.parsed_tools = listed(raw).map_err(BadRecord::WrongForm)?;
        Ok(())
    }

    /// Whether there are descriptions of tools.
    pub(super) fn has_tools(&self) -> bool {
        self.raw_beside().0.is_some_and(|tools| !is_empty(tools))
    }

    /// Puts the system text of the record in front of the messages.
    pub(super) fn prepend_system(&mut self, text: String) {
        self.roles.insert(0, "system".into());
        self.contents.insert(0, Some(text.into()));
        self.facts.shift();
        self.has_system = true;
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
    value_of(raw).map_err(|error| malformed_value(raw, &error))
}

/// Tools that are a list in a string, as tables have them: that list; `None` if they are a list.
///
/// # Errors
/// They are neither.
fn listed(raw: &str) -> Result<Option<String>, String> {
    let wrong = |found: &str| format!("tools: expected a list of descriptions of tools, found {found}");
    if raw.starts_with('[') {
        return Ok(None);
    }
    let text = serde_json::from_str::<String>(raw).map_err(|_| wrong("another kind of value"))?;
    let list = if text.trim().is_empty() { "[]" } else { text.trim() };
    match serde_json::from_str::<Vec<&RawValue>>(list) {
        Ok(_) => Ok(Some(list.to_owned())),
        Err(_) => Err(wrong("a string that holds none")),
    }
}

/// Messages of a role and a text each, as a template value.
pub fn messages_of<'text>(messages: impl Iterator<Item = (&'text str, &'text str)>) -> Value {
    let message =
        |(role, content)| Value::from_pairs([("role", Value::from(role)), ("content", Value::from(content))]);
    messages.map(message).collect::<Vec<Value>>().into()
}
