//! databricks-dolly-15k: instruction, context, response (BC-03). Nothing is stripped.

use crate::conversation::{Conversation, Document};
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::texts;
use crate::stages::{Read, RecordReader, Verdict};

/// Reads records of Dolly.
#[derive(Debug)]
pub struct DollyReader {
    fields: [FieldPath; 3],
}

impl DollyReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        Self { fields: ["instruction", "context", "response"].map(FieldPath::of_key) }
    }
}

impl RecordReader for DollyReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [instruction, context, response] = texts(record, &self.fields, Some(log))?;
        let prompt =
            if context.is_empty() { instruction.into_owned() } else { format!("{instruction}\n{context}") };
        Ok(Verdict::one(Document::Chat(Conversation::pair(prompt, response))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Message, Role};

    #[test]
    fn context_stands_below_the_instruction() {
        let read = |record: &str| DollyReader::new().read(record).unwrap();
        let chat = |prompt: &str| {
            let messages = vec![Message::new(Role::User, prompt), Message::new(Role::Assistant, " r ")];
            Verdict::one(Document::Chat(Conversation { messages, strip: false }))
        };
        assert_eq!(read(r#"{"instruction":"i","context":"","response":" r ","category":"x"}"#), chat("i"));
        assert_eq!(read(r#"{"instruction":"i","context":"c","response":" r "}"#), chat("i\nc"));
    }
}
