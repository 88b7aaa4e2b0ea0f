//! Arguments of tool calls that are JSON in a text, as hosted models give them, while many templates want an object.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::document::BadRecord;
use crate::json_faults::fault;
use crate::json_fields::{FieldPath, elements_of, extract_raw, kind, range_in, text_of};

/// What a template gets of arguments that are a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolArguments {
    /// The text.
    #[default]
    Given,
    /// The object whose JSON it is.
    Parsed,
}

impl ToolArguments {
    /// Whether templates get what the record holds.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_given(&self) -> bool {
        *self == Self::Given
    }
}

/// The place of the first arguments of a message that are a text, and the message with objects instead of such texts,
/// which keep the order of their keys; nothing if there are none.
///
/// # Errors
/// A text that is not the JSON of an object, with its place.
pub(super) fn parsed(message: &str, place: &str) -> Result<Option<(String, String)>, BadRecord> {
    let texts = texts(message, place)?;
    let Some((first, _)) = texts.first() else { return Ok(None) };
    let first = first.clone();
    let (mut json, mut end) = (String::with_capacity(message.len()), 0);
    for (place, range) in texts {
        let field = FieldPath::of_key(&place);
        let text = text_of(&field, Some(&message[range.clone()]))?;
        let object = if text.trim().is_empty() { "{}" } else { text.trim() };
        if !object.starts_with('{') {
            let reason =
                format!("{place}: expected the JSON of an object, found {} in the text", kind(object));
            return Err(BadRecord::WrongForm(reason));
        }
        if let Err(error) = serde_json::from_str::<IgnoredAny>(object) {
            let told = fault(object).map_or_else(|| error.to_string(), |fault| fault.reason);
            return Err(BadRecord::WrongForm(format!("{place}: its text is not JSON: {told}")));
        }
        json.push_str(&message[end..range.start]);
        json.push_str(object);
        end = range.end;
    }
    json.push_str(&message[end..]);
    Ok(Some((first, json)))
}

/// Where arguments of a message are texts, in order.
fn texts(message: &str, place: &str) -> Result<Vec<(String, Range<usize>)>, BadRecord> {
    let mut found = Vec::new();
    let mut note = |place: String, raw: Option<&str>| {
        if let Some(raw) = raw.filter(|raw| raw.starts_with('"')) {
            found.push((place, range_in(message, raw)));
        }
    };
    let keys = ["tool_calls", "function_call"].map(FieldPath::of_key);
    let values = extract_raw(message, &keys, None)?;
    let arguments = FieldPath::of_key("arguments");
    if let Some(calls) = values[0].filter(|raw| raw.starts_with('[')) {
        for (at, call) in elements_of(calls)?.into_iter().enumerate() {
            if !call.starts_with('{') {
                continue;
            }
            let inner = extract_raw(call, &[FieldPath::of_key("function"), arguments.clone()], None)?;
            match inner[0].filter(|raw| raw.starts_with('{')) {
                Some(function) => note(
                    format!("{place}.tool_calls[{at}].function.arguments"),
                    extract_raw(function, std::slice::from_ref(&arguments), None)?[0],
                ),
                None => note(format!("{place}.tool_calls[{at}].arguments"), inner[1]),
            }
        }
    }
    if let Some(call) = values[1].filter(|raw| raw.starts_with('{')) {
        let inner = extract_raw(call, std::slice::from_ref(&arguments), None)?[0];
        note(format!("{place}.function_call.arguments"), inner);
    }
    found.sort_by_key(|(_, range)| range.start);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_objects_in_every_form_of_a_call_and_nothing_else_changes() {
        let message = r#"{"function_call":{"name":"f","arguments":"{\"b\": 1, \"a\": \"\\u00e9\"}"}, "tool_calls":[{"id":"x",
            "function":{"arguments":"","name":"g"}},{"arguments":{"k":"v"},"name":"h"},{"arguments":"{}","name":"i"}],"content":"{}"}"#;
        let (place, json) = parsed(message, "messages[2]").unwrap().unwrap();
        assert_eq!(place, "messages[2].function_call.arguments");
        let expected = message
            .replace(r#""{\"b\": 1, \"a\": \"\\u00e9\"}""#, r#"{"b": 1, "a": "\u00e9"}"#)
            .replace(r#""arguments":"","#, r#""arguments":{},"#)
            .replace(r#""arguments":"{}""#, r#""arguments":{}"#);
        assert_eq!(json, expected);
        for message in [
            r#"{"content":"x"}"#,
            r#"{"tool_calls":[{"function":{"arguments":{}}}]}"#,
            r#"{"tool_calls":"x"}"#,
        ] {
            assert_eq!(parsed(message, "m").unwrap(), None);
        }
    }

    #[test]
    fn a_text_that_is_no_object_is_told_with_its_place() {
        for (text, told) in [
            (
                r#""[1]""#,
                "m.tool_calls[0].function.arguments: expected the JSON of an object, found a list in the text",
            ),
            (r#""{'a': 1}""#, "m.tool_calls[0].function.arguments: its text is not JSON: single quotes"),
            (
                r#""{\"a\": NaN}""#,
                "m.tool_calls[0].function.arguments: its text is not JSON: NaN is not JSON, under \"a\"",
            ),
        ] {
            let message = format!(r#"{{"tool_calls":[{{"function":{{"name":"f","arguments":{text}}}}}]}}"#);
            let found = parsed(&message, "m").unwrap_err().to_string();
            assert!(found.starts_with(told), "{found}");
        }
    }
}
