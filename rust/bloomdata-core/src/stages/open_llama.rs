//! Any instruction data of Open-Llama: the keys of a record say which, in the order of its second version (OL-06 to OL-11).

use crate::conversation::{Conversation, Document};
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, text_of};
use crate::stages::fields::raw;
use crate::stages::pairs::Turn;
use crate::stages::turns::TurnsOptions;
use crate::stages::{
    Read, RecordReader, Verdict, belle, belle_multiturn, camel, grade_school_math, instruct_to_code,
    self_instruct, sharegpt, xp3,
};

/// Reads records of any of Open-Llama's instruction data.
#[derive(Debug)]
pub struct OpenLlamaReader {
    options: TurnsOptions,
    before: [(Pair, Turn); 3],
    conversations: [FieldPath; 1],
    after: [(Pair, Turn); 3],
}

type Pair = [FieldPath; 2];

impl OpenLlamaReader {
    /// A reader with these options.
    pub fn new(options: TurnsOptions) -> Self {
        let pair = |keys: [&str; 2], turn: Turn| (keys.map(FieldPath::of_key), turn);
        Self {
            options,
            before: [
                pair(self_instruct::KEYS, self_instruct::turn),
                pair(belle::KEYS, belle::turn),
                pair(instruct_to_code::KEYS, instruct_to_code::turn),
            ],
            conversations: [FieldPath::of_key(sharegpt::KEY)],
            after: [
                pair(xp3::KEYS, xp3::turn),
                pair(camel::KEYS, camel::turn),
                pair(grade_school_math::KEYS, grade_school_math::turn),
            ],
        }
    }

    /// The document of the first pair of keys that are both there.
    fn read_pair(&self, record: &str, pairs: &[(Pair, Turn)]) -> Result<Option<Verdict>, BadRecord> {
        for (keys, turn) in pairs {
            let [prompt, completion] = raw(record, keys)?;
            if prompt.is_none() || completion.is_none() {
                continue;
            }
            let prompt = text_of(&keys[0], prompt)?;
            let completion = text_of(&keys[1], completion)?;
            if keys[0].name() == belle::KEYS[0]
                && keys[1].name() == belle::KEYS[1]
                && prompt.contains(belle_multiturn::HUMAN)
            {
                let turns = belle_multiturn::turns_of(&format!("{prompt}{completion}"));
                return Ok(Some(self.options.turns.verdict(turns)));
            }
            let (prompt, completion) = turn(&prompt, &completion);
            return Ok(Some(Verdict::one(Document::Chat(Conversation::pair(prompt, completion)))));
        }
        Ok(None)
    }
}

impl RecordReader for OpenLlamaReader {
    fn read(&self, record: &str) -> Read {
        if let Some(verdict) = self.read_pair(record, &self.before)? {
            return Ok(verdict);
        }
        let [conversations] = raw(record, &self.conversations)?;
        if conversations.is_some() {
            return Ok(self.options.turns.verdict(sharegpt::turns_of(conversations)?));
        }
        self.read_pair(record, &self.after)?.ok_or_else(|| {
            let known = "the record has the keys of no instruction data: prompt and completion, instruction and output \
                         or answer, conversations, inputs and targets, message_1 and message_2, INSTRUCTION and RESPONSE";
            BadRecord::WrongForm(known.into())
        })
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
