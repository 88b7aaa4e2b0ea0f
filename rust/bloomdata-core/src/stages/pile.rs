//! The Pile: the text as it is (OL-05).

use crate::conversation::Document;
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::texts;
use crate::stages::{Read, RecordReader, Verdict};

/// Reads records of the Pile.
#[derive(Debug)]
pub struct PileReader {
    fields: [FieldPath; 1],
}

impl PileReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        Self { fields: [FieldPath::of_key("text")] }
    }
}

impl RecordReader for PileReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [text] = texts(record, &self.fields, Some(log))?;
        Ok(Verdict::one(Document::Text(text.into_owned())))
    }
}
