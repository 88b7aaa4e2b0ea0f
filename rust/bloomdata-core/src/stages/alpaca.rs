//! Alpaca: instruction, input and output (MF-01, MF-02).

use serde::{Deserialize, Serialize};

use crate::conversation::{Conversation, Document};
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::context::{add_context, history};
use crate::stages::fields::{note_unused, or_none, raw};
use crate::stages::{Read, RecordReader, Verdict};

/// The key of the answer.
pub const OUTPUT: &str = "output";

/// Options of Alpaca.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlpacaOptions {
    /// How the question is put.
    pub prompt: AlpacaPrompt,
    /// Whose output is wanted; no `prompt` is looked at then.
    pub compat: Option<AlpacaCompat>,
}

/// How the question is put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlpacaPrompt {
    /// The instruction; the input, if there is any, on the next line. Chat templates do the rest.
    #[default]
    Plain,
    /// The prompt of Stanford Alpaca up to the newline behind `### Response:`; the longer form where there is input.
    Stanford,
}

/// Whose output is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlpacaCompat {
    /// Prompt and answer as one text, and the longer form of the prompt wherever the key `input` is there, be it empty.
    Mindformers,
}

/// Reads records of Alpaca, and of data with another name for the answer.
#[derive(Debug)]
pub struct AlpacaReader {
    options: AlpacaOptions,
    fields: [FieldPath; 5],
}

impl AlpacaReader {
    /// A reader with these options, of records that have the answer under this key.
    pub fn new(options: AlpacaOptions, output: &str) -> Self {
        Self { options, fields: ["instruction", "input", output, "system", "history"].map(FieldPath::of_key) }
    }
}

impl RecordReader for AlpacaReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [instruction, input, output, system, earlier] = raw(record, &self.fields, Some(log))?;
        let instruction = text_of(&self.fields[0], instruction)?;
        let output = text_of(&self.fields[2], output)?;
        if self.options.compat == Some(AlpacaCompat::Mindformers) {
            note_unused(&[("system", system), ("history", earlier)], log);
            // null is an error here: the script would print the word None.
            let input = input.map(|input| text_of(&self.fields[1], Some(input))).transpose()?;
            let prompt = stanford(&instruction, input.as_deref());
            return Ok(Verdict::one(Document::Text(prompt + &output)));
        }
        let input = or_none(text_of(&self.fields[1], input))?.filter(|input| !input.is_empty());
        let prompt = match self.options.prompt {
            AlpacaPrompt::Plain => with_input(&instruction, input.as_deref().unwrap_or_default()),
            AlpacaPrompt::Stanford => stanford(&instruction, input.as_deref()),
        };
        let mut messages = history(earlier)?;
        let system = system.filter(|raw| *raw != "null").map(|raw| ("system", raw));
        add_context(&mut messages, system.as_slice())?;
        let mut chat = Conversation::pair(prompt, output);
        chat.messages.splice(0..0, messages);
        Ok(Verdict::one(Document::Chat(chat)))
    }
}

/// The instruction; the input, if there is any, on the next line.
pub fn with_input(instruction: &str, input: &str) -> String {
    if input.is_empty() { instruction.to_owned() } else { format!("{instruction}\n{input}") }
}

/// The prompt of Stanford Alpaca.
fn stanford(instruction: &str, input: Option<&str>) -> String {
    let (context, input) = match input {
        Some(input) => {
            (", paired with an input that provides further context", format!("### Input:\n{input}\n\n"))
        }
        None => ("", String::new()),
    };
    format!(
        "Below is an instruction that describes a task{context}. Write a response that appropriately completes the \
         request.\n\n### Instruction:\n{instruction}\n\n{input}### Response:\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BadRecord;

    fn read(options: &str, record: &str) -> Read {
        AlpacaReader::new(serde_json::from_str(options).unwrap(), OUTPUT).read(record)
    }

    fn asked(prompt: &str) -> Verdict {
        Verdict::one(Document::Chat(Conversation::pair(prompt, "o")))
    }

    #[test]
    fn empty_missing_and_null_input_are_no_input() {
        assert_eq!(read("{}", r#"{"instruction":"i","input":"x","output":"o"}"#), Ok(asked("i\nx")));
        for input in [r#""input":"","#, r#""input":null,"#, ""] {
            let record = format!(r#"{{"instruction":"i",{input}"output":"o"}}"#);
            assert_eq!(read("{}", &record), Ok(asked("i")));
            let short = "Below is an instruction that describes a task. Write a response that appropriately completes \
                         the request.\n\n### Instruction:\ni\n\n### Response:\n";
            assert_eq!(read(r#"{"prompt":"stanford"}"#, &record), Ok(asked(short)));
        }
    }

    #[test]
    fn mindformers_looks_for_the_key_only() {
        let text = |record: &str| match read(r#"{"compat":"mindformers"}"#, record) {
            Ok(Verdict::Keep(documents)) => match &documents[..] {
                [Document::Text(text)] => text.clone(),
                other => unreachable!("{other:?}"),
            },
            other => unreachable!("{other:?}"),
        };
        let empty = text(r#"{"instruction":"i","input":"","output":"o"}"#);
        assert!(empty.ends_with("\ni\n\n### Input:\n\n\n### Response:\no"), "{empty}");
        assert!(text(r#"{"instruction":"i","output":"o"}"#).ends_with("\ni\n\n### Response:\no"));
        let null = read(r#"{"compat":"mindformers"}"#, r#"{"instruction":"i","input":null,"output":"o"}"#);
        assert_eq!(null, Err(BadRecord::NullField("input".into())));
    }
}
