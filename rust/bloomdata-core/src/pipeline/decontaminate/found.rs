//! What was found of each evaluation file, as manifests have it: of a run, of a part, and of all parts together.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::score::{InputScore, Scored};
use super::search::Search;
use crate::pipeline::folder::manifest::Manifest;

const SETS: &str = "evaluations";
/// Key of the lines of the rows that a part has found, for an evaluation file: two parts may have found the same.
const LINES: &str = "lines_found";
/// Counts of documents of each part.
const SUMS: [&str; 2] = ["documents_contaminated", "bytes_contaminated"];

/// The details of a run, or of a part of one.
pub fn details_of(search: &Search<'_>, scored: &Scored, is_part: bool) -> Map<String, Value> {
    let sets = search.evaluations.sets.iter().enumerate().map(|(at, set)| {
        let found = scored.sets.get(at).cloned().unwrap_or_default();
        let mut entry = json!({
            "path": set.path, "rows": set.rows, "rows_too_short": found.rows_too_short,
            "rows_found": found.lines_found.len(), "documents": found.documents, "matches": found.matches,
        });
        if is_part {
            entry[LINES] = found.lines_found.into();
        }
        entry
    });
    let sum = |count: fn(&InputScore) -> u64| scored.inputs.iter().map(count).sum::<u64>();
    let mut details = Map::new();
    details.insert(SETS.into(), sets.collect());
    details.insert("ngrams".into(), search.table.first.len().into());
    details.insert("ngrams_common".into(), scored.common.len().into());
    details.insert(SUMS[0].into(), sum(|input| input.documents).into());
    details.insert(SUMS[1].into(), sum(|input| input.bytes).into());
    details
}

/// Makes the details of the first part those of all parts, if they are such.
pub fn sum_found(details: &mut Map<String, Value>, parts: &[Manifest]) {
    let Some(sets) = details.get_mut(SETS).and_then(Value::as_array_mut) else { return };
    for (at, set) in sets.iter_mut().enumerate() {
        let of = |key: &'static str| {
            parts.iter().filter_map(move |part| part.details.get(SETS)?.get(at)?.get(key))
        };
        for key in ["documents", "matches"] {
            set[key] = of(key).filter_map(Value::as_u64).sum::<u64>().into();
        }
        let lines = of(LINES).filter_map(Value::as_array).flatten().filter_map(Value::as_u64);
        set["rows_found"] = lines.collect::<BTreeSet<_>>().len().into();
        if let Some(set) = set.as_object_mut() {
            set.remove(LINES);
        }
    }
    for key in SUMS {
        let counts = parts.iter().filter_map(|part| part.details.get(key)?.as_u64());
        details.insert(key.to_owned(), counts.sum::<u64>().into());
    }
}
