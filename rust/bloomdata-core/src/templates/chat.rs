//! A conversation as templates take it: what a record says, or what a source's reader made of it.

use std::borrow::Cow;

use minijinja::value::Value;
use serde_json::value::RawValue;

use super::jinja::{JinjaInput, value_of};
use crate::conversation::Conversation;
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, extract_raw, malformed};

/// Messages of one conversation.
#[derive(Debug)]
pub struct Chat<'record> {
    /// The role of each message.
    pub roles: Vec<Cow<'record, str>>,
    /// Its text; `None` where it is something else, as a list of parts.
    pub contents: Vec<Option<Cow<'record, str>>>,
    /// Whether messages have nothing but a role and a text, and there is nothing beside them.
    pub is_plain: bool,
    source: Source<'record>,
}

#[derive(Debug)]
enum Source<'record> {
    Record { messages: Vec<&'record str>, tools: Option<&'record str>, documents: Option<&'record str> },
    Conversation,
}

impl<'record> Chat<'record> {
    /// The messages of a record: an object with a list of them, perhaps with `tools` and `documents`.
    ///
    /// # Errors
    /// Why the record is no conversation.
    pub fn parse(record: &'record str, key: &FieldPath) -> Result<Self, BadRecord> {
        let keys = [key.clone(), FieldPath::of_key("tools"), FieldPath::of_key("documents")];
        let [messages, tools, documents] = <[_; 3]>::try_from(extract_raw(record, &keys)?)
            .map_err(|_| BadRecord::NotAnObject)?
            .map(|raw| raw.filter(|raw| *raw != "null"));
        let messages = messages.ok_or_else(|| BadRecord::MissingField(key.name().to_owned()))?;
        if !messages.starts_with('[') {
            return Err(BadRecord::WrongForm(format!("{:?} is no list of messages", key.name())));
        }
        let messages: Vec<&RawValue> = serde_json::from_str(messages).map_err(|error| malformed(&error))?;
        if messages.is_empty() {
            return Err(BadRecord::WrongForm("a conversation without messages".into()));
        }
        let mut chat = Self {
            roles: Vec::with_capacity(messages.len()),
            contents: Vec::with_capacity(messages.len()),
            is_plain: tools.is_none() && documents.is_none(),
            source: Source::Record {
                messages: messages.iter().map(|raw| raw.get()).collect(),
                tools,
                documents,
            },
        };
        for (number, message) in messages.iter().enumerate() {
            chat.push(number, message.get())?;
        }
        Ok(chat)
    }

    fn push(&mut self, number: usize, message: &'record str) -> Result<(), BadRecord> {
        let bad = |what: &str| Err(BadRecord::WrongForm(format!("message {number} {what}")));
        let keys = [FieldPath::of_key("role"), FieldPath::of_key("content")];
        let Ok(found) = extract_raw(message, &keys) else { return bad("is no object") };
        let text = |raw: Option<&'record str>| match raw {
            Some(raw) if raw.starts_with('"') => {
                serde_json::from_str::<Text<'record>>(raw).ok().map(|text| text.0)
            }
            _ => None,
        };
        let Some(role) = text(found[0]) else { return bad("has no role") };
        let content = text(found[1]);
        if content.is_none() && found[1].is_some_and(|raw| raw.starts_with('"')) {
            return bad("has a text that is no Unicode");
        }
        // A plain message is its two fields and nothing else.
        let fields: Option<usize> = serde_json::from_str::<Keys>(message).ok().map(|keys| keys.0);
        self.is_plain &= content.is_some() && fields == Some(2);
        self.roles.push(role);
        self.contents.push(content);
        Ok(())
    }

    /// What a source's reader made of a record.
    pub fn of(conversation: &'record Conversation) -> Self {
        let messages = &conversation.messages;
        Self {
            roles: messages.iter().map(|message| message.role.name().into()).collect(),
            contents: messages.iter().map(|message| Some(message.content.as_str().into())).collect(),
            is_plain: true,
            source: Source::Conversation,
        }
    }

    /// As Jinja templates take it.
    ///
    /// # Errors
    /// A message that is not JSON.
    pub fn input(&self) -> Result<JinjaInput, BadRecord> {
        let value = |raw: &str| value_of(raw).map_err(|error| malformed(&error));
        match &self.source {
            Source::Record { messages, tools, documents } => Ok(JinjaInput {
                messages: messages.iter().map(|raw| value(raw)).collect::<Result<Vec<_>, _>>()?.into(),
                tools: tools.map(value).transpose()?,
                documents: documents.map(value).transpose()?,
            }),
            Source::Conversation => {
                let texts = self.contents.iter().map(|content| content.as_deref().unwrap_or_default());
                let roles = self.roles.iter().map(AsRef::as_ref);
                Ok(JinjaInput { messages: messages_of(roles.zip(texts)), tools: None, documents: None })
            }
        }
    }

    /// All texts, if all are texts.
    pub fn texts(&self) -> Option<Vec<&str>> {
        self.contents.iter().map(|content| content.as_deref()).collect()
    }
}

/// Messages of a role and a text each, as Jinja templates take them.
pub fn messages_of<'text>(messages: impl Iterator<Item = (&'text str, &'text str)>) -> Value {
    let message =
        |(role, content)| Value::from_pairs([("role", Value::from(role)), ("content", Value::from(content))]);
    messages.map(message).collect::<Vec<Value>>().into()
}

/// A string, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'record>(#[serde(borrow)] Cow<'record, str>);

/// How many different keys an object has.
struct Keys(usize);

impl<'de> serde::Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> serde::de::Visitor<'de> for Count {
            type Value = Keys;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut count = 0;
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Keys(count))
            }
        }
        parser.deserialize_map(Count)
    }
}
