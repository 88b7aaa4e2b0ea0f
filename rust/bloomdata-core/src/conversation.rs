//! What a record says, whatever form its source gives it: a text, or messages with roles.

use serde::{Deserialize, Serialize};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person.
    User,
    /// The model; what it says is trained on.
    Assistant,
    /// What a tool returned.
    Tool,
}

impl Role {
    /// As chat templates call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Whether it may be trained on; switches of its source leave answers out.
    pub trains: bool,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), trains: true }
    }
}

/// Keys of a record for the text of its system.
pub const SYSTEM_KEYS: [&str; 3] = ["system", "system_prompt", "system_message"];

/// The role of a name that is in common use; letter case and space around it do not matter.
pub fn usual_role(name: &str) -> Option<Role> {
    let name = python_strip(name).to_lowercase();
    match name.as_str() {
        "system" | "developer" => Some(Role::System),
        "user" | "human" | "prompter" => Some(Role::User),
        // The last two are what the model says to call a tool.
        "assistant" | "gpt" | "chatgpt" | "bing" | "bard" | "claude" | "gemini" | "bot" | "chatbot"
        | "model" | "ai" | "function_call" | "tool_call" => Some(Role::Assistant),
        "tool" | "function" | "observation" | "ipython" | "function_response" | "function_result"
        | "tool_response" | "tool_result" => Some(Role::Tool),
        _ => None,
    }
}

/// The message for an unknown role.
pub fn unknown_role(field: &str, name: &str) -> String {
    format!("field {field:?} holds {name:?}: expected a role such as system, user, assistant or tool")
}

/// Whether two neighbours can be one message. Not two of tools, each of which says its own thing, and not an answer that is
/// switched off with one that is not.
pub fn is_repeated(one: &Message, other: &Message) -> bool {
    one.role == other.role && one.role != Role::Tool && one.trains == other.trains
}

/// Neighbours of one role become one, with newlines between.
pub fn join(messages: Vec<Message>) -> Vec<Message> {
    let mut joined: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match joined.last_mut() {
            Some(last) if is_repeated(last, &message) => {
                last.content.push('\n');
                last.content.push_str(&message.content);
            }
            _ => joined.push(message),
        }
    }
    joined
}

/// What a record becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Text without roles: all of it is trained on.
    Text(String),
    /// A conversation.
    Chat(Conversation),
    /// Judged answers to a prompt.
    Preference(Preference),
}

/// Answers to one prompt that were judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// What both answer; it ends with no answer.
    pub prompt: Vec<Message>,
    /// The answers.
    pub judged: Judged,
}

/// Answers, each one message of the assistant or several turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Two of them.
    Compared {
        /// The better one.
        chosen: Vec<Message>,
        /// The other.
        rejected: Vec<Message>,
    },
    /// One.
    Labelled {
        /// What is said.
        completion: Vec<Message>,
        /// Whether it is good.
        label: bool,
    },
}

impl Judged {
    /// Each answer; the better one first.
    pub fn answers(&self) -> Vec<&[Message]> {
        match self {
            Self::Compared { chosen, rejected } => vec![chosen, rejected],
            Self::Labelled { completion, .. } => vec![completion],
        }
    }
}

impl Preference {
    /// The prompt with each of the answers, of which alone is trained on.
    pub fn conversations(&self) -> Vec<Conversation> {
        let prompt = self.prompt.iter().map(|message| Message { trains: false, ..message.clone() });
        let with = |answer: &[Message]| prompt.clone().chain(answer.iter().cloned()).collect();
        let answers = self.judged.answers().into_iter();
        answers.map(|answer| Conversation { messages: with(answer), strip: false }).collect()
    }
}

/// Messages in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether white space around the whole rendered text is left out, as the source's own script does.
    pub strip: bool,
}

impl Conversation {
    /// A single question and its answer.
    pub fn pair(prompt: impl Into<String>, completion: impl Into<String>) -> Self {
        let messages = vec![Message::new(Role::User, prompt), Message::new(Role::Assistant, completion)];
        Self { messages, strip: false }
    }
}

/// Whether Python's `str.strip` takes a character away: those of Unicode, and the four separators of ASCII.
pub fn is_python_space(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{1c}'..='\u{1f}')
}

/// `str.strip` of Python.
pub fn python_strip(text: &str) -> &str {
    text.trim_matches(is_python_space)
}
