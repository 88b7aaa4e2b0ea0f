//! `WuDaoCorpora`: title and content (OL-05). Nothing is stripped.

use crate::conversation::Document;
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::texts;
use crate::stages::{Read, RecordReader, Verdict};

/// Reads records of `WuDao`.
#[derive(Debug)]
pub struct WudaoReader {
    fields: [FieldPath; 2],
}

impl WudaoReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        Self { fields: ["title", "content"].map(FieldPath::of_key) }
    }
}

impl RecordReader for WudaoReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [title, content] = texts(record, &self.fields, Some(log))?;
        Ok(Verdict::one(Document::Text(format!("{title}\n{content}"))))
    }
}
