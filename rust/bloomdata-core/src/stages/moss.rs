//! MOSS: turns with marks around what is said (AS-05).
//!
//! The handler of the Megatron lineage writes a sequence for every turn that repeats all turns before it; a conversation
//! holds each turn once.

use crate::conversation::{Document, python_strip};
use crate::document::BadRecord;
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
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
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [chat] = raw(record, &self.chat, Some(log))?;
        let mut turns: Vec<Turn> = Vec::new();
        for (name, turn) in in_order(members("chat", chat)?)? {
            let read = |log: &mut KeyLog<'_>| texts(turn, &self.turn, Some(log));
            let [human, moss] =
                log.inside("chat[]", read).map_err(|bad| inside(&format!("chat.{name}"), bad))?;
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

/// The turns by their numbers: keys of an object have no order. Tables fill missing turns with null, behind the last.
///
/// # Errors
/// A name without a number, one number twice, or a gap.
fn in_order(turns: Vec<(String, &str)>) -> Result<Vec<(String, &str)>, BadRecord> {
    let mut numbered = Vec::with_capacity(turns.len());
    for (name, turn) in turns {
        if turn == "null" || members("", Some(turn)).is_ok_and(|members| members.is_empty()) {
            continue;
        }
        let number =
            name.strip_prefix("turn_").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(number) = number.and_then(|digits| digits.parse::<u64>().ok()) else {
            return Err(BadRecord::WrongForm(format!("chat: expected turns such as turn_1, found {name:?}")));
        };
        numbered.push((number, name, turn));
    }
    numbered.sort_by_key(|(number, _, _)| *number);
    let first = numbered.first().map_or(1, |(number, _, _)| *number.min(&1));
    let is_other = |(expected, (number, _, _)): &(u64, &(u64, String, &str))| expected != number;
    if let Some((expected, (_, name, _))) = (first..).zip(&numbered).find(is_other) {
        return Err(BadRecord::WrongForm(format!("chat: expected turn_{expected}, found {name:?}")));
    }
    Ok(numbered.into_iter().map(|(_, name, turn)| (name, turn)).collect())
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

    #[test]
    fn turns_are_told_by_their_numbers_and_none_may_be_missing() {
        let record = |numbers: &[&str]| {
            let turn = |number: &&str| format!(r#""{number}":{{"Human":"q{number}","MOSS":"a"}}"#);
            format!(r#"{{"chat":{{{}}}}}"#, numbers.iter().map(turn).collect::<Vec<_>>().join(","))
        };
        let sorted = [
            "turn_1", "turn_10", "turn_2", "turn_3", "turn_4", "turn_5", "turn_6", "turn_7", "turn_8",
            "turn_9",
        ];
        let expected: Vec<Turn> =
            (1..=10).map(|number| (format!("qturn_{number}"), "a".to_owned())).collect();
        let read = |numbers: &[&str]| MossReader::new().read(&record(numbers));
        assert_eq!(read(&sorted), Ok(Verdict::one(Document::Chat(conversation(expected)))));
        for (numbers, told) in [
            (&["turn_1", "turn_3"][..], "chat: expected turn_2, found \"turn_3\""),
            (&["turn_2"], "chat: expected turn_1, found \"turn_2\""),
            (&["turn_1", "turn_01"], "chat: expected turn_2, found \"turn_01\""),
            (&["turn_x"], "chat: expected turns such as turn_1, found \"turn_x\""),
            (&["meta"], "chat: expected turns such as turn_1, found \"meta\""),
        ] {
            assert_eq!(read(numbers).unwrap_err().to_string(), told);
        }
    }
}
