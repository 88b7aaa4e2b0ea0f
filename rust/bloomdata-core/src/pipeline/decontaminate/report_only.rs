//! The end of a run that writes no shards: the books of the first pass, less contaminated documents.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::cleaner::CONTAMINATED;
use super::hit_file::Scanned;
use super::score::InputScore;
use crate::error::Result;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::run::{Run, RunResult};
use crate::pipeline::scratch::take_quarantine;
use crate::sources::inputs::InputList;

/// Finishes a run. `scanned` and `scores` are of the inputs, in order.
///
/// # Errors
/// The system's reason.
pub(super) fn finish(
    run: Box<Run<'_>>,
    inputs: &InputList,
    scratch: &Path,
    (scanned, scores): (Vec<Scanned>, &[InputScore]),
    mut outputs: Vec<OutputEntry>,
    details: Map<String, Value>,
) -> Result<RunResult> {
    let was_resumed = !run.done.checkpoint.is_null();
    let books = scanned.last().map(|last| last.books.clone()).unwrap_or_default();
    let mut ledger = books.ledger;
    let mut entries = BTreeMap::new();
    for (number, ((scanned, score), input)) in scanned.into_iter().zip(scores).zip(&inputs.inputs).enumerate()
    {
        let mut entry = scanned.input;
        entry.path.clone_from(&input.path);
        entry.counts.documents_kept -= score.documents;
        if score.documents > 0 {
            ledger.documents_kept -= score.documents;
            ledger.text_bytes -= score.bytes;
            ledger.drop_documents(CONTAMINATED, score.documents);
        }
        entries.insert(number, entry);
    }
    let folder = run.folder();
    outputs.extend(take_quarantine(folder, scratch, books.quarantine_bytes, ledger.quarantined())?);
    let manifest = run.finish(entries, outputs, ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}
