//! A conversation as input for templates, from a record or from the reader of a source.

use std::borrow::Cow;

use minijinja::value::Value;
use serde_json::value::RawValue;

use super::jinja::{JinjaInput, value_of};
use crate::conversation::Conversation;
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, extract_raw, malformed};

/// Unicode noncharacters that serve as markers while templates are probed.
const RESERVED: [char; 4] = ['\u{fdd1}', '\u{fdd2}', '\u{fdd3}', '\u{fdd4}'];

/// The messages of a conversation.
#[derive(Debug)]
pub struct Chat<'record> {
    /// The role of each message.
    pub roles: Vec<Cow<'record, str>>,
    /// The text of each message; `None` if the content is something else, such as a list of parts.
    pub contents: Vec<Option<Cow<'record, str>>>,
    /// Whether every message has exactly a role and a text, without tools or documents beside the messages.
    pub is_plain: bool,
    /// Whether every message has exactly a role and a text, whatever is beside the messages.
    pub(super) has_plain_messages: bool,
    /// Whether the role precedes the text in every message, as in [`messages_of`].
    is_in_order: bool,
    source: Source<'record>,
}

#[derive(Debug)]
enum Source<'record> {
    Record { messages: &'record str, tools: Option<&'record str>, documents: Option<&'record str> },
    Conversation { tools: Option<&'record str>, documents: Option<&'record str> },
}

/// Where a record holds its messages, tools and documents.
#[derive(Debug)]
pub struct ChatKeys([FieldPath; 3]);

impl ChatKeys {
    /// With the messages at this path; `tools` and `documents` are keys of the record itself.
    pub fn new(messages: FieldPath) -> Self {
        Self([messages, FieldPath::of_key("tools"), FieldPath::of_key("documents")])
    }
}

impl<'record> Chat<'record> {
    /// The messages of a record: an object with a list of them, and optionally `tools` and `documents`.
    ///
    /// # Errors
    /// Why the record is not a conversation.
    pub fn parse(record: &'record str, keys: &ChatKeys) -> Result<Self, BadRecord> {
        let [messages, tools, documents] = <[_; 3]>::try_from(extract_raw(record, &keys.0)?)
            .map_err(|_| BadRecord::NotAnObject)?
            .map(|raw| raw.filter(|raw| *raw != "null"));
        let messages = messages.ok_or_else(|| BadRecord::MissingField(keys.0[0].name().to_owned()))?;
        let mut chat = Self {
            roles: Vec::new(),
            contents: Vec::new(),
            is_plain: tools.is_none() && documents.is_none(),
            has_plain_messages: true,
            is_in_order: true,
            source: Source::Record { messages, tools, documents },
        };
        // Parses all messages at once; on any error parses them one by one, to report which is wrong.
        match serde_json::from_str::<Vec<Message<'record>>>(messages) {
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
            let name = keys.0[0].name();
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
            match serde_json::from_str::<Message<'record>>(raw) {
                Ok(message) => self.push(number, message)?,
                Err(error) => return bad(&format!(" cannot be read: {error}")),
            }
        }
        Ok(())
    }

    fn push(&mut self, number: usize, message: Message<'record>) -> Result<(), BadRecord> {
        let Some(role) = message.role else {
            return Err(BadRecord::WrongForm(format!("message {number} has no role")));
        };
        // A plain message has exactly these two fields.
        self.has_plain_messages &= message.content.is_some() && message.num_fields == 2;
        self.is_plain &= self.has_plain_messages;
        self.is_in_order &= message.is_in_order;
        self.roles.push(role);
        self.contents.push(message.content);
        Ok(())
    }

    /// The conversation that a source's reader made of a record.
    pub fn of(conversation: &'record Conversation) -> Self {
        let messages = &conversation.messages;
        Self {
            roles: messages.iter().map(|message| message.role.name().into()).collect(),
            contents: messages.iter().map(|message| Some(message.content.as_str().into())).collect(),
            is_plain: true,
            has_plain_messages: true,
            is_in_order: true,
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
        let is_plain = tools.is_none() && documents.is_none();
        let (has_plain_messages, is_in_order) = (true, true);
        (!roles.is_empty()).then_some(Self {
            roles,
            contents,
            is_plain,
            has_plain_messages,
            is_in_order,
            source,
        })
    }

    /// The input for Jinja templates.
    ///
    /// # Errors
    /// A message that is not JSON.
    pub fn input(&self) -> Result<JinjaInput, BadRecord> {
        if self.is_plain && self.is_in_order {
            return Ok(self.plain_input());
        }
        match &self.source {
            Source::Record { messages, .. } => {
                let (tools, documents) = self.beside()?;
                let messages = list(messages)?.into_iter().map(value).collect::<Result<Vec<_>, _>>()?.into();
                Ok(JinjaInput { messages, tools, documents })
            }
            Source::Conversation { .. } => {
                let (tools, documents) = self.beside()?;
                Ok(JinjaInput { tools, documents, ..self.plain_input() })
            }
        }
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

/// The fields of a message that matter here. Of duplicate keys the last one wins.
#[derive(Default)]
struct Message<'record> {
    role: Option<Cow<'record, str>>,
    content: Option<Cow<'record, str>>,
    num_fields: usize,
    is_in_order: bool,
}

impl<'de: 'record, 'record> serde::Deserialize<'de> for Message<'record> {
    fn deserialize<D: serde::Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> serde::de::Visitor<'de> for Fields {
            type Value = Message<'de>;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Message<'de>, A::Error> {
                let mut message = Message::default();
                while let Some(Text(key)) = map.next_key()? {
                    message.num_fields += 1;
                    match &*key {
                        "role" => {
                            message.is_in_order = message.num_fields == 1;
                            message.role = text(map.next_value()?)?;
                        }
                        "content" => message.content = text(map.next_value()?)?,
                        _ => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(message)
            }
        }
        parser.deserialize_map(Fields)
    }
}

/// A string, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Text<'record>(#[serde(borrow)] Cow<'record, str>);

/// A JSON value as a string; `None` if it is something else.
fn text<E: serde::de::Error>(raw: &RawValue) -> Result<Option<Cow<'_, str>>, E> {
    let raw = raw.get();
    let Some(inner) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) else {
        return Ok(None);
    };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Some(inner.into()));
    }
    // A lone surrogate is valid JSON, but not a valid string.
    let text =
        serde_json::from_str::<Text<'_>>(raw).map_err(|_| E::custom("a string is not valid Unicode"))?;
    Ok(Some(text.0))
}
