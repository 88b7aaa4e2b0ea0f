//! Text that is tagged `<human>:` and `<bot>:` is cut into messages.

use crate::conversation::{Conversation, Message, Role, python_strip};
use crate::document::BadRecord;

const TAGS: [(&str, Role); 2] = [("<human>:", Role::User), ("<bot>:", Role::Assistant)];

/// The messages of a tagged text. A tag counts at the start of the text and of a line; one space behind it and the
/// newline in front of the next tag belong to neither message.
///
/// # Errors
/// The text, stripped, does not start with a tag.
pub fn conversation(text: &str) -> Result<Conversation, BadRecord> {
    let mut rest = python_strip(text);
    let mut messages = Vec::new();
    let Some((mut role, behind)) = tag(rest) else {
        let start: String = rest.chars().take(20).collect();
        return Err(BadRecord::WrongForm(format!("text starts with {start:?}, not with <human>: or <bot>:")));
    };
    rest = behind;
    loop {
        let next = memchr::memchr_iter(b'\n', rest.as_bytes())
            .find_map(|newline| tag(&rest[newline + 1..]).map(|(role, behind)| (newline, role, behind)));
        let content = &rest[..next.map_or(rest.len(), |(newline, _, _)| newline)];
        messages.push(Message::new(role, content.strip_prefix(' ').unwrap_or(content)));
        let Some((_, next_role, behind)) = next else { break };
        (role, rest) = (next_role, behind);
    }
    Ok(Conversation { messages, strip: true })
}

/// The role of the tag that the text starts with, and what follows it.
fn tag(text: &str) -> Option<(Role, &str)> {
    TAGS.iter().find_map(|(tag, role)| Some((*role, text.strip_prefix(tag)?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(conversation: &Conversation) -> String {
        let line = |message: &Message| {
            let tag = if message.role == Role::User { "<human>" } else { "<bot>" };
            format!("\n{tag}: {}", message.content)
        };
        python_strip(&conversation.messages.iter().map(line).collect::<String>()).to_owned()
    }

    #[test]
    fn a_tag_counts_only_at_the_start_of_a_line() {
        let cut = conversation(" <human>: say <bot>: please\n\n<bot>:now\n <human>: no\n").unwrap();
        let expected = vec![
            Message::new(Role::User, "say <bot>: please\n"),
            Message::new(Role::Assistant, "now\n <human>: no"),
        ];
        assert_eq!(cut.messages, expected);
    }

    #[test]
    fn text_without_a_tag_in_front_is_refused_with_its_start() {
        let told = conversation("Background: x\n<human>: y").unwrap_err().to_string();
        assert_eq!(told, "text starts with \"Background: x\\n<human\", not with <human>: or <bot>:");
        assert!(conversation("").is_err());
    }

    proptest! {
        #[test]
        fn what_was_cut_renders_to_the_same_text(
            turns in prop::collection::vec((any::<bool>(), "[a <>:\u{2028}\n]{0,8}"), 1..6)
        ) {
            let message = |(is_user, content): (bool, String)| {
                Message::new(if is_user { Role::User } else { Role::Assistant }, content)
            };
            let messages = turns.into_iter().map(message).collect();
            let text = render(&Conversation { messages, strip: true });
            prop_assert_eq!(render(&conversation(&text).unwrap()), text);
        }
    }
}
