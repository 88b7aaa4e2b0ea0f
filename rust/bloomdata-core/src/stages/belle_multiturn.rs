//! BELLE's multi-turn chats: the instruction holds the history, the output the last answer (OL-08, AS-05).

use serde::{Deserialize, Serialize};

use crate::conversation::python_strip;
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::texts;
use crate::stages::turns::{Turn, Turns};
use crate::stages::{Read, RecordReader, belle};

/// What starts a question.
pub const HUMAN: &str = "Human:";
/// What starts an answer.
pub const ASSISTANT: &str = "Assistant:";

/// Options of BELLE's multi-turn chats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BelleMultiturnOptions {
    /// What the turns become.
    pub turns: Turns,
    /// Whose rules cut the history.
    pub compat: MultiturnCompat,
}

/// Rules that cut the history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MultiturnCompat {
    /// Open-Llama: the output is appended to the history; a turn that has not exactly one answer is left out.
    #[default]
    OpenLlama,
    /// The handler of the Megatron lineage: of a turn's answers the first counts, and the output answers the last
    /// turn. It mistakes text without `Assistant:` behind it for an answer; here that is a question if it is the last,
    /// and left out if not.
    Megatron,
}

/// Reads records of BELLE's multi-turn chats.
#[derive(Debug)]
pub struct BelleMultiturnReader {
    options: BelleMultiturnOptions,
    fields: [FieldPath; 2],
}

impl BelleMultiturnReader {
    /// A reader with these options.
    pub fn new(options: BelleMultiturnOptions) -> Self {
        Self { options, fields: belle::KEYS.map(FieldPath::of_key) }
    }
}

impl RecordReader for BelleMultiturnReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [history, output] = texts(record, &self.fields, Some(log))?;
        let turns = match self.options.compat {
            MultiturnCompat::OpenLlama => turns_of(&format!("{history}{output}")),
            MultiturnCompat::Megatron => answered(&history, &output),
        };
        Ok(self.options.turns.verdict(turns))
    }
}

/// The turns of a chat that have exactly one answer.
pub fn turns_of(chat: &str) -> Vec<Turn> {
    let turn = |piece: &str| {
        let mut parts = piece.split(ASSISTANT);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(prompt), Some(completion), None) => {
                Some((python_strip(prompt).to_owned(), python_strip(completion).to_owned()))
            }
            _ => None,
        }
    };
    chat.split(HUMAN).filter(|piece| !python_strip(piece).is_empty()).filter_map(turn).collect()
}

/// The turns of a history whose last question the output answers.
fn answered(history: &str, output: &str) -> Vec<Turn> {
    let pieces: Vec<&str> = history.split(HUMAN).filter(|piece| !python_strip(piece).is_empty()).collect();
    let Some((last, before)) = pieces.split_last() else { return Vec::new() };
    let turn = |piece: &&str| {
        let mut parts = piece.split(ASSISTANT).map(python_strip);
        Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
    };
    let mut turns: Vec<Turn> = before.iter().filter_map(turn).collect();
    let question = last.split(ASSISTANT).next().unwrap_or_default();
    turns.push((python_strip(question).to_owned(), python_strip(output).to_owned()));
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(turns: &[(&str, &str)]) -> Vec<Turn> {
        turns.iter().map(|(prompt, completion)| ((*prompt).to_owned(), (*completion).to_owned())).collect()
    }

    #[test]
    fn a_turn_counts_with_exactly_one_answer() {
        let chat = "intro \nHuman: a\nAssistant: b\nHuman: \nHuman: c\nHuman:d Assistant:e Assistant:f\nHuman:Assistant:";
        assert_eq!(turns_of(chat), pairs(&[("a", "b"), ("", "")]));
        assert_eq!(turns_of("\u{a0}"), pairs(&[]));
    }

    #[test]
    fn the_output_answers_the_last_question_of_the_history() {
        assert_eq!(
            answered("Human:a\nAssistant:b\nHuman:c\nAssistant:", " d "),
            pairs(&[("a", "b"), ("c", "d")])
        );
        assert_eq!(answered("intro\nHuman:a", "b"), pairs(&[("a", "b")]));
        assert_eq!(answered("", "b"), pairs(&[]));
    }
}
