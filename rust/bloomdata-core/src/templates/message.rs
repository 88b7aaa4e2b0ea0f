//! One message of a record: its role, its content, and what else it holds.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json_faults::lone_surrogate;
use crate::json_fields::{holds_something, is_empty};
use crate::switches;

/// The keys of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageKeys {
    /// Key of the role.
    pub role: String,
    /// Key of the content.
    pub content: String,
}

/// The keys that chat templates know.
impl Default for MessageKeys {
    fn default() -> Self {
        Self { role: "role".into(), content: "content".into() }
    }
}

/// Keys of what the model thinks before it answers.
pub(super) const THOUGHTS: [&str; 4] = ["reasoning_content", "reasoning", "thinking", "thought"];

/// The fields of a message that matter here. Of duplicate keys the last one wins.
#[derive(Debug)]
pub(super) struct Message<'record> {
    pub(super) role: Option<Cow<'record, str>>,
    pub(super) content: Content<'record>,
    /// Whether it calls tools.
    pub(super) has_calls: bool,
    /// What its switches say, or why they cannot be understood.
    pub(super) switch: Result<Option<bool>, String>,
    pub(super) num_switches: usize,
    /// A key of [`THOUGHTS`] that holds something.
    pub(super) thought: Option<&'static str>,
    /// Other keys, and whether each holds something; not those in front that do not.
    pub(super) others: Vec<(Cow<'record, str>, bool)>,
    pub(super) num_fields: usize,
    /// Whether the role is its first field.
    pub(super) is_in_order: bool,
}

impl Default for Message<'_> {
    fn default() -> Self {
        let (role, content) = (None, Content::Missing);
        let (has_calls, is_in_order, switch) = (false, false, Ok(None));
        let (num_switches, thought, others, num_fields) = (0, None, Vec::new(), 0);
        Self { role, content, has_calls, switch, num_switches, thought, others, num_fields, is_in_order }
    }
}

/// The content of a message.
#[derive(Debug)]
pub(super) enum Content<'record> {
    /// There is no such key.
    Missing,
    /// A string.
    Text(Cow<'record, str>),
    /// The JSON of something else.
    Other(&'record str),
}

/// All messages of a list.
///
/// # Errors
/// The list is malformed, or one of them is no object.
pub(super) fn messages<'record>(
    list: &'record str,
    keys: &MessageKeys,
) -> serde_json::Result<Vec<Message<'record>>> {
    parse(list, Messages(keys))
}

/// One message.
///
/// # Errors
/// It is malformed, or no object.
pub(super) fn message<'record>(
    object: &'record str,
    keys: &MessageKeys,
) -> serde_json::Result<Message<'record>> {
    parse(object, One(keys))
}

/// The keys of an object in order, each in quotes, for errors.
pub(super) fn keys_of(object: &str) -> String {
    let keys = parse(object, Keys).unwrap_or_default();
    if keys.is_empty() { "none".into() } else { keys.join(", ") }
}

fn parse<'record, S: DeserializeSeed<'record>>(json: &'record str, seed: S) -> serde_json::Result<S::Value> {
    let mut parser = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

struct Messages<'run>(&'run MessageKeys);

impl<'de> DeserializeSeed<'de> for Messages<'_> {
    type Value = Vec<Message<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Messages<'_> {
    type Value = Vec<Message<'de>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(message) = list.next_element_seed(One(self.0))? {
            all.push(message);
        }
        Ok(all)
    }
}

struct One<'run>(&'run MessageKeys);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = Message<'de>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = Message<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message<'de>, A::Error> {
        let mut message = Message::default();
        while let Some(Text(key)) = map.next_key()? {
            message.num_fields += 1;
            if *key == *self.0.role {
                message.is_in_order = message.num_fields == 1;
                message.role = text(map.next_value()?)?;
            } else if *key == *self.0.content {
                let raw: &RawValue = map.next_value()?;
                message.content = text(raw)?.map_or(Content::Other(raw.get()), Content::Text);
            } else if matches!(&*key, "tool_calls" | "function_call") {
                message.has_calls |= !is_empty(map.next_value::<&RawValue>()?.get());
            } else if switches::is_switch(&key) {
                message.num_switches += 1;
                let said = switches::parse(&key, map.next_value::<&RawValue>()?.get());
                message.switch = message.switch.and_then(|before| switches::join(before, said?));
            } else if let Some(thought) = THOUGHTS.into_iter().find(|thought| *thought == &*key) {
                if !is_empty(map.next_value::<&RawValue>()?.get()) {
                    message.thought = Some(thought);
                }
            } else {
                let holds = holds_something(map.next_value::<&RawValue>()?.get());
                // What holds nothing matters only if it stands in place of something.
                if holds || !message.others.is_empty() {
                    message.others.push((key, holds));
                }
            }
        }
        Ok(message)
    }
}

struct Keys;

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some((Text(key), IgnoredAny)) = map.next_entry()? {
            keys.push(format!("{key:?}"));
        }
        Ok(keys)
    }
}

/// A string, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Text<'record>(#[serde(borrow)] Cow<'record, str>);

/// A JSON value as a string; `None` if it is something else.
pub(super) fn text<E: Error>(raw: &RawValue) -> Result<Option<Cow<'_, str>>, E> {
    let raw = raw.get();
    let Some(inner) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) else {
        return Ok(None);
    };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Some(inner.into()));
    }
    // A lone surrogate is valid JSON, but not a valid string.
    let text = serde_json::from_str::<Text<'_>>(raw).map_err(|_| {
        let half = lone_surrogate(raw).unwrap_or("an escape");
        E::custom(format!("a text holds {half}, half of a surrogate pair, which is no character"))
    })?;
    Ok(Some(text.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_any_names_and_the_last_of_equal_ones_counts() {
        let keys = MessageKeys { role: "from".into(), content: "value".into() };
        let list = r#"[{"from":"a","role":1,"value":"b","value":"c"},{"value":[1],"from":null}]"#;
        let found = messages(list, &keys).unwrap();
        assert_eq!(found[0].role.as_deref(), Some("a"));
        assert!(matches!(&found[0].content, Content::Text(text) if text == "c"));
        assert_eq!((found[0].num_fields, found[0].is_in_order), (4, true));
        assert!(matches!(found[1].content, Content::Other("[1]")) && found[1].role.is_none());
        assert!(messages("[{}] x", &keys).is_err() && messages("[1]", &keys).is_err());
    }

    #[test]
    fn empty_calls_are_no_calls() {
        for (calls, has_calls) in
            [("null", false), ("[]", false), ("[ ]", false), ("{\n}", false), ("[{}]", true), ("\"x\"", true)]
        {
            let raw = format!(r#"{{"role":"assistant","tool_calls":{calls}}}"#);
            assert_eq!(message(&raw, &MessageKeys::default()).unwrap().has_calls, has_calls, "{calls}");
        }
        assert_eq!(keys_of(r#"{"a":1,"b\"":[{"c":2}]}"#), r#""a", "b\"""#);
    }
}
