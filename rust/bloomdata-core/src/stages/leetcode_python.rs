//! `LeetCode` solutions in Python: the problem, then the code with its explanation (AS-05).

use crate::conversation::{Conversation, Document, python_strip};
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::texts;
use crate::stages::{Read, RecordReader, Verdict};

/// Reads records of `LeetCode`.
#[derive(Debug)]
pub struct LeetcodeReader {
    fields: [FieldPath; 3],
}

impl LeetcodeReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        Self { fields: ["code_with_problem", "code_only", "explanation_only"].map(FieldPath::of_key) }
    }
}

impl RecordReader for LeetcodeReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [problem, code, explanation] = texts(record, &self.fields, Some(log))?;
        // Behind the first fence the field repeats the solution.
        let problem = problem.split("```").next().unwrap_or_default();
        let answer = format!("{code}\n{explanation}");
        Ok(Verdict::one(Document::Chat(Conversation::pair(python_strip(problem), answer))))
    }
}
