//! MOSS: turns with marks around what is said (AS-05).
//!
//! The handler of the Megatron lineage writes a sequence for every turn that repeats all turns before it; a conversation
//! holds each turn once.

use crate::conversation::{Document, python_strip};
use crate::json_fields::FieldPath;
use crate::stages::fields::{raw, texts};
use crate::stages::lists::{inside, members};
use crate::stages::turns::{Turn, conversation};
use crate::stages::{Read, RecordReader, Verdict};

/// Reads records of MOSS.
#[derive(Debug)]
pub struct MossReader {
    chat: [FieldPath; 1],
    turn: [FieldPath; 2],
}

impl MossReader {
    /// A reader.
    #[allow(clippy::new_without_default, reason = "readers are made by their source")]
    pub fn new() -> Self {
        Self { chat: [FieldPath::of_key("chat")], turn: ["Human", "MOSS"].map(FieldPath::of_key) }
    }
}

impl RecordReader for MossReader {
    fn read(&self, record: &str) -> Read {
        let [chat] = raw(record, &self.chat)?;
        let mut turns: Vec<Turn> = Vec::new();
        for (name, turn) in members("chat", chat)? {
            // Tables fill missing turns with null.
            if turn == "null" || members("", Some(turn)).is_ok_and(|members| members.is_empty()) {
                continue;
            }
            let [human, moss] =
                texts(turn, &self.turn).map_err(|bad| inside(&format!("chat.{name}"), bad))?;
            let human = human.replace("<eoh>", "").replace("<|Human|>: ", "");
            let moss = moss.replace("<|MOSS|>:", "").replace("<eom>", "");
            turns.push((python_strip(&human).to_owned(), python_strip(&moss).to_owned()));
        }
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
    fn marks_are_taken_away_and_missing_turns_passed_over() {
        let record = r#"{"chat":{"turn_1":{"Human":"<|Human|>: a <eoh>\n","MOSS":"<|MOSS|>: b<eom>\n"},"turn_2":null}}"#;
        let turns = vec![("a".to_owned(), "b".to_owned())];
        assert_eq!(MossReader::new().read(record), Ok(Verdict::one(Document::Chat(conversation(turns)))));
        assert_eq!(MossReader::new().read(r#"{"chat":{"turn_1":{}}}"#), Ok(Verdict::Drop("no valid turn")));
        let told = MossReader::new().read(r#"{"chat":{"turn_1":{"Human":"a"}}}"#).unwrap_err().to_string();
        assert_eq!(told, "no field \"chat.turn_1.MOSS\"");
    }
}
