//! Files of OIG: text that is tagged already (BC-05, BC-06).

use serde::{Deserialize, Serialize};

use crate::conversation::{Document, python_strip};
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::fields::{note_unused, raw};
use crate::stages::{Read, RecordReader, Verdict, tagged};

/// Options of OIG files. The defaults do what the script does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OigOptions {
    /// Rows of these sources are left out.
    pub drop_sources: Vec<String>,
    /// Where a row names its source.
    pub source_key: SourceKey,
    /// Whether the tagged text is cut into messages, which then have roles; text that does not fit is an error.
    pub parse: bool,
}

/// Where a row of OIG names its source. The script knows `meta` only, but some files say `metadata`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKey {
    /// `meta.source`.
    #[default]
    Meta,
    /// `metadata.source`.
    Metadata,
    /// Either of them.
    Both,
}

const META: &str = "meta";
const METADATA: &str = "metadata";

impl Default for OigOptions {
    fn default() -> Self {
        Self { drop_sources: vec!["prosocial".into()], source_key: SourceKey::Meta, parse: false }
    }
}

/// Reads records of OIG.
#[derive(Debug)]
pub struct OigReader {
    options: OigOptions,
    fields: [FieldPath; 3],
    source: [FieldPath; 1],
}

impl OigReader {
    /// A reader with these options.
    pub fn new(options: OigOptions) -> Self {
        let fields = ["text", META, METADATA].map(FieldPath::of_key);
        Self { options, fields, source: [FieldPath::of_key("source")] }
    }

    /// Whether this row of a source that is left out says so in `meta`, whatever else that may be.
    fn is_left_out(&self, key: &str, meta: Option<&str>, log: &mut KeyLog<'_>) -> bool {
        let Some(meta) = meta else { return false };
        let Ok([source]) = log.inside(key, |log| raw(meta, &self.source, Some(log))) else {
            note_unused(&[(key, Some(meta))], log);
            return false;
        };
        text_of(&self.source[0], source)
            .is_ok_and(|source| self.options.drop_sources.iter().any(|left_out| *left_out == source))
    }
}

impl RecordReader for OigReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [text, meta, metadata] = raw(record, &self.fields, Some(log))?;
        let text = text_of(&self.fields[0], text)?;
        let is_left_out = match self.options.source_key {
            SourceKey::Meta => {
                note_unused(&[(METADATA, metadata)], log);
                self.is_left_out(META, meta, log)
            }
            SourceKey::Metadata => {
                note_unused(&[(META, meta)], log);
                self.is_left_out(METADATA, metadata, log)
            }
            SourceKey::Both => self.is_left_out(META, meta, log) || self.is_left_out(METADATA, metadata, log),
        };
        if is_left_out {
            return Ok(Verdict::Drop("source left out"));
        }
        Ok(Verdict::one(if self.options.parse {
            Document::Chat(tagged::conversation(&text)?)
        } else {
            // The script ends every text with one newline.
            Document::Text(format!("{}\n", python_strip(&text)))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &str, record: &str) -> Verdict {
        OigReader::new(serde_json::from_str(options).unwrap()).read(record).unwrap()
    }

    #[test]
    fn prosocial_rows_are_left_out_where_the_script_looks() {
        let kept = Verdict::one(Document::Text("x\n".into()));
        let left_out = Verdict::Drop("source left out");
        let meta = r#"{"text":" x ","meta":{"source":"prosoci\u0061l"}}"#;
        let metadata = r#"{"text":" x ","metadata":{"source":"prosocial"}}"#;
        assert_eq!(read("{}", meta), left_out);
        assert_eq!(read("{}", metadata), kept);
        assert_eq!(read(r#"{"source_key":"metadata"}"#, metadata), left_out);
        assert_eq!(read(r#"{"source_key":"both"}"#, meta), left_out);
        assert_eq!(read(r#"{"drop_sources":[]}"#, meta), kept);
        for other in ["null", "1", "[]", "{}", r#"{"source":null}"#, r#"{"source":"\ud800"}"#] {
            assert_eq!(read("{}", &format!(r#"{{"text":"x","meta":{other}}}"#)), kept);
        }
    }
}
