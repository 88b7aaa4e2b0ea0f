//! Token ids of all texts of the inputs, batch by batch and in order, without writing anything.

use super::articles::texts::{TextReader, Texts};
use super::feed::{Item, Reading};
use super::folder::books::OnBadRecord;
use super::lengths::Counts;
use crate::document::{BadRecord, Block, RecordPlace};
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::ordered::Results;
use crate::progress::Progress;
use crate::tokenizers::spare::Spare;
use crate::tokenizers::{Leaving, Tokenizer};

/// What to encode.
#[derive(Debug)]
pub struct EncodeOptions {
    /// The field that holds the text of JSON records and tables.
    pub text_field: FieldPath,
    /// Whether to add what the tokenizer puts around texts.
    pub adds_special: bool,
    /// Whether bad records are errors, or left out and counted.
    pub on_bad_record: OnBadRecord,
}

/// Texts of one input that stand behind each other, as ids.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Index of the input.
    pub file: usize,
    /// The ids of all texts, concatenated.
    pub ids: Vec<u32>,
    /// Ids of each text.
    pub lengths: Vec<u64>,
    /// Where each text is in its input: the number of its line, or row, from 1.
    pub lines: Vec<u64>,
}

/// What the pool makes of a block.
struct Part {
    encoded: Encoded,
    records: u64,
    counts: Counts,
    /// The first bad record: its number in the block, its offset, and the reason.
    bad: Option<(u64, u64, BadRecord)>,
}

/// Encodes all texts; `give` gets them in order. Returns what each input held.
///
/// # Errors
/// What can be wrong with an input; a bad record, if that is to be one; what the tokenizer and `give` report.
pub fn encode(
    options: &EncodeOptions,
    tokenizer: &dyn Tokenizer,
    reading: Reading<'_>,
    spare: &Spare,
    give: impl FnMut(Encoded) -> Result<()>,
) -> Result<Vec<Counts>> {
    let formats = reading.inputs.inputs.iter().map(|input| input.format).collect();
    let reader = TextReader { fields: std::slice::from_ref(&options.text_field), formats, source: None };
    reading.run(
        || Leaving(tokenizer),
        |_, block| Ok(Item::Block(encode_block(options, tokenizer, &reader, spare.take(), &block)?)),
        |results| gather(results, options.on_bad_record, &reading, give),
    )
}

fn encode_block(
    options: &EncodeOptions,
    tokenizer: &dyn Tokenizer,
    reader: &TextReader<'_>,
    ids: Vec<u32>,
    block: &Block,
) -> Result<Part> {
    let encoded = Encoded { file: block.file, ids, ..Encoded::default() };
    let mut part = Part { encoded, records: 0, counts: Counts::default(), bad: None };
    block.for_each(|record| {
        part.records += 1;
        let text = match reader.read(block.file, record) {
            Ok(Texts::Found(texts)) => texts.into_iter().next(),
            Ok(Texts::Dropped(_)) => None,
            Err(reason) => {
                part.counts.bad += 1;
                part.bad.get_or_insert((part.records, record.offset, reason));
                return Ok(());
            }
        };
        let Some(text) = text else {
            part.counts.dropped += 1;
            return Ok(());
        };
        let Encoded { ids, lengths, lines, .. } = &mut part.encoded;
        let before = ids.len();
        if options.adds_special {
            tokenizer.encode(&text, ids)?;
        } else {
            tokenizer.encode_bare(&text, ids)?;
        }
        lengths.push((ids.len() - before) as u64);
        lines.push(part.records);
        part.counts.documents += 1;
        part.counts.text_bytes += text.len() as u64;
        Ok::<(), Error>(())
    })?;
    part.counts.tokens = part.encoded.ids.len() as u64;
    Ok(part)
}

fn gather(
    results: Results<Item<Part>>,
    on_bad_record: OnBadRecord,
    reading: &Reading<'_>,
    mut give: impl FnMut(Encoded) -> Result<()>,
) -> Result<Vec<Counts>> {
    let inputs = &reading.inputs.inputs;
    let mut counts = Counts::of_inputs(reading.inputs);
    let mut line = 0;
    for item in results {
        reading.progress.check()?;
        let Item::Block(Part { mut encoded, records, counts: found, bad }) = item? else {
            line = 0;
            continue;
        };
        let file = encoded.file;
        for number in &mut encoded.lines {
            *number += line;
        }
        let bad = bad.filter(|_| on_bad_record == OnBadRecord::Raise);
        if let Some((number, offset, reason)) = bad {
            let path = inputs[file].path.clone();
            let reason = reason.told(RecordPlace { offset, is_line: inputs[file].format.is_lines() });
            return Err(Error::BadRecord { path, line: Some(line + number), offset, reason });
        }
        line += records;
        counts[file].add(&found);
        Progress::add(&reading.progress.documents, records);
        if !encoded.lines.is_empty() {
            give(encoded)?;
        }
    }
    Ok(counts)
}
