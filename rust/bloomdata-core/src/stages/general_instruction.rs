//! The general instruction handler of the Megatron lineage: the input stands below the instruction, even an empty one (AS-05).

use crate::conversation::{Conversation, Document};
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::texts;
use crate::stages::{Read, RecordReader, Verdict};

/// Reads records of instruction, input and output.
#[derive(Debug)]
pub struct GeneralInstructionReader {
    fields: [FieldPath; 3],
}

impl GeneralInstructionReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        Self { fields: ["instruction", "input", "output"].map(FieldPath::of_key) }
    }
}

impl RecordReader for GeneralInstructionReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [instruction, input, output] = texts(record, &self.fields, Some(log))?;
        Ok(Verdict::one(Document::Chat(Conversation::pair(format!("{instruction}\n{input}"), output))))
    }
}
