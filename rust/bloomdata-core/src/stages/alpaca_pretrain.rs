//! Alpaca as text, as the pretraining handler of the Megatron lineage writes it (AS-05).
//!
//! Where there is no input, the handler writes the word None; here the block of the input is left out.

use crate::conversation::Document;
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::fields::{or_none, raw};
use crate::stages::{Read, RecordReader, Verdict};

const PREAMBLE: &str = "A chat between a curious user and an artificial intelligence assistant. The assistant gives \
                        helpful, detailed, and polite answers to the user's questions.USER: Below is an instruction \
                        that describes a task. Write a response that appropriately completes the request.";

/// Reads records of instruction, input and output.
#[derive(Debug)]
pub struct AlpacaPretrainReader {
    fields: [FieldPath; 3],
}

impl AlpacaPretrainReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        Self { fields: ["instruction", "input", "output"].map(FieldPath::of_key) }
    }
}

impl RecordReader for AlpacaPretrainReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [instruction, input, output] = raw(record, &self.fields, Some(log))?;
        let instruction = text_of(&self.fields[0], instruction)?;
        let input = or_none(text_of(&self.fields[1], input))?.unwrap_or_default();
        let output = text_of(&self.fields[2], output)?;
        let input = if input.is_empty() { String::new() } else { format!("### Input:\n{input}\n\n") };
        let text = format!(
            "{PREAMBLE}\n\n### Instruction:\n{instruction}\n\n{input}### Response: ASSISTANT: {output}"
        );
        Ok(Verdict::one(Document::Text(text)))
    }
}
