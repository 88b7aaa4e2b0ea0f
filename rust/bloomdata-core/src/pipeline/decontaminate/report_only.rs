//! The end of a run that writes no shards: the books of the first pass, less contaminated documents.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::cleaner::CONTAMINATED;
use super::first_pass::FirstPass;
use super::score::InputScore;
use crate::error::Result;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::run::{Run, RunResult};

/// Finishes a run. `scores` are of the inputs, in order.
///
/// # Errors
/// The system's reason.
pub(super) fn finish(
    run: Box<Run<'_>>,
    first: FirstPass,
    scores: &[InputScore],
    mut outputs: Vec<OutputEntry>,
    details: Map<String, Value>,
) -> Result<RunResult> {
    let was_resumed = !run.done.checkpoint.is_null();
    outputs.extend(first.quarantined(run.folder())?);
    let mut ledger = first.ledger;
    let mut entries = BTreeMap::new();
    for (number, (mut entry, score)) in first.inputs.into_iter().zip(scores).enumerate() {
        entry.counts.documents_kept -= score.documents;
        if score.documents > 0 {
            ledger.documents_kept -= score.documents;
            ledger.text_bytes -= score.bytes;
            ledger.drop_documents(CONTAMINATED, score.documents);
        }
        entries.insert(number, entry);
    }
    let manifest = run.finish(entries, outputs, ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}
