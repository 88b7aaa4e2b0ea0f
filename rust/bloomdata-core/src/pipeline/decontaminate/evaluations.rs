//! Evaluation files become texts that are looked for.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::decontaminate::rows::{Part, RowText};
use crate::document::{Block, is_blank};
use crate::error::{Error, Result};
use crate::json_fields::{FieldPath, extract_raw, invalid_utf8, text_of};
use crate::pipeline::feed::{Item, Reading};
use crate::pipeline::folder::run::CustomReader;
use crate::progress::Progress;
use crate::sources::Format;
use crate::sources::expand::expand;

const FIELDS: [&str; 5] = ["id", "text", "question", "answer", "passage"];

/// An evaluation file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvaluationSet {
    /// As the user named it.
    pub path: PathBuf,
    /// BLAKE3 of the file as stored.
    pub hash: String,
    /// Its rows.
    pub rows: u64,
}

/// All that is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluations {
    /// In order.
    pub sets: Vec<EvaluationSet>,
    /// Their texts, in order.
    pub texts: Vec<RowText>,
}

impl Evaluations {
    /// Reads all rows.
    ///
    /// # Errors
    /// Nothing found, a file without rows, a row without a text, what can be wrong with a file.
    pub fn read(
        patterns: &[String],
        output: &Path,
        custom: &CustomReader<'_>,
        progress: &Progress,
    ) -> Result<Self> {
        if patterns.is_empty() {
            return Err(Error::config("evaluations", "expected at least one file of rows, got none"));
        }
        let list = expand(patterns, Some(output)).map_err(|error| match error {
            Error::Config { reason, .. } => Error::config("evaluations", reason),
            other => other,
        })?;
        let lines_of_text = list.inputs.iter().find(|input| input.format == Format::Text);
        if let Some(input) = lines_of_text {
            let (found, supported) = ("lines of text".into(), "rows of JSON, such as .jsonl".into());
            return Err(Error::Unsupported { path: input.path.clone(), found, supported });
        }
        let reading = Reading { inputs: &list, custom, num_threads: 1, progress, first_input: 0 };
        let mut all = Self::default();
        let (mut line, mut rows) = (0, 0);
        reading.run(
            || (),
            |(), block| Ok(Item::Block(block)),
            |blocks| {
                for item in blocks {
                    match item? {
                        Item::Block(block) => {
                            all.take(&list.inputs[block.file].path, &block, (&mut line, &mut rows))?;
                        }
                        Item::End { file, hash, .. } => {
                            let path = list.inputs[file].path.clone();
                            if rows == 0 {
                                let reason = format!("{}: expected rows of JSON, got none", path.display());
                                return Err(Error::config("evaluations", reason));
                            }
                            all.sets.push(EvaluationSet { path, hash, rows });
                            (line, rows) = (0, 0);
                        }
                    }
                }
                Ok(())
            },
        )?;
        Ok(all)
    }

    /// Adds the rows of a block.
    fn take(&mut self, path: &Path, block: &Block, (line, rows): (&mut u64, &mut u64)) -> Result<()> {
        block.for_each(|record| {
            *line += 1;
            if is_blank(record.bytes) {
                return Ok(());
            }
            *rows += 1;
            let found = row(record.bytes, (path, *line), self.sets.len());
            let reason =
                |reason: String| Error::corrupt(path, record.offset, format!("line {line}: {reason}"));
            self.texts.extend(found.map_err(reason)?);
            Ok(())
        })
    }

    /// Bytes of memory of the texts, about.
    pub fn bytes(&self) -> u64 {
        let of_text = |text: &RowText| {
            let answer = text.answer.as_ref().map_or(0, String::len);
            (size_of::<RowText>() + text.id.len() + text.text.len() + answer) as u64
        };
        self.texts.iter().map(of_text).sum()
    }
}

/// The texts of a row; or what is wrong with it.
fn row(record: &[u8], (path, line): (&Path, u64), set: usize) -> std::result::Result<Vec<RowText>, String> {
    let bad = |error: crate::document::BadRecord| error.to_string();
    let json = simdutf8::basic::from_utf8(record).map_err(|_| bad(invalid_utf8(record)))?;
    let fields = FIELDS.map(FieldPath::of_key);
    let raw = extract_raw(json, &fields, None).map_err(bad)?;
    let value = |at: usize| {
        let is_number = |raw: &str| raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        match raw[at].filter(|raw| *raw != "null") {
            None => Ok(None),
            Some(raw) if is_number(raw) && matches!(at, 0 | 3) => Ok(Some(raw.to_owned())),
            raw => text_of(&fields[at], raw).map(|text| Some(text.into_owned())).map_err(bad),
        }
    };
    let (id, text, question, answer, passage) = (value(0)?, value(1)?, value(2)?, value(3)?, value(4)?);
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let id = id.unwrap_or_else(|| format!("{name}:{line}"));
    let of = |part, text, answer| RowText { set, line, id: id.clone(), part, text, answer };
    let mut texts = Vec::new();
    match (question, text) {
        (Some(question), _) => texts.push(of(Part::Question, question, answer)),
        (None, Some(text)) => texts.push(of(Part::Text, text, answer)),
        (None, None) => {}
    }
    texts.extend(passage.map(|passage| of(Part::Passage, passage, None)));
    if texts.is_empty() {
        let keys: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
        let keys: Vec<&String> = keys.keys().collect();
        return Err(format!("expected a field `text`, `question` or `passage`, got the keys {keys:?}"));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> std::result::Result<Vec<RowText>, String> {
        row(json.as_bytes(), (Path::new("evals/a.jsonl"), 7), 0)
    }

    #[test]
    fn rows_have_names_and_one_or_two_texts() {
        let rows = of(r#"{"question": "q", "passage": "p", "answer": 42, "text": "t"}"#).unwrap();
        assert_eq!(
            rows.iter().map(|row| (row.part, &*row.text)).collect::<Vec<_>>(),
            [(Part::Question, "q"), (Part::Passage, "p")]
        );
        assert_eq!((&*rows[0].id, rows[0].answer.as_deref()), ("a.jsonl:7", Some("42")));
        assert_eq!(of(r#"{"id": 3, "text": "t", "question": null}"#).unwrap()[0].id, "3");
    }

    #[test]
    fn rows_without_a_text_say_what_they_have() {
        assert!(of(r#"{"prompt": "x", "id": 1}"#).unwrap_err().contains(r#"["id", "prompt"]"#));
        assert!(of(r#"{"text": ["x"]}"#).unwrap_err().contains("not a string"));
        assert!(of("[1]").unwrap_err().contains("not a JSON object"));
    }
}
