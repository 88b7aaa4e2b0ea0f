//! `ignored.jsonl`: rows that are too short, and n-grams that are too common.

use serde_json::{Value, json};

use super::evaluations::Evaluations;
use crate::decontaminate::rows::RowText;
use crate::decontaminate::table::NgramTable;
use crate::dedup::units::{Normalize, Unit, Units};
use crate::error::{Error, Result};
use crate::io::atomic::AtomicFile;

/// Why a row is not looked for.
pub const TOO_SHORT: &str = "too short to look for";

/// Writes all of them; how many there are.
///
/// # Errors
/// The system's reason.
pub fn write_ignored(
    evaluations: &Evaluations,
    table: &NgramTable,
    (common, most): (&[u32], u64),
    list: &mut AtomicFile,
) -> Result<u64> {
    let mut count = 0;
    let mut write = |reason: &str, text: &RowText, excerpt: &str| {
        count += 1;
        let row = json!({
            "file": evaluations.sets[text.set].path, "line": text.line, "id": text.id, "part": text.part,
        });
        let line: Value = json!({"reason": reason, "row": row, "text": excerpt});
        let mut bytes = serde_json::to_vec(&line).map_err(|error| Error::Internal(error.to_string()))?;
        bytes.push(b'\n');
        list.write(&bytes)
    };
    for (text, row) in evaluations.texts.iter().zip(&table.rows) {
        if row.size.is_none() {
            write(TOO_SHORT, text, &text.text)?;
        }
    }
    let units = Units::new(Unit::Words, Normalize::Fold)?;
    let reason = format!("in more than {most} documents");
    let (mut hashes, mut ranges, mut of_row) = (Vec::new(), Vec::new(), None);
    for ngram in common {
        let place = table.first[*ngram as usize];
        let text = &evaluations.texts[place.row as usize];
        if of_row.replace(place.row) != Some(place.row) {
            units.with_ranges(&text.text, &mut hashes, &mut ranges);
        }
        let (first, size) = (place.word as usize, place.size as usize);
        write(&reason, text, &text.text[ranges[first].0..ranges[first + size - 1].1])?;
    }
    Ok(count)
}
