//! Contents that are no strings: a list of parts of text is their text, one after the other; anything else is refused.

use crate::document::BadRecord;
use crate::json_fields::kind;

/// What stands in place of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standin {
    /// Nothing: null, no such key, or a list without parts.
    Nothing,
    /// The texts of a list of parts, joined as chat templates join them: with nothing between.
    Joined(String),
}

/// What a content that is no string says; `raw` is its JSON.
///
/// # Errors
/// It says something else than text: what, with its place in the message.
pub(super) fn standin(number: usize, raw: Option<&str>) -> Result<Standin, BadRecord> {
    let Some(raw) = raw.filter(|raw| *raw != "null") else { return Ok(Standin::Nothing) };
    let wrong = |place: &str, found: &str| {
        let expected = "expected a text or a list of parts of text";
        Err(BadRecord::WrongForm(format!("message {number}: content{place}: {expected}, found {found}")))
    };
    if !raw.starts_with('[') {
        return wrong("", kind(raw));
    }
    let Ok(parts) = serde_json::from_str::<Vec<serde_json::Value>>(raw) else {
        return wrong("", "a list that cannot be read");
    };
    let mut joined = String::new();
    for (at, part) in parts.iter().enumerate() {
        let place = format!("[{at}]");
        let kind_of = part.get("type").and_then(serde_json::Value::as_str);
        match (kind_of, part.get("text").and_then(serde_json::Value::as_str)) {
            (Some("text" | "input_text" | "output_text"), Some(text)) => joined.push_str(text),
            (Some(other), _) => return wrong(&place, &format!("a part of the type {other:?}")),
            (None, _) if part.is_object() => return wrong(&place, "an object without a type"),
            (None, _) => return wrong(&place, kind(&part.to_string())),
        }
    }
    Ok(if parts.is_empty() { Standin::Nothing } else { Standin::Joined(joined) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_text_are_joined_and_everything_else_is_told_with_its_place() {
        let joined = |text: &str| Ok(Standin::Joined(text.into()));
        assert_eq!(
            standin(0, Some(r#"[{"type":"text","text":"a\n"},{"text":" b","type":"text","image":null}]"#)),
            joined("a\n b")
        );
        assert_eq!(standin(0, Some(r#"[{"type":"text","text":""}]"#)), joined(""));
        for nothing in [None, Some("null"), Some("[]"), Some("[ ]")] {
            assert_eq!(standin(0, nothing), Ok(Standin::Nothing));
        }
        for (raw, told) in [
            ("1", ": expected a text or a list of parts of text, found a number"),
            ("{}", ": expected a text or a list of parts of text, found an object"),
            (r#"["a"]"#, "[0]: expected a text or a list of parts of text, found a string"),
            (
                r#"[{"type":"text","text":"a"},{"type":"image","url":"x"}]"#,
                "[1]: expected a text or a list of parts of text, found a part of the type \"image\"",
            ),
            (
                r#"[{"text":"a"}]"#,
                "[0]: expected a text or a list of parts of text, found an object without a type",
            ),
            (
                r#"[{"type":"text","text":1}]"#,
                "[0]: expected a text or a list of parts of text, found a part of the type \"text\"",
            ),
        ] {
            let found = standin(3, Some(raw)).unwrap_err().to_string();
            assert_eq!(found, format!("message 3: content{told}"));
        }
    }
}
