//! What is removed: the lists for people, and what the last pass is to do.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::corpus::Corpus;
use super::options::{DUPLICATES_NAME, SPANS_FILE, SPANS_NAME};
use super::phases::Phases;
use super::spans::{SpanCounts, join_spans};
use super::verdicts::{Dropped, write_verdicts};
use crate::error::{Error, Result};
use crate::io::atomic::{AtomicFile, remove_if_present};
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::run::Run;
use crate::pipeline::scratch::write_list;

/// What is removed.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// The lists for people, which are outputs.
    pub(super) lists: Vec<OutputEntry>,
    /// Duplicates.
    pub(super) dropped: Dropped,
    /// Repeated parts, if they were looked for.
    pub(super) spans: Option<SpanCounts>,
}

impl Removed {
    /// The lists for people, and what the last pass is to do.
    pub(super) fn write(phases: &Phases<'_>, run: &mut Run<'_>, corpus: &Corpus) -> Result<Self> {
        let against = phases.first_input();
        let (marked, spans) = (phases.path("marked"), phases.path(SPANS_FILE));
        let mut removed = Self::default();
        if let Some(repeated) = &phases.config.repeated {
            let found = (phases.path("repeats"), phases.path("units"));
            removed.spans =
                Some(list_with(phases, run, &mut removed.lists, (SPANS_NAME, "spans"), |list| {
                    let counts =
                        join_spans(corpus, repeated, (&found.0, &found.1), (&marked, &spans), list, against)?;
                    Ok((counts.spans, counts))
                })?);
        }
        let marked = removed.spans.is_some().then_some(&*marked);
        removed.dropped =
            list_with(phases, run, &mut removed.lists, (DUPLICATES_NAME, "duplicates"), |list| {
                let files = (&*phases.path("decisions"), marked);
                let dropped = write_verdicts(corpus, files, &phases.parts[1].folder, against, Some(list))?;
                Ok((dropped.iter().flatten().map(|(documents, _)| documents).sum(), dropped))
            })?;
        Ok(removed)
    }
}

/// Writes a list; `write` returns how many lines it has, and what else is known, which later attempts are told too.
fn list_with<T: Serialize + DeserializeOwned>(
    phases: &Phases<'_>,
    run: &mut Run<'_>,
    lists: &mut Vec<OutputEntry>,
    (name, counted): (&str, &str),
    write: impl FnOnce(&mut AtomicFile) -> Result<(u64, T)>,
) -> Result<T> {
    let facts = format!("{name}.json");
    let mut found = None;
    lists.push(write_list(run, name, counted, |list| {
        let (count, facts_found) = write(list)?;
        // Before the list has its name: then it is always there beside it.
        remove_if_present(&phases.path(&facts))?;
        found = Some(phases.once(&facts, || Ok(facts_found))?);
        Ok(count)
    })?);
    match found {
        Some(found) => Ok(found),
        None => phases.once(&facts, || {
            let reason =
                "expected what an earlier attempt has left, found no file (overwrite=True starts anew)";
            Err(Error::corrupt(&phases.path(&facts), 0, reason))
        }),
    }
}
