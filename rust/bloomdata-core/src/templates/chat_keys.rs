//! Where a record holds what a conversation says.

use super::message::MessageKeys;
use super::tool_arguments::ToolArguments;
use crate::conversation::SYSTEM_KEYS;
use crate::json_fields::{FieldPath, name_of};
use crate::switches;

/// Keys of a record for what a conversation of messages cannot hold.
const UNKNOWN: [&str; 2] = ["functions", "history"];
/// Key of a record for texts that a template may quote.
pub(super) const DOCUMENTS: &str = "documents";

/// Where a record holds its messages, tools and documents, and a message its role and its content.
#[derive(Debug)]
pub struct ChatKeys {
    /// Messages, tools, documents.
    pub(super) record: [FieldPath; 3],
    /// The list of messages, as keys of messages are counted: `messages[]`.
    pub(super) list: String,
    pub(super) message: MessageKeys,
    pub(super) ignored: Vec<String>,
    pub(super) tool_arguments: ToolArguments,
}

impl ChatKeys {
    /// With the messages at this path; `tools` and `documents` are keys of the record itself.
    pub fn new(messages: FieldPath, message: MessageKeys) -> Self {
        let record = [messages, FieldPath::of_key("tools"), FieldPath::of_key(DOCUMENTS)];
        let list = format!("{}[]", record[0].name());
        Self { record, list, message, ignored: Vec::new(), tool_arguments: ToolArguments::Given }
    }

    /// With what templates get of arguments of tools that are a text.
    #[must_use]
    pub fn giving(self, tool_arguments: ToolArguments) -> Self {
        Self { tool_arguments, ..self }
    }

    /// With keys of records and messages that may be lost.
    #[must_use]
    pub fn ignoring(self, ignored: &[String]) -> Self {
        Self { ignored: ignored.to_vec(), ..self }
    }
}

/// The name of another key of a record that says something.
pub(super) fn named(key: &[u8]) -> Option<&'static str> {
    name_of(key, SYSTEM_KEYS.into_iter().chain(UNKNOWN).chain(switches::KEYS))
}
