//! `ShareGPT`: conversations of from and value (OL-09).

use std::borrow::Cow;

use crate::conversation::{
    Conversation, Document, Message, Role, join, python_strip, unknown_role, usual_role,
};
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, Given, holds_something, text_of};
use crate::key_log::KeyLog;
use crate::stages::context::{self, add_context};
use crate::stages::lists::{elements, inside};
use crate::stages::switched::{obey_switches, raw_and, switch_of};
use crate::stages::turns::{Turns, TurnsOptions};
use crate::stages::{Read, RecordReader, Verdict};
use crate::switches;

/// The field that holds the messages.
pub const KEY: &str = "conversations";
/// The same, as keys of messages are counted.
const INSIDE: &str = "conversations[]";

/// Reads records of `ShareGPT`.
#[derive(Debug)]
pub struct SharegptReader {
    options: TurnsOptions,
    fields: [FieldPath; 1],
}

impl SharegptReader {
    /// A reader with these options.
    pub fn new(options: TurnsOptions) -> Self {
        Self { options, fields: [FieldPath::of_key(KEY)] }
    }
}

impl RecordReader for SharegptReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let ([conversations], given) = raw_and(record, &self.fields, context::named, log)?;
        let kept = if self.options.turns == Turns::Joined { Kept::All } else { Kept::Couples };
        verdict(self.options.turns, kept, conversations, given, log)
    }
}

/// Which messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All of them.
    All,
    /// Those of upstream.
    Couples,
}

/// What becomes of the list of messages: one conversation of all of them (see [`joined`]), or the couples of upstream (see [`couples`])
/// as one or as one each. `given` is what the record says beside it. Keys that are not read are noted.
///
/// # Errors
/// No list of objects with the texts `from` and `value`; a role or a switch that is not known.
pub fn verdict(
    turns: Turns,
    kept: Kept,
    conversations: Option<&str>,
    given: Vec<Given<'_>>,
    log: &mut KeyLog<'_>,
) -> Read {
    let (switches, context) = switches::parted(given);
    let fields = ["from", "value"].map(FieldPath::of_key);
    let place = |at: usize| format!("{KEY}[{at}]");
    if kept == Kept::Couples {
        for (key, raw) in &context {
            log.note(key.as_bytes(), holds_something(raw));
        }
    }
    let (mut names, mut messages, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let list = elements(KEY, conversations)?;
    log.inside(INSIDE, |log| {
        list.into_iter().enumerate().try_for_each(|(at, message)| {
            let read = |log: &mut KeyLog<'_>| {
                let ([from, value], given) = raw_and(message, &fields, switches::named, log)?;
                let (from, value) = (text_of(&fields[0], from)?, text_of(&fields[1], value)?);
                let role = usual_role(&from);
                if role.is_none() && kept == Kept::All {
                    return Err(BadRecord::WrongForm(unknown_role("from", &from)));
                }
                // What upstream does not know is in no couple.
                let message = Message::new(role.unwrap_or(Role::Tool), python_strip(&value));
                Ok((from, message, switch_of(given)?))
            };
            let (from, message, switch) = read(log).map_err(|bad| inside(&place(at), bad))?;
            names.push(from);
            messages.push(message);
            states.push(switch);
            Ok::<(), BadRecord>(())
        })
    })?;
    obey_switches(&mut messages, states, &switches)?;
    let documents = match (kept, turns) {
        (Kept::All, _) => {
            add_context(&mut messages, &context)?;
            joined(messages).into_iter().collect()
        }
        (Kept::Couples, Turns::Separate) => couples(&names, &messages),
        (Kept::Couples, Turns::Joined) => {
            let all = couples(&names, &messages).concat();
            if all.is_empty() { Vec::new() } else { vec![all] }
        }
    };
    let document = |messages| Document::Chat(Conversation { messages, strip: false });
    match documents.len() {
        0 => Ok(Verdict::Drop("no valid turn")),
        _ => Ok(Verdict::Keep(documents.into_iter().map(document).collect())),
    }
}

/// All messages in order: neighbours of one role become one, with a newline between. None without a question and an
/// answer. Upstream takes messages two by two and leaves out what is no couple, be it in the middle.
fn joined(messages: Vec<Message>) -> Option<Vec<Message>> {
    let has = |role: Role| messages.iter().any(|message| message.role == role);
    (has(Role::User) && has(Role::Assistant)).then(|| join(messages))
}

/// The couples of upstream: a first message that is not the human's is left out, then messages are taken two by two, and
/// a couple counts that is human and gpt.
fn couples(names: &[Cow<'_, str>], messages: &[Message]) -> Vec<Vec<Message>> {
    let skipped = usize::from(names.first().is_some_and(|from| from != "human"));
    let names: Vec<&[Cow<'_, str>]> = names[skipped..].chunks(2).collect();
    let couples: Vec<Vec<Message>> = messages[skipped..].chunks(2).map(<[Message]>::to_vec).collect();
    let is_couple =
        |names: &[Cow<'_, str>]| matches!(names, [human, gpt] if human == "human" && gpt == "gpt");
    couples.into_iter().zip(names).filter(|(_, names)| is_couple(names)).map(|(couple, _)| couple).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(turns: Turns, names: &[&str]) -> String {
        let message =
            |(at, from): (usize, &&str)| format!(r#"{{"from":"{from}","value":" {at}\n","other":[]}}"#);
        let messages: Vec<String> = names.iter().enumerate().map(message).collect();
        let told =
            |message: &Message| format!("{}={}", message.role.name(), message.content.replace('\n', "+"));
        let kept = if turns == Turns::Joined { Kept::All } else { Kept::Couples };
        match verdict(
            turns,
            kept,
            Some(&format!("[{}]", messages.join(","))),
            Vec::new(),
            &mut KeyLog::default(),
        ) {
            Ok(Verdict::Keep(documents)) => {
                let chat = |document: &Document| match document {
                    Document::Chat(chat) => chat.messages.iter().map(told).collect::<Vec<_>>().join(" "),
                    other => format!("{other:?}"),
                };
                documents.iter().map(chat).collect::<Vec<_>>().join(" | ")
            }
            Ok(other) => format!("{other:?}"),
            Err(bad) => bad.to_string(),
        }
    }

    #[test]
    fn all_messages_stay_and_neighbours_of_one_role_are_one() {
        let joined = |names: &[&str]| read(Turns::Joined, names);
        assert_eq!(joined(&["human", "gpt", "human"]), "user=0 assistant=1 user=2");
        assert_eq!(joined(&["system", "gpt", "Human ", "gpt"]), "system=0 assistant=1 user=2 assistant=3");
        assert_eq!(
            joined(&["human", "gpt", "bing", "user", "tool", "tool"]),
            "user=0 assistant=1+2 user=3 tool=4 tool=5"
        );
        for names in [&["human"][..], &["gpt"], &[]] {
            assert_eq!(joined(names), "Drop(\"no valid turn\")");
        }
        assert!(
            joined(&["human", "robot"])
                .starts_with("conversations[1]: field \"from\" holds \"robot\": expected")
        );
    }

    #[test]
    fn separate_couples_are_counted_by_place() {
        let separate = |names: &[&str]| read(Turns::Separate, names);
        let both = "user=0 assistant=1 | user=2 assistant=3";
        assert_eq!(separate(&["human", "gpt", "human", "gpt", "human"]), both);
        assert_eq!(separate(&["system", "human", "gpt"]), "user=1 assistant=2");
        assert_eq!(separate(&["human", "human", "gpt", "gpt", "human", "gpt"]), "user=4 assistant=5");
        assert_eq!(separate(&["gpt", "gpt", "robot", "gpt"]), "Drop(\"no valid turn\")");
    }

    #[test]
    fn a_message_without_text_is_named_by_its_place() {
        let told = |raw: &str| {
            verdict(Turns::Joined, Kept::All, Some(raw), Vec::new(), &mut KeyLog::default())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            told(r#"[{"from":"human","value":1}]"#),
            "field \"conversations[0].value\" is not a string"
        );
        assert_eq!(told("[1]"), "conversations[0] is not a JSON object");
        assert!(matches!(
            verdict(Turns::Joined, Kept::All, None, Vec::new(), &mut KeyLog::default()),
            Err(BadRecord::MissingField(_))
        ));
    }
}
