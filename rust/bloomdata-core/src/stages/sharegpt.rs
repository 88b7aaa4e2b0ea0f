//! `ShareGPT`: conversations of from and value (OL-09).

use std::borrow::Cow;

use crate::conversation::python_strip;
use crate::document::BadRecord;
use crate::json_fields::FieldPath;
use crate::stages::fields::{raw, texts};
use crate::stages::lists::{elements, inside};
use crate::stages::turns::{Turn, TurnsOptions};
use crate::stages::{Read, RecordReader};

/// The field that holds the messages.
pub const KEY: &str = "conversations";

/// Reads records of `ShareGPT`.
#[derive(Debug)]
pub struct SharegptReader {
    options: TurnsOptions,
    conversations: [FieldPath; 1],
}

impl SharegptReader {
    /// A reader with these options.
    pub fn new(options: TurnsOptions) -> Self {
        Self { options, conversations: [FieldPath::of_key(KEY)] }
    }
}

impl RecordReader for SharegptReader {
    fn read(&self, record: &str) -> Read {
        let [conversations] = raw(record, &self.conversations)?;
        Ok(self.options.turns.verdict(turns_of(conversations)?))
    }
}

/// The turns of the list of messages: a first message that is not the human's is left out, then messages are taken two
/// by two, and a couple counts that is human and gpt.
///
/// # Errors
/// No list of objects with the texts `from` and `value`.
pub fn turns_of(conversations: Option<&str>) -> Result<Vec<Turn>, BadRecord> {
    let keys = ["from", "value"].map(FieldPath::of_key);
    let message = |(at, message)| texts(message, &keys).map_err(|bad| inside(&format!("{KEY}[{at}]"), bad));
    let messages: Vec<[Cow<'_, str>; 2]> =
        elements(KEY, conversations)?.into_iter().enumerate().map(message).collect::<Result<_, _>>()?;
    let skipped = usize::from(messages.first().is_some_and(|[from, _]| from != "human"));
    let turn = |couple: &[[Cow<'_, str>; 2]]| match couple {
        [[human, prompt], [gpt, completion]] if human == "human" && gpt == "gpt" => {
            Some((python_strip(prompt).to_owned(), python_strip(completion).to_owned()))
        }
        _ => None,
    };
    Ok(messages[skipped..].chunks(2).filter_map(turn).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(names: &[&str]) -> Vec<Turn> {
        let message =
            |(at, from): (usize, &&str)| format!(r#"{{"from":"{from}","value":" {at}\n","other":[]}}"#);
        let messages: Vec<String> = names.iter().enumerate().map(message).collect();
        turns_of(Some(&format!("[{}]", messages.join(",")))).unwrap()
    }

    #[test]
    fn couples_are_counted_by_place() {
        let pair = |at: usize| (at.to_string(), (at + 1).to_string());
        assert_eq!(turns(&["human", "gpt", "human", "gpt", "human"]), [pair(0), pair(2)]);
        assert_eq!(turns(&["system", "human", "gpt"]), [pair(1)]);
        assert_eq!(turns(&["gpt", "gpt", "human", "gpt"]), []);
        assert_eq!(turns(&["human", "human", "gpt", "gpt", "human", "gpt"]), [pair(4)]);
        assert_eq!(turns(&[]), []);
    }

    #[test]
    fn a_message_without_text_is_named_by_its_place() {
        let told = turns_of(Some(r#"[{"from":"human","value":1}]"#)).unwrap_err().to_string();
        assert_eq!(told, "field \"conversations[0].value\" is not a string");
        assert_eq!(turns_of(Some("[1]")).unwrap_err().to_string(), "conversations[0] is not a JSON object");
        assert!(matches!(turns_of(None), Err(BadRecord::MissingField(_))));
    }
}
