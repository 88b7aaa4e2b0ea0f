//! What is removed: the lists for people, and what the last pass is to do.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;

use super::corpus::Corpus;
use super::options::{DUPLICATES_NAME, SPANS_NAME};
use super::phases::Phases;
use super::spans::{SpanCounts, join_spans};
use super::verdicts::{Dropped, write_verdicts};
use crate::error::{Error, Result};
use crate::io::atomic::{AtomicFile, write_atomically};
use crate::pipeline::folder::journal::Entry;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::run::Run;
use crate::pipeline::sharding::engine::first_step;

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
        let (marked, spans) = (phases.path("marked"), phases.path("spans"));
        let mut removed = Self::default();
        if let Some(repeated) = &phases.config.repeated {
            let found = (phases.path("repeats"), phases.path("units"));
            removed.spans = Some(write_list(phases, run, &mut removed.lists, SPANS_NAME, "spans", |list| {
                let counts =
                    join_spans(corpus, repeated, (&found.0, &found.1), (&marked, &spans), list, against)?;
                Ok((counts.spans, counts))
            })?);
        }
        let marked = removed.spans.is_some().then_some(&*marked);
        removed.dropped =
            write_list(phases, run, &mut removed.lists, DUPLICATES_NAME, "duplicates", |list| {
                let files = (&*phases.path("decisions"), marked);
                let dropped = write_verdicts(corpus, files, &phases.parts[1].folder, against, Some(list))?;
                Ok((dropped.iter().flatten().map(|(documents, _)| documents).sum(), dropped))
            })?;
        Ok(removed)
    }
}

/// Writes a list as an output that is a step of its own; `write` says how many lines it has, and what else is known.
fn write_list<T: Serialize + DeserializeOwned>(
    phases: &Phases<'_>,
    run: &mut Run<'_>,
    lists: &mut Vec<OutputEntry>,
    name: &str,
    counted: &str,
    write: impl FnOnce(&mut AtomicFile) -> Result<(u64, T)>,
) -> Result<T> {
    let facts = format!("{name}.json");
    if let Some(entry) = run.done.outputs.iter().find(|output| output.path == name) {
        lists.push(entry.clone());
        return phases.once(&facts, || {
            let reason =
                "expected what an earlier attempt has left, found no file (overwrite=True starts anew)";
            Err(Error::corrupt(&phases.path(&facts), 0, reason))
        });
    }
    let mut list = AtomicFile::create(&run.folder().join(name))?;
    let (count, found) = write(&mut list)?;
    let json = serde_json::to_vec(&found).map_err(|error| Error::Internal(error.to_string()))?;
    write_atomically(&phases.path(&facts), &json)?;
    run.journal.append(&Entry::Sealing { path: name.to_owned() })?;
    let sealed = list.seal()?;
    let details = Map::from_iter([(counted.to_owned(), count.into())]);
    let entry = OutputEntry { path: name.to_owned(), size: sealed.size, hash: sealed.hash, details };
    run.journal.append(&first_step(vec![entry.clone()])?)?;
    run.done.outputs.push(entry.clone());
    lists.push(entry);
    Ok(found)
}
