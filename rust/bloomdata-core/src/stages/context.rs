//! What a record says beside its messages: the text of its system is the first message; descriptions of tools have no
//! place in a conversation and are refused.

use crate::conversation::{Message, Role};
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, text_of};
use crate::stages::fields::{or_none, wrong_kind};

/// Keys for the text of a system, then those for tools.
pub const CONTEXT: [&str; NUM_CONTEXT] = ["system", "system_prompt", "system_message", "tools", "functions"];
/// How many there are.
pub const NUM_CONTEXT: usize = 5;
const NUM_SYSTEMS: usize = 3;

/// Puts the text of the system in front of the messages; one JSON value for each key of [`CONTEXT`].
///
/// # Errors
/// A text that is none, a second text of a system, or tools.
pub fn add_context(messages: &mut Vec<Message>, found: [Option<&str>; NUM_CONTEXT]) -> Result<(), BadRecord> {
    if found.iter().all(Option::is_none) {
        return Ok(());
    }
    for (key, raw) in CONTEXT.into_iter().zip(found).skip(NUM_SYSTEMS) {
        if !matches!(raw, None | Some("null" | "[]" | "\"\"" | "\"[]\"")) {
            let told = format!("field {key:?} holds descriptions of tools, which would be lost");
            return Err(BadRecord::WrongForm(told));
        }
    }
    for (key, raw) in CONTEXT.into_iter().zip(found).take(NUM_SYSTEMS) {
        let text = or_none(text_of(&FieldPath::of_key(key), raw))?.filter(|text| !text.is_empty());
        let Some(text) = text else { continue };
        match messages.first() {
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
        let add = |messages: &[(Role, &str)], found: [Option<&str>; NUM_CONTEXT]| {
            let mut all = messages.iter().map(|&(role, text)| Message::new(role, text)).collect();
            add_context(&mut all, found).map(|()| all).map_err(|bad| bad.to_string())
        };
        let (user, system) = ([(Role::User, "q")], [(Role::System, "s"), (Role::User, "q")]);
        let expected: Vec<Message> = system.iter().map(|&(role, text)| Message::new(role, text)).collect();
        for found in
            [[Some("\"s\""), None, None, None, None], [Some("\"\""), None, Some("\"s\""), Some("[]"), None]]
        {
            assert_eq!(add(&user, found).unwrap(), expected);
            assert_eq!(add(&system, found).unwrap(), expected);
        }
        assert!(add(&system, [Some("\"t\""), None, None, None, None]).unwrap_err().contains("no other text"));
        assert!(add(&user, [Some("1"), None, None, None, None]).unwrap_err().contains("is not a string"));
        assert!(add(&user, [None, None, None, Some("[{}]"), None]).unwrap_err().contains("would be lost"));
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
