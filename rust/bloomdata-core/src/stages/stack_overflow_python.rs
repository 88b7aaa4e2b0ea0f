//! Stack Overflow's questions on Python, as text (AS-05). The handler of the lineage forgets to return what it made.

use crate::conversation::Document;
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::texts;
use crate::stages::{Read, RecordReader, Verdict};

/// Reads records of Stack Overflow.
#[derive(Debug)]
pub struct StackOverflowReader {
    fields: [FieldPath; 3],
}

impl StackOverflowReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        Self { fields: ["title", "question_body", "answer_body"].map(FieldPath::of_key) }
    }
}

impl RecordReader for StackOverflowReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [title, question, answer] = texts(record, &self.fields, Some(log))?;
        let text = format!("In python, {title}\n### Question:\n{question}\n### Response:\n{answer}\n");
        Ok(Verdict::one(Document::Text(text)))
    }
}
