//! The end of a run of `dedup`: shards, only the books, or what others write shards by.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::corpus::Corpus;
use super::decisions::Why;
use super::editor::Editor;
use super::filter::{Filter, reason_of};
use super::options::{Action, SPANS_FILE};
use super::phases::{Facts, Phases};
use super::removal::Removed;
use super::verdict_file::{VERDICT_FILES, Verdicts};
use crate::error::Result;
use crate::io::atomic::temporary_path;
use crate::ledger::Ledger;
use crate::pipeline::articles::texts::TextReader;
use crate::pipeline::folder::books::QUARANTINE_NAME;
use crate::pipeline::folder::manifest::InputEntry;
use crate::pipeline::folder::run::{Run, RunResult};
use crate::pipeline::scratch::{keep_file, take_quarantine};
use crate::pipeline::sharding::copier::Copier;
use crate::pipeline::sharding::engine::{Sharding, write_shards};
use crate::pipeline::sharding::intake::{Before, Intake};

/// What the phases have found.
pub(super) struct Ending<'run> {
    pub(super) phases: &'run Phases<'run>,
    pub(super) corpus: &'run Corpus,
    pub(super) facts: Facts,
    pub(super) removed: Removed,
}

impl Ending<'_> {
    /// The end of a run that writes no shards: the books of the first pass, less what is dropped.
    pub(super) fn report(self, run: Box<Run<'_>>) -> Result<RunResult> {
        let details = self.details()?;
        let (entries, ledger, quarantine_bytes) = self.books();
        let was_resumed = !run.done.checkpoint.is_null();
        let quarantine = take_quarantine(
            run.folder(),
            &temporary_path(&self.phases.parts[1].folder.join(QUARANTINE_NAME)),
            quarantine_bytes,
            ledger.quarantined(),
        )?;
        let outputs = self.removed.lists.into_iter().chain(quarantine).collect();
        let manifest = run.finish(entries, outputs, ledger, details)?;
        Ok(RunResult { manifest, was_finished: false, was_resumed })
    }

    /// The end of a run that others write by: the same, with what the last pass is to do. That sets bad records aside.
    pub(super) fn decisions(self, mut run: Box<Run<'_>>) -> Result<RunResult> {
        let details = self.details()?;
        let (entries, ledger, _) = self.books();
        let was_resumed = !run.done.checkpoint.is_null();
        let Self { phases, removed, .. } = self;
        let mut outputs = removed.lists;
        let of_verdicts = VERDICT_FILES.map(|name| phases.parts[1].folder.join(name));
        let of_spans = phases.config.repeated.is_some().then(|| phases.path(SPANS_FILE));
        for path in of_verdicts.into_iter().chain(of_spans) {
            outputs.push(keep_file(&mut run, &path, phases.room.progress)?);
        }
        let manifest = run.finish(entries, outputs, ledger, details)?;
        Ok(RunResult { manifest, was_finished: false, was_resumed })
    }

    /// Inputs, ledger and bytes of bad records of the first pass, less what is dropped.
    fn books(&self) -> (BTreeMap<usize, InputEntry>, Ledger, u64) {
        let reasons = [Why::Exact.name(), Why::Near.name(), self.reason_of_repeated()];
        let Removed { dropped, spans, .. } = &self.removed;
        let signed = &self.corpus.inputs[self.phases.first_input()..];
        let books = signed.last().map(|input| input.header.books.clone()).unwrap_or_default();
        let mut ledger = books.ledger;
        let mut entries = BTreeMap::new();
        for (number, (input, counts)) in signed.iter().zip(dropped).enumerate() {
            let Some(mut entry) = input.header.input.clone() else { continue };
            entry.path.clone_from(&input.name);
            let repeated = spans.as_ref().map_or((0, 0), |spans| spans.dropped[number]);
            for (reason, (documents, bytes)) in reasons.into_iter().zip([counts[0], counts[1], repeated]) {
                if documents > 0 {
                    ledger.documents_kept -= documents;
                    ledger.text_bytes -= bytes;
                    ledger.drop_documents(reason, documents);
                    entry.counts.documents_kept -= documents;
                }
            }
            entries.insert(number, entry);
        }
        (entries, ledger, books.quarantine_bytes)
    }

    /// The last pass.
    pub(super) fn shards(self, run: Box<Run<'_>>) -> Result<RunResult> {
        let details = self.details()?;
        let Self { phases, corpus, .. } = self;
        let inputs = phases.parts[1].inputs;
        let formats = inputs.inputs.iter().map(|input| input.format).collect();
        let fields = std::slice::from_ref(&phases.field);
        let filter = Filter {
            copier: Copier::new(&phases.config.shards),
            reader: TextReader { fields, formats, source: None },
            verdicts: Verdicts::open(&phases.parts[1].folder, inputs, 0)?,
            editor: match &phases.config.repeated {
                Some(repeated) => Some(Editor::open(repeated, &phases.field, &phases.path(SPANS_FILE))?),
                None => None,
            },
        };
        let intake = Intake {
            seed: phases.config.shards.seed,
            prepare: None,
            repeats: Vec::new(),
            before: Before::default(),
            progress: phases.room.progress,
        };
        let sharding = Sharding { config: &phases.config.shards, maker: &filter, intake };
        let against = phases.first_input();
        write_shards(run, sharding, phases.room.num_threads, inputs, phases.custom, |_, found| {
            for (number, entry) in found {
                corpus.check_same(against + number, &entry.hash)?;
            }
            Ok(details)
        })
    }

    fn details(&self) -> Result<Map<String, Value>> {
        let Self { phases, corpus, facts, removed } = self;
        let dropped = &removed.dropped;
        let mut details = Map::new();
        let against = phases.first_input();
        let described = corpus.inputs[..against].iter().map(|signed| {
            let hash = signed.header.input.as_ref().map(|input| &input.hash);
            json!({"path": signed.name, "hash": hash, "documents": signed.header.documents})
        });
        details.insert("against".into(), described.collect());
        details.insert("documents_compared".into(), corpus.documents.into());
        let sum = |reason: usize| dropped.iter().map(|counts| counts[reason].1).sum::<u64>();
        details.insert("bytes_dropped".into(), json!({Why::Exact.name(): sum(0), Why::Near.name(): sum(1)}));
        if let Some(near) = phases.near {
            let bands = near.bands()?;
            let mut found = json!({"bands": bands.bands, "rows": bands.rows});
            if let Some(bloom) = &facts.bloom {
                found["bloom"] = json!(bloom);
            } else {
                found["join"] = json!(facts.join);
                found["edges"] = json!(facts.edges);
                found["honesty"] = json!(facts.honesty);
            }
            let curve = (1..=20).map(|at| {
                let similarity = f64::from(at) / 20.0;
                json!([similarity, bands.chance(similarity)])
            });
            found["curve"] = curve.collect();
            details.insert("near".into(), found);
        }
        if let Some(spans) = &removed.spans {
            let dropped = spans.dropped.iter().map(|(documents, _)| documents).sum::<u64>();
            details.insert(
                "repeated".into(),
                json!({
                    "documents": spans.documents, "documents_dropped": dropped, "spans": spans.spans,
                    "bytes": spans.bytes, "units": spans.units, "of_units": spans.of_units,
                }),
            );
        }
        Ok(details)
    }

    fn reason_of_repeated(&self) -> &'static str {
        reason_of(self.phases.config.repeated.as_ref().map_or(Action::Cut, |repeated| repeated.action))
    }
}
