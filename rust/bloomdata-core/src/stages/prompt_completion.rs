//! Prompt and completion: one object, or a list of them that is one conversation (GD-02). Nothing is stripped.

use serde::{Deserialize, Serialize};

use crate::conversation::Document;
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::fields::{or_none, raw};
use crate::stages::lists::{inside, parse_list};
use crate::stages::turns::{Turn, conversation};
use crate::stages::{Read, RecordReader, Verdict};

/// Keys of prompt and completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptCompletionOptions {
    /// Key of the prompt; where it is missing or null the prompt is empty.
    pub prompt_keyword: String,
    /// Key of the completion.
    pub completion_keyword: String,
}

impl Default for PromptCompletionOptions {
    fn default() -> Self {
        Self { prompt_keyword: "prompt".into(), completion_keyword: "completion".into() }
    }
}

/// Reads pairs of prompt and completion.
#[derive(Debug)]
pub struct PromptCompletionReader {
    fields: [FieldPath; 2],
}

impl PromptCompletionReader {
    /// A reader with these options.
    pub fn new(options: &PromptCompletionOptions) -> Self {
        let keywords = [&options.prompt_keyword, &options.completion_keyword];
        Self { fields: keywords.map(|keyword| FieldPath::of_key(keyword)) }
    }

    fn turn(&self, object: &str, log: &mut KeyLog<'_>) -> Result<Turn, BadRecord> {
        let [prompt, completion] = raw(object, &self.fields, Some(log))?;
        let prompt = or_none(text_of(&self.fields[0], prompt))?.unwrap_or_default();
        Ok((prompt.into_owned(), text_of(&self.fields[1], completion)?.into_owned()))
    }
}

impl RecordReader for PromptCompletionReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let record = record.trim_matches([' ', '\t', '\r', '\n']);
        let turns = if record.starts_with('[') {
            let turn = |(at, object)| self.turn(object, log).map_err(|bad| inside(&format!("[{at}]"), bad));
            parse_list(record)?.into_iter().enumerate().map(turn).collect::<Result<Vec<_>, _>>()?
        } else {
            vec![self.turn(record, log)?]
        };
        if turns.is_empty() {
            return Ok(Verdict::Drop("no valid turn"));
        }
        Ok(Verdict::one(Document::Chat(conversation(turns))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_conversation() {
        let reader = PromptCompletionReader::new(&PromptCompletionOptions::default());
        let pair = |turns: &[(&str, &str)]| {
            let turns = turns.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            Ok(Verdict::one(Document::Chat(conversation(turns))))
        };
        assert_eq!(reader.read(r#" {"completion":"c"}"#), pair(&[("", "c")]));
        let list = r#" [{"prompt":" a","completion":"b"},{"prompt":null,"completion":""}]"#;
        assert_eq!(reader.read(list), pair(&[(" a", "b"), ("", "")]));
        assert_eq!(reader.read("[]"), Ok(Verdict::Drop("no valid turn")));
        let told = reader.read(r#"[{"prompt":"a"}]"#).unwrap_err().to_string();
        assert_eq!(told, "no field \"[0].completion\"");
    }
}
