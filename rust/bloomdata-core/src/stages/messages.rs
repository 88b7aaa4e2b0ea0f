//! Lists of messages with roles, as chat templates take them; and the rule of GDP's converter (GD-26).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::conversation::{
    Conversation, Document, Message, Role, is_repeated, join, unknown_role, usual_role,
};
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::context::{self, add_context};
use crate::stages::lists::{elements, inside, parse_list};
use crate::stages::switched::{obey_switches, raw_and, switch_of};
use crate::stages::{Read, RecordReader, Verdict};
use crate::switches;

/// Keys and names of messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessagesOptions {
    /// Key of the list; a record may also be the list itself.
    pub messages_keyword: String,
    /// Key of the role.
    pub role_keyword: String,
    /// Key of the content.
    pub content_keyword: String,
    /// Names of roles, looked at before the usual ones.
    pub roles: BTreeMap<String, Role>,
    /// What becomes of neighbours of one role.
    pub consecutive: Consecutive,
}

/// What becomes of messages of one role that follow each other. A tool may always say several things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consecutive {
    /// They stay.
    #[default]
    Keep,
    /// GDP's converter: a pair at each message of the assistant, with the last that the user said since the one
    /// before, or nothing. What the user says after the last answer is left out. Other messages stay where they are.
    Last,
    /// They become one, with newlines between; not an answer that is switched off and one that is not.
    Join,
    /// They are an error.
    Refuse,
}

impl Default for MessagesOptions {
    fn default() -> Self {
        Self {
            messages_keyword: "messages".into(),
            role_keyword: "role".into(),
            content_keyword: "content".into(),
            roles: BTreeMap::new(),
            consecutive: Consecutive::Keep,
        }
    }
}

/// Reads lists of messages.
#[derive(Debug)]
pub struct MessagesReader {
    options: MessagesOptions,
    list: [FieldPath; 1],
    /// The list, as keys of messages are counted.
    inside: String,
    fields: [FieldPath; 4],
}

impl MessagesReader {
    /// A reader with these options.
    pub fn new(options: MessagesOptions) -> Self {
        let list = [FieldPath::of_key(&options.messages_keyword)];
        let fields = [&options.role_keyword, &options.content_keyword, "tool_calls", "function_call"];
        let fields = fields.map(FieldPath::of_key);
        let inside = format!("{}[]", options.messages_keyword);
        Self { options, list, inside, fields }
    }

    /// A message, and what its switches say.
    fn message(&self, message: &str, log: &mut KeyLog<'_>) -> Result<(Message, Option<bool>), BadRecord> {
        let ([role, content, tool_calls, function_call], given) =
            raw_and(message, &self.fields, switches::named, log)?;
        for (field, call) in [("tool_calls", tool_calls), ("function_call", function_call)] {
            if !matches!(call, None | Some("null" | "[]" | "{}")) {
                let told = format!("field {field:?} holds calls of tools, which would be lost");
                return Err(BadRecord::WrongForm(told));
            }
        }
        let name = text_of(&self.fields[0], role)?;
        let role = self.options.roles.get(&*name).copied().or_else(|| usual_role(&name));
        let role = role.ok_or_else(|| BadRecord::WrongForm(unknown_role(self.fields[0].name(), &name)))?;
        let switch = switch_of(given)?;
        Ok((Message::new(role, text_of(&self.fields[1], content)?), switch))
    }

    fn arrange(&self, messages: Vec<Message>) -> Result<Vec<Message>, BadRecord> {
        match self.options.consecutive {
            Consecutive::Keep => Ok(messages),
            Consecutive::Last => Ok(pairs(messages)),
            Consecutive::Join => Ok(join(messages)),
            Consecutive::Refuse => {
                if let Some(at) = messages.windows(2).position(|two| is_repeated(&two[0], &two[1])) {
                    let (list, role) = (self.list[0].name(), messages[at].role.name());
                    let told = format!("{list}[{at}] and {list}[{}] are both of the {role}", at + 1);
                    return Err(BadRecord::WrongForm(told));
                }
                Ok(messages)
            }
        }
    }
}

impl RecordReader for MessagesReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let record = record.trim_matches([' ', '\t', '\r', '\n']);
        let name = self.list[0].name();
        let (list, given) = if record.starts_with('[') {
            (parse_list(record)?, Vec::new())
        } else {
            let ([list], given) = raw_and(record, &self.list, context::named, log)?;
            (elements(name, list)?, given)
        };
        let (switches, context) = switches::parted(given);
        let read = log.inside(&self.inside, |log| {
            let message = |(at, message)| {
                self.message(message, log).map_err(|bad: BadRecord| inside(&format!("{name}[{at}]"), bad))
            };
            list.into_iter().enumerate().map(message).collect::<Result<Vec<_>, _>>()
        })?;
        let (mut messages, states): (Vec<Message>, Vec<_>) = read.into_iter().unzip();
        obey_switches(&mut messages, states, &switches)?;
        add_context(&mut messages, &context)?;
        if messages.is_empty() {
            return Ok(Verdict::Drop("no message"));
        }
        let messages = self.arrange(messages)?;
        if self.options.consecutive == Consecutive::Last
            && !messages.iter().any(|message| message.role == Role::Assistant)
        {
            return Ok(Verdict::Drop("no answer"));
        }
        Ok(Verdict::one(Document::Chat(Conversation { messages, strip: false })))
    }
}

/// A question in front of each answer.
fn pairs(messages: Vec<Message>) -> Vec<Message> {
    let mut arranged = Vec::with_capacity(messages.len());
    let mut question: Option<Message> = None;
    for message in messages {
        match message.role {
            Role::User => question = Some(message),
            Role::Assistant => {
                arranged.push(question.take().unwrap_or_else(|| Message::new(Role::User, "")));
                arranged.push(message);
            }
            Role::System | Role::Tool => arranged.push(message),
        }
    }
    arranged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &str, roles: &[&str]) -> String {
        let message = |(at, role): (usize, &&str)| format!(r#"{{"role":"{role}","content":"{at}"}}"#);
        let messages: Vec<String> = roles.iter().enumerate().map(message).collect();
        let record = format!(r#"{{"messages":[{}]}}"#, messages.join(","));
        match MessagesReader::new(serde_json::from_str(options).unwrap()).read(&record) {
            Ok(Verdict::Keep(documents)) => match &documents[..] {
                [Document::Chat(chat)] => {
                    let told = |message: &Message| format!("{}={}", message.role.name(), message.content);
                    chat.messages.iter().map(told).collect::<Vec<_>>().join(" ")
                }
                other => unreachable!("{other:?}"),
            },
            Ok(other) => format!("{other:?}"),
            Err(bad) => bad.to_string(),
        }
    }

    #[test]
    fn neighbours_of_one_role_stay_overwrite_join_or_are_refused() {
        let roles = ["system", "user", "human", "gpt", "assistant", "tool", "tool", "user"];
        let last = r#"{"consecutive":"last"}"#;
        let join = r#"{"consecutive":"join"}"#;
        let refuse = r#"{"consecutive":"refuse"}"#;
        assert_eq!(read("{}", &roles), "system=0 user=1 user=2 assistant=3 assistant=4 tool=5 tool=6 user=7");
        assert_eq!(read(last, &roles), "system=0 user=2 assistant=3 user= assistant=4 tool=5 tool=6");
        assert_eq!(read(join, &roles), "system=0 user=1\n2 assistant=3\n4 tool=5 tool=6 user=7");
        assert_eq!(read(refuse, &roles), "messages[1] and messages[2] are both of the user");
        assert_eq!(read(last, &["user"]), "Drop(\"no answer\")");
        assert_eq!(read("{}", &[]), "Drop(\"no message\")");
    }

    #[test]
    fn roles_have_usual_names_and_those_that_the_user_gives() {
        assert_eq!(
            read(r#"{"roles":{"ich":"user","human":"system"}}"#, &["human", "ich"]),
            "system=0 user=1"
        );
        assert_eq!(
            read("{}", &["ich"]),
            "messages[0]: field \"role\" holds \"ich\": expected a role such as system, user, assistant or tool"
        );
    }

    #[test]
    fn calls_of_tools_are_not_lost_in_silence() {
        let reader = MessagesReader::new(MessagesOptions::default());
        let record = r#"[{"role":"assistant","content":"","tool_calls":[{"id":1}]}]"#;
        let told = reader.read(record).unwrap_err().to_string();
        assert_eq!(told, "messages[0]: field \"tool_calls\" holds calls of tools, which would be lost");
        assert!(reader.read(r#"[{"role":"assistant","content":"","tool_calls":null}]"#).is_ok());
    }
}
