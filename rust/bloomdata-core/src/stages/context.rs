//! What a record says beside its messages: the text of its system is the first message; descriptions of tools have no
//! place in a conversation and are refused.

use crate::conversation::{Message, Role, SYSTEM_KEYS};
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, Given, name_of, text_of};
use crate::stages::fields::wrong_kind;
use crate::switches;

/// Keys for descriptions of tools.
const TOOLS: [&str; 2] = ["tools", "functions"];

/// The name of a key of a record that is one of these, or a switch.
pub fn named(key: &[u8]) -> Option<&'static str> {
    name_of(key, SYSTEM_KEYS.into_iter().chain(TOOLS).chain(switches::KEYS))
}

/// Puts the text of the system in front of the messages.
///
/// # Errors
/// A system text that is not a string, a second system text, or tools.
pub fn add_context(messages: &mut Vec<Message>, context: &[Given<'_>]) -> Result<(), BadRecord> {
    for &(key, raw) in context {
        if TOOLS.contains(&key) {
            if !matches!(raw, "[]" | "\"\"" | "\"[]\"") {
                let told = format!("field {key:?} holds descriptions of tools, which would be lost");
                return Err(BadRecord::WrongForm(told));
            }
            continue;
        }
        let text = text_of(&FieldPath::of_key(key), Some(raw))?;
        match messages.first() {
            _ if text.is_empty() => {}
            Some(first) if first.role == Role::System && first.content == *text => {}
            Some(first) if first.role == Role::System => {
                return Err(BadRecord::WrongForm(format!(
                    "field {key:?}: expected no other text of the system, found another one in the first message"
                )));
            }
            _ => messages.insert(0, Message::new(Role::System, text)),
        }
    }
    Ok(())
}

/// Earlier turns of an instruction: a list of pairs of question and answer.
///
/// # Errors
/// Something else.
pub fn history(raw: Option<&str>) -> Result<Vec<Message>, BadRecord> {
    let Some(raw) = raw.filter(|raw| !matches!(*raw, "null" | "[]" | "\"\"")) else { return Ok(Vec::new()) };
    let Ok(pairs) = serde_json::from_str::<Vec<[String; 2]>>(raw) else {
        return Err(wrong_kind("history", raw, "a list of pairs of question and answer"));
    };
    let turn =
        |[asked, said]: [String; 2]| [Message::new(Role::User, asked), Message::new(Role::Assistant, said)];
    Ok(pairs.into_iter().flat_map(turn).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_system_is_the_first_message() {
        let add = |messages: &[(Role, &str)], context: &[Given<'_>]| {
            let mut all = messages.iter().map(|&(role, text)| Message::new(role, text)).collect();
            add_context(&mut all, context).map(|()| all).map_err(|bad| bad.to_string())
        };
        let (user, system) = ([(Role::User, "q")], [(Role::System, "s"), (Role::User, "q")]);
        let expected: Vec<Message> = system.iter().map(|&(role, text)| Message::new(role, text)).collect();
        let both = [("system", "\"\""), ("system_message", "\"s\""), ("tools", "[]")];
        for context in [&[("system", "\"s\"")][..], &both] {
            assert_eq!(add(&user, context).unwrap(), expected);
            assert_eq!(add(&system, context).unwrap(), expected);
        }
        assert!(add(&system, &[("system", "\"t\"")]).unwrap_err().contains("no other text"));
        assert!(add(&user, &[("system", "1")]).unwrap_err().contains("is not a string"));
        assert!(add(&user, &[("tools", "[{}]")]).unwrap_err().contains("would be lost"));
    }

    #[test]
    fn a_history_is_pairs() {
        assert_eq!(history(Some("[]")), Ok(Vec::new()));
        assert_eq!(
            history(Some(r#"[["a","b"]]"#)).unwrap(),
            [Message::new(Role::User, "a"), Message::new(Role::Assistant, "b")]
        );
        assert!(history(Some(r#"[["a"]]"#)).is_err() && history(Some("\"x\"")).is_err());
    }
}
