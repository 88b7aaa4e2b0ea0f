//! Any instruction data of Open-Llama: the keys of a record say which, in the order of its second version (OL-06 to OL-11).

use std::ops::Range;

use crate::conversation::{Conversation, Document};
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::fields::{note_unused, raw};
use crate::stages::pairs::Turn;
use crate::stages::turns::TurnsOptions;
use crate::stages::{
    Read, RecordReader, Verdict, belle, belle_multiturn, camel, grade_school_math, instruct_to_code,
    self_instruct, sharegpt, xp3,
};

/// Pairs of keys and what becomes of their texts, in the order in which they are looked for.
const PAIRS: [([&str; 2], Turn); 6] = [
    (self_instruct::KEYS, self_instruct::turn),
    (belle::KEYS, belle::turn),
    (instruct_to_code::KEYS, instruct_to_code::turn),
    // Conversations come here.
    (xp3::KEYS, xp3::turn),
    (camel::KEYS, camel::turn),
    (grade_school_math::KEYS, grade_school_math::turn),
];
const BELLE: usize = 1;
const BEFORE_CONVERSATIONS: usize = 3;

/// Reads records of any of Open-Llama's instruction data.
#[derive(Debug)]
pub struct OpenLlamaReader {
    options: TurnsOptions,
    /// Keys of the pairs, and the one of conversations.
    fields: [FieldPath; 13],
}

impl OpenLlamaReader {
    /// A reader with these options.
    pub fn new(options: TurnsOptions) -> Self {
        let key = |at: usize| PAIRS.get(at / 2).map_or(sharegpt::KEY, |(keys, _)| keys[at % 2]);
        Self { options, fields: std::array::from_fn(|at| FieldPath::of_key(key(at))) }
    }

    /// Takes note of the fields that are not these. Some pairs share a key.
    fn note_all_but(&self, used: Range<usize>, found: &[Option<&str>], log: &mut KeyLog<'_>) {
        let is_used = |field: &FieldPath| self.fields[used.clone()].contains(field);
        for (field, raw) in self.fields.iter().zip(found).filter(|(field, _)| !is_used(field)) {
            note_unused(&[(field.name(), *raw)], log);
        }
    }

    fn read_pair(&self, pair: usize, found: &[Option<&str>]) -> Read {
        let text = |at: usize| text_of(&self.fields[at], found[at]);
        let (prompt, completion) = (text(2 * pair)?, text(2 * pair + 1)?);
        if pair == BELLE && prompt.contains(belle_multiturn::HUMAN) {
            let turns = belle_multiturn::turns_of(&format!("{prompt}{completion}"));
            return Ok(self.options.turns.verdict(turns));
        }
        let (prompt, completion) = PAIRS[pair].1(&prompt, &completion);
        Ok(Verdict::one(Document::Chat(Conversation::pair(prompt, completion))))
    }
}

impl RecordReader for OpenLlamaReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let found = raw(record, &self.fields, Some(log))?;
        let conversations = found[2 * PAIRS.len()];
        let is_there = |pair: &usize| found[2 * pair].is_some() && found[2 * pair + 1].is_some();
        match (0..PAIRS.len()).find(is_there) {
            Some(pair) if pair < BEFORE_CONVERSATIONS || conversations.is_none() => {
                self.note_all_but(2 * pair..2 * pair + 2, &found, log);
                self.read_pair(pair, &found)
            }
            _ if conversations.is_some() => {
                self.note_all_but(2 * PAIRS.len()..found.len(), &found, log);
                let kept = sharegpt::Kept::Couples;
                sharegpt::verdict(self.options.turns, kept, conversations, Vec::new(), log)
            }
            _ => {
                let known = "the record has the keys of no instruction data: prompt and completion, instruction and \
                             output or answer, conversations, inputs and targets, message_1 and message_2, \
                             INSTRUCTION and RESPONSE";
                Err(BadRecord::WrongForm(known.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_pair_of_keys_decides() {
        let reader = OpenLlamaReader::new(TurnsOptions::default());
        let chat = |prompt: &str, completion: &str| {
            Ok(Verdict::one(Document::Chat(Conversation::pair(prompt, completion))))
        };
        let record =
            r#"{"output":"o ","answer":"a","instruction":"i\\n","prompt":"p","targets":"t","inputs":" q "}"#;
        assert_eq!(reader.read(record), chat("i", "o "));
        assert_eq!(reader.read(&record.replace("output", "completion")), chat("p", "o"));
        assert_eq!(reader.read(&record.replace("output", "x")), chat("i", "a"));
        assert_eq!(reader.read(&record.replace("instruction", "x")), chat("q", "t"));
        assert!(matches!(reader.read(r#"{"prompt":"p"}"#), Err(BadRecord::WrongForm(_))));
        let null = reader.read(r#"{"prompt":null,"completion":"c"}"#);
        assert_eq!(null, Err(BadRecord::NullField("prompt".into())));
    }
}
