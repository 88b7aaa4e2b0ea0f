//! Files of OIG: text that is tagged already (BC-05, BC-06).

use serde::{Deserialize, Serialize};

use crate::conversation::{Document, python_strip};
use crate::json_fields::{FieldPath, extract_raw};
use crate::stages::fields::texts;
use crate::stages::{Read, RecordReader, Verdict};

/// Options of OIG files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OigOptions {
    /// Rows whose `meta.source` is one of these are left out.
    pub drop_sources: Vec<String>,
}

/// Reads records of OIG.
#[derive(Debug)]
pub struct OigReader {
    options: OigOptions,
    text: [FieldPath; 1],
    source: [FieldPath; 1],
}

impl OigReader {
    /// A reader with these options.
    pub fn new(options: OigOptions) -> Self {
        let source =
            FieldPath::parse("meta.source").map_or_else(|_| [FieldPath::of_key("meta")], |path| [path]);
        Self { options, text: [FieldPath::of_key("text")], source }
    }
}

impl RecordReader for OigReader {
    fn read(&self, record: &str) -> Read {
        let [text] = texts(record, &self.text)?;
        let source = extract_raw(record, &self.source)?;
        if let [Some(source)] = source[..]
            && let Ok(source) = serde_json::from_str::<String>(source)
            && self.options.drop_sources.contains(&source)
        {
            return Ok(Verdict::Drop("source left out"));
        }
        // The script ends every text with one newline.
        Ok(Verdict::one(Document::Text(format!("{}\n", python_strip(&text)))))
    }
}
