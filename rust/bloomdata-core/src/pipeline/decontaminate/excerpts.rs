//! `contamination.jsonl`: every match with both texts. Reads the inputs that have some once more.

use hashbrown::HashSet;
use serde_json::json;

use super::by_offset::ByOffset;
use super::evaluations::Evaluations;
use super::score::Match;
use crate::decontaminate::rows::RowText;
use crate::dedup::units::{Normalize, Unit, Units};
use crate::dedup::windows::Windows;
use crate::document::Block;
use crate::error::{Error, Result};
use crate::io::atomic::AtomicFile;
use crate::json_fields::FieldPath;
use crate::pipeline::articles::texts::{TextReader, Texts};
use crate::pipeline::feed::{Item, Reading};
use crate::pipeline::scratch::check_same;
use crate::sources::input::Input;
use crate::sources::inputs::InputList;
use crate::token::{double, index};

/// Words behind a question in which its answer is looked for.
const ANSWER_WORDS: usize = 100;

/// What is shown.
#[derive(Debug)]
pub struct Excerpts<'run> {
    /// The rows.
    pub evaluations: &'run Evaluations,
    /// Words of an n-gram.
    pub ngram: usize,
    /// Where the text of a record is.
    pub field: &'run FieldPath,
    /// What was found, by input.
    pub matches: &'run ByOffset<{ Match::NUMBERS }>,
}

/// The words of a text.
struct Words {
    units: Units,
    hashes: Vec<u64>,
    ranges: Vec<(usize, usize)>,
}

impl Excerpts<'_> {
    /// Writes a line for each match of the inputs that `has_matches` names. `hashes` are those of the first pass.
    ///
    /// # Errors
    /// The system's reason, or an input that has changed.
    pub fn write(
        &self,
        reading: Reading<'_>,
        has_matches: &[bool],
        hashes: &[String],
        list: &mut AtomicFile,
    ) -> Result<()> {
        let inputs = &reading.inputs.inputs;
        let numbers: Vec<usize> = (0..inputs.len()).filter(|&input| has_matches[input]).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let some = InputList {
            inputs: numbers.iter().map(|&input| inputs[input].clone()).collect(),
            ..InputList::default()
        };
        let formats = some.inputs.iter().map(|input| input.format).collect();
        let reader = TextReader { fields: std::slice::from_ref(self.field), formats, source: None };
        Reading { inputs: &some, first_input: 0, ..reading }.run(
            || {
                Units::new(Unit::Words, Normalize::Fold).map(|units| Words {
                    units,
                    hashes: Vec::new(),
                    ranges: Vec::new(),
                })
            },
            |words, block| {
                let words = words.as_mut().map_err(|error| Error::Internal(error.to_string()))?;
                let input = &some.inputs[block.file];
                let found = self.matches.between(numbers[block.file], block.offset, block.end_offset())?;
                self.of_block(words, &reader, input, &block, &found).map(Item::Block)
            },
            |results| {
                for item in results {
                    reading.progress.check()?;
                    match item? {
                        Item::Block(lines) => list.write(&lines)?,
                        Item::End { file, hash, .. } => {
                            check_same(&some.inputs[file].path, &hashes[numbers[file]], &hash)?;
                        }
                    }
                }
                Ok(())
            },
        )
    }

    fn of_block(
        &self,
        words: &mut Words,
        reader: &TextReader<'_>,
        input: &Input,
        block: &Block,
        records: &[[u64; Match::NUMBERS]],
    ) -> Result<Vec<u8>> {
        let mut found = records.iter().map(|record| Match::of(*record)).peekable();
        let mut lines = Vec::new();
        block.for_each(|record| {
            let is_next = |one: &Match| one.offset == record.offset;
            if !found.peek().is_some_and(is_next) {
                return Ok(());
            }
            let text = match reader.read(block.file, record) {
                Ok(Texts::Found(texts)) => texts.into_iter().next().unwrap_or_default(),
                _ => return Ok(()),
            };
            while let Some(one) = found.next_if(is_next) {
                let Some(excerpt) = text.get(index(one.bytes.0)..index(one.bytes.1)) else { return Ok(()) };
                let row = &self.evaluations.texts[one.row];
                let mut line = json!({
                    "document": {"file": input.path, "line": one.line, "bytes": [one.bytes.0, one.bytes.1]},
                    "row": {
                        "file": self.evaluations.sets[row.set].path, "line": row.line, "id": row.id,
                        "part": row.part,
                    },
                    "score": one.score,
                    "document_text": excerpt,
                    "row_text": words.row_text(row, one.row_words),
                });
                if let Some(answer) = &row.answer {
                    line["answer_score"] = words.answer_score(answer, &text, one.behind, self.ngram).into();
                }
                serde_json::to_writer(&mut lines, &line)
                    .map_err(|error| Error::Internal(error.to_string()))?;
                lines.push(b'\n');
            }
            Ok(())
        })?;
        if found.next().is_some() {
            let what = format!("{}: documents (changed while it was read again)", input.path.display());
            return Err(Error::mismatch(what, "those of the first pass", "others"));
        }
        Ok(lines)
    }
}

impl Words {
    /// What a row has from one word to another.
    fn row_text<'row>(&mut self, row: &'row RowText, (first, behind): (u64, u64)) -> &'row str {
        self.units.with_ranges(&row.text, &mut self.hashes, &mut self.ranges);
        let place = |word: u64| self.ranges.get(index(word)).copied().unwrap_or_default();
        &row.text[place(first).0..place(behind.saturating_sub(1)).1]
    }

    /// The share of the n-grams of an answer that are in the words behind a question; none for an answer without words.
    fn answer_score(&mut self, answer: &str, text: &str, behind: u64, n: usize) -> Option<f64> {
        self.units.hashes(answer, &mut self.hashes);
        let windows = Windows::new(n.min(self.hashes.len()));
        let mut asked = HashSet::new();
        windows.each(&self.hashes, |hash| {
            asked.insert(hash);
        });
        self.units.hashes(text, &mut self.hashes);
        let behind = index(behind).min(self.hashes.len());
        let near = &self.hashes[behind..self.hashes.len().min(behind + ANSWER_WORDS)];
        let mut given = HashSet::new();
        windows.each(near, |hash| {
            if asked.contains(&hash) {
                given.insert(hash);
            }
        });
        (!asked.is_empty()).then(|| double(given.len() as u64) / double(asked.len() as u64))
    }
}
