//! Records that hold one question and its answer in two fields.

use crate::conversation::{Conversation, Document, python_strip};
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::texts;
use crate::stages::{Read, RecordReader, Verdict};

/// What becomes of the two texts.
pub type Turn = fn(&str, &str) -> (String, String);

/// Reads records of two fields.
#[derive(Debug)]
pub struct PairReader {
    fields: [FieldPath; 2],
    turn: Turn,
}

impl PairReader {
    /// A reader of the fields with these keys.
    pub fn new(keys: [&str; 2], turn: Turn) -> Self {
        Self { fields: keys.map(FieldPath::of_key), turn }
    }
}

impl RecordReader for PairReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [prompt, completion] = texts(record, &self.fields, Some(log))?;
        let (prompt, completion) = (self.turn)(&prompt, &completion);
        Ok(Verdict::one(Document::Chat(Conversation::pair(prompt, completion))))
    }
}

/// White space around both is left out.
pub fn stripped(prompt: &str, completion: &str) -> (String, String) {
    (python_strip(prompt).to_owned(), python_strip(completion).to_owned())
}
