//! Where a record holds what a conversation says.

use super::message::MessageKeys;
use crate::json_fields::FieldPath;
use crate::switches::KEYS;

/// Keys of a record for the text of its system.
pub(super) const SYSTEMS: [&str; 3] = ["system", "system_prompt", "system_message"];
/// Keys of a record for what a conversation of messages cannot hold.
const UNKNOWN: [&str; 2] = ["functions", "history"];

/// Where a record holds its messages, tools and documents, and a message its role and its content.
#[derive(Debug)]
pub struct ChatKeys {
    /// Messages, tools, documents, switches, and what else may say something.
    pub(super) record: Vec<FieldPath>,
    pub(super) message: MessageKeys,
    pub(super) ignored: Vec<String>,
}

impl ChatKeys {
    /// With the messages at this path; `tools` and `documents` are keys of the record itself.
    pub fn new(messages: FieldPath, message: MessageKeys) -> Self {
        let others = ["tools", "documents"].into_iter().chain(KEYS).chain(SYSTEMS).chain(UNKNOWN);
        let record = std::iter::once(messages).chain(others.map(FieldPath::of_key)).collect();
        Self { record, message, ignored: Vec::new() }
    }

    /// With keys of records and messages that may be lost.
    #[must_use]
    pub fn ignoring(self, ignored: &[String]) -> Self {
        Self { ignored: ignored.to_vec(), ..self }
    }
}
