//! Chinese-Vicuna's chats: a list of questions and a list of their answers.

use crate::document::BadRecord;
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::raw;
use crate::stages::lists::strings;
use crate::stages::turns::TurnsOptions;
use crate::stages::{Read, RecordReader};

/// Reads records of Chinese-Vicuna.
#[derive(Debug)]
pub struct VicunaReader {
    options: TurnsOptions,
    fields: [FieldPath; 2],
}

impl VicunaReader {
    /// A reader with these options.
    pub fn new(options: TurnsOptions) -> Self {
        Self { options, fields: ["input", "output"].map(FieldPath::of_key) }
    }
}

impl RecordReader for VicunaReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [input, output] = raw(record, &self.fields, Some(log))?;
        let (input, output) = (strings("input", input)?, strings("output", output)?);
        if input.len() != output.len() {
            let told = format!("input has {} texts, but output {}", input.len(), output.len());
            return Err(BadRecord::WrongForm(told));
        }
        let turn = |(prompt, completion): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
            (prompt.into_owned(), completion.into_owned())
        };
        Ok(self.options.turns.verdict(input.into_iter().zip(output).map(turn).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_needs_its_answer() {
        let reader = VicunaReader::new(TurnsOptions::default());
        let told = reader.read(r#"{"input":["a"],"output":[]}"#).unwrap_err().to_string();
        assert_eq!(told, "input has 1 texts, but output 0");
        let told = reader.read(r#"{"input":"a","output":["b"]}"#).unwrap_err().to_string();
        assert_eq!(told, "field \"input\" holds a string, not a list");
    }
}
