//! Self-Instruct's seed tasks: an instruction, and instances of input and output. Each instance is a document.

use crate::conversation::{Conversation, Document};
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::alpaca::with_input;
use crate::stages::fields::{raw, texts};
use crate::stages::lists::{elements, inside};
use crate::stages::{Read, RecordReader, Verdict};

/// Reads seed tasks.
#[derive(Debug)]
pub struct SeedTasksReader {
    fields: [FieldPath; 2],
    instance: [FieldPath; 2],
}

impl SeedTasksReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        let fields = ["instruction", "instances"].map(FieldPath::of_key);
        Self { fields, instance: ["input", "output"].map(FieldPath::of_key) }
    }
}

impl RecordReader for SeedTasksReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [instruction, instances] = raw(record, &self.fields, Some(log))?;
        let instruction = text_of(&self.fields[0], instruction)?;
        let mut document = |(at, instance)| {
            let read = |log: &mut KeyLog<'_>| texts(instance, &self.instance, Some(log));
            let [input, output] =
                log.inside("instances[]", read).map_err(|bad| inside(&format!("instances[{at}]"), bad))?;
            Ok(Document::Chat(Conversation::pair(with_input(&instruction, &input), output)))
        };
        let documents: Vec<Document> = elements("instances", instances)?
            .into_iter()
            .enumerate()
            .map(&mut document)
            .collect::<Result<_, _>>()?;
        Ok(if documents.is_empty() { Verdict::Drop("no instance") } else { Verdict::Keep(documents) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_is_a_document() {
        let record =
            r#"{"instruction":"i","instances":[{"input":"","output":"a"},{"input":"x","output":"b"}]}"#;
        let chat = |prompt: &str, completion: &str| Document::Chat(Conversation::pair(prompt, completion));
        let reader = SeedTasksReader::new();
        assert_eq!(reader.read(record), Ok(Verdict::Keep(vec![chat("i", "a"), chat("i\nx", "b")])));
        assert_eq!(reader.read(r#"{"instruction":"i","instances":[]}"#), Ok(Verdict::Drop("no instance")));
    }
}
