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
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// What a record becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Text without roles: all of it is trained on.
    Text(String),
    /// A conversation.
    Chat(Conversation),
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
