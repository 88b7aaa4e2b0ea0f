//! The run of `dedup`, phase by phase. Each leaves its result under `.dedup/` of the output, so that a run that was killed
//! does not do it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::candidates::{JoinCounts, documents_without_units, find_candidates};
use super::corpus::{Corpus, Part};
use super::decisions::{Decided, Why, read_decisions};
use super::edges::{Comparison, EdgeCounts, decide_near};
use super::editor::Editor;
use super::equal::{add_later, decide_equal, find_equal};
use super::filter::{Filter, reason_of};
use super::honesty::{Honesty, Samples};
use super::options::{
    Action, DUPLICATES_NAME, DedupConfig, NearConfig, SCRATCH_FOLDER, SPANS_NAME, table_bytes,
};
use super::records::RecordReader;
use super::repeats::Scan;
use super::shingle_sets::{ShingleSets, collect, is_collected};
use super::sign::{Signing, sign};
use super::signature_file::Column;
use super::sorter::Room;
use super::spans::{SpanCounts, join_spans};
use super::verdicts::{Dropped, Verdicts, write_verdicts};
use crate::dedup::keep::DocumentSet;
use crate::error::{Error, Result};
use crate::hash::hash_file;
use crate::io::atomic::{AtomicFile, temporary_path, write_atomically};
use crate::json_fields::FieldPath;
use crate::pipeline::articles::texts::TextReader;
use crate::pipeline::feed::Reading;
use crate::pipeline::folder::books::QUARANTINE_NAME;
use crate::pipeline::folder::journal::Entry;
use crate::pipeline::folder::manifest::{OutputEntry, differs};
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::sharding::copier::Copier;
use crate::pipeline::sharding::engine::{Sharding, first_step, write_shards};
use crate::pipeline::sharding::intake::Intake;
use crate::progress::Progress;
use crate::sources::Format;
use crate::sources::inputs::InputList;

/// Sorters that may be full at once.
const SORTERS: u64 = 3;

/// What is read.
#[derive(Debug, Clone, Copy)]
pub struct DedupInputs<'run> {
    /// What is deduplicated.
    pub inputs: &'run InputList,
    /// What it is compared with, too.
    pub against: &'run InputList,
}

/// Removes duplicates.
///
/// # Errors
/// Options that cannot work, inputs that are damaged or change while they are read, bad records unless they are set aside,
/// a full disk, an interruption. Whatever happens, the same call resumes behind the last phase that was done.
pub fn dedup(
    config: &DedupConfig,
    options: &RunOptions,
    memory_limit: u64,
    DedupInputs { inputs, against }: DedupInputs<'_>,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    config.validate()?;
    let bytes = table_bytes(memory_limit, options.num_threads)? / SORTERS;
    if let Some(table) = inputs.inputs.iter().find(|input| input.format == Format::Arrow) {
        let reason = format!("expected files, which are read more than once, got {}", table.path.display());
        return Err(Error::config("inputs", reason));
    }
    let value = serde_json::to_value(config).map_err(|error| Error::Internal(error.to_string()))?;
    let request = Request {
        verb: "dedup",
        output: &options.output,
        config: value,
        inputs,
        overwrite: options.overwrite,
        names: config.names(),
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => {
            check_against(&result, against, progress)?;
            return Ok(*result);
        }
        Opened::Ready(run) => run,
    };
    let sum = |list: &InputList| list.inputs.iter().map(|input| input.size).sum::<u64>();
    let passes = 1 + u64::from(config.near.is_some()) + 2 * u64::from(config.repeated.is_some());
    let total = passes * (sum(inputs) + sum(against)) + if config.report_only { 0 } else { sum(inputs) };
    progress.total_bytes.store(total, Relaxed);
    let scratch = options.output.join(SCRATCH_FOLDER);
    let phases = Phases {
        config,
        near: config.near.as_ref(),
        signing: Signing::new(config)?,
        field: config.field()?,
        custom,
        room: Room { folder: &scratch, bytes, num_threads: options.num_threads, progress },
        parts: [
            Part { folder: scratch.join("against"), inputs: against },
            Part { folder: scratch.join("inputs"), inputs },
        ],
    };
    let corpus = phases.sign(&mut run)?;
    let facts = phases.decide(&corpus)?;
    let removed = phases.lists(&mut run, &corpus)?;
    let details = phases.details(&corpus, &facts, &removed)?;
    if config.report_only {
        return phases.finish_report(run, &corpus, removed, details);
    }
    phases.write(run, &corpus, details)
}

/// A finished folder answers for the same content of what it was compared with.
fn check_against(result: &RunResult, against: &InputList, progress: &Progress) -> Result<()> {
    let empty = Vec::new();
    let known = result.manifest.details.get("against").and_then(Value::as_array).unwrap_or(&empty);
    if known.len() != against.inputs.len() {
        let what = differs("number of files to compare with");
        return Err(Error::mismatch(what, known.len(), against.inputs.len()));
    }
    for (known, input) in known.iter().zip(&against.inputs) {
        let (_, hasher) = hash_file(&input.path, None, progress)?;
        if known["hash"].as_str() != Some(&hasher.hex()) {
            let what = differs(&format!("content of {}", input.path.display()));
            return Err(Error::mismatch(what, &known["hash"], hasher.hex()));
        }
    }
    Ok(())
}

/// What the phases found out, beside who is dropped.
#[derive(Debug, Default)]
struct Facts {
    join: JoinCounts,
    edges: EdgeCounts,
    honesty: Honesty,
}

/// What is removed.
#[derive(Debug, Default)]
struct Removed {
    /// The lists for people, which are outputs.
    lists: Vec<OutputEntry>,
    dropped: Dropped,
    spans: Option<SpanCounts>,
}

struct Phases<'run> {
    config: &'run DedupConfig,
    near: Option<&'run NearConfig>,
    signing: Signing,
    field: FieldPath,
    custom: &'run CustomReader<'run>,
    room: Room<'run>,
    /// What is compared with, and the inputs.
    parts: [Part<'run>; 2],
}

impl<'run> Phases<'run> {
    fn path(&self, name: &str) -> PathBuf {
        self.room.folder.join(name)
    }

    /// The first pass.
    fn sign(&self, run: &mut Run<'_>) -> Result<Corpus> {
        let mut is_new = run.done.checkpoint.is_null();
        for part in &self.parts {
            std::fs::create_dir_all(&part.folder).map_err(Error::io(&part.folder))?;
            let room = Room { folder: &part.folder, ..self.room };
            let reading = Reading {
                inputs: part.inputs,
                custom: self.custom,
                num_threads: room.num_threads,
                progress: room.progress,
                first_input: 0,
            };
            sign(&self.signing, reading, self.config.shards.on_bad_record, room, || {
                if std::mem::take(&mut is_new) {
                    // From here on there is something to resume.
                    run.journal.append(&first_step(Vec::new())?)?;
                }
                Ok(())
            })?;
        }
        Corpus::open(&self.parts, 1, &self.signing)
    }

    /// Who is dropped, in the file `decisions`.
    fn decide(&self, corpus: &Corpus) -> Result<Facts> {
        let mut facts = Facts::default();
        let mut taken = DocumentSet::new(corpus.documents);
        if self.config.exact.is_some() {
            self.equal(corpus, Column::Exact, "equal-texts", &mut taken)?;
        }
        if let Some(near) = self.near {
            self.equal(corpus, Column::Units, "equal-units", &mut taken)?;
            let candidates = self.path("candidates");
            facts.join =
                self.once("join.json", || find_candidates(corpus, near, &taken, self.room, &candidates))?;
            let least = crate::token::whole(
                (near.threshold * crate::token::double(near.signature.num_perm as u64)).ceil(),
            );
            let without_units = documents_without_units(corpus)?;
            let samples = Samples::choose(corpus, &[&taken, &without_units], &candidates, least)?;
            let sets = self.sets(corpus, near, &samples, &candidates)?;
            let path = self.path("near");
            facts.edges = self.once("edges.json", || {
                let slots = near.signature.num_perm;
                let comparison =
                    if near.verify { Comparison::Exact(&sets) } else { Comparison::Estimate(slots) };
                let mut decided = Decided::new(self.room);
                let candidates = RecordReader::open(&candidates)?;
                let counts = decide_near(
                    corpus,
                    near,
                    self.config.keep,
                    comparison,
                    candidates,
                    &mut decided,
                    self.room,
                )?;
                decided.write(&path)?;
                Ok(counts)
            })?;
            facts.honesty = self.once("honesty.json", || {
                samples.judge(corpus, near.threshold, &sets, &candidates, self.room.progress)
            })?;
        }
        self.once("decided.json", || self.all_decisions(corpus))?;
        if let Some(repeated) = &self.config.repeated {
            self.once("repeats.json", || self.find_repeats(corpus, repeated.part))?;
        }
        Ok(facts)
    }

    /// Repeated parts of the documents that are left, in the files `repeats` and `units`.
    fn find_repeats(&self, corpus: &Corpus, part: crate::dedup::segments::Part) -> Result<()> {
        let mut dropped = DocumentSet::new(corpus.documents);
        for decision in read_decisions(&self.path("decisions"))? {
            dropped.insert(decision?.document);
        }
        let scan = Scan {
            corpus,
            parts: &self.parts,
            dropped: &dropped,
            field: &self.field,
            part,
            custom: self.custom,
            room: self.room,
        };
        scan.find(&self.path("repeats"), &self.path("units"))
    }

    /// Similar documents, those that equal them in words, and those that equal any of them in text.
    fn all_decisions(&self, corpus: &Corpus) -> Result<()> {
        let (near, by_units) = (self.path("near"), self.path("near-and-equal"));
        if self.near.is_some() {
            let mut decided = Decided::new(self.room);
            let earlier = read_decisions(&near)?;
            let equal = self.path("equal-units");
            decide_equal(&equal, Why::Near, corpus.against, earlier, |decision| decided.push(decision))?;
            read_decisions(&near)?.try_for_each(|decision| decided.push(decision?))?;
            decided.write(&by_units)?;
        } else {
            Decided::new(self.room).write(&by_units)?;
        }
        let mut decided = Decided::new(self.room);
        if self.config.exact.is_some() {
            let earlier = read_decisions(&by_units)?;
            let equal = self.path("equal-texts");
            decide_equal(&equal, Why::Exact, corpus.against, earlier, |decision| decided.push(decision))?;
        }
        read_decisions(&by_units)?.try_for_each(|decision| decided.push(decision?))?;
        decided.write(&self.path("decisions"))
    }

    fn equal(&self, corpus: &Corpus, column: Column, name: &str, taken: &mut DocumentSet) -> Result<()> {
        let path = self.path(name);
        if path.exists() {
            return add_later(&path, taken);
        }
        find_equal(corpus, column, taken, self.room, &path)
    }

    /// The second pass: sets of all candidates, or of the samples alone.
    fn sets(
        &self,
        corpus: &Corpus,
        near: &NearConfig,
        samples: &Samples,
        candidates: &Path,
    ) -> Result<ShingleSets> {
        let mut wanted = DocumentSet::new(corpus.documents);
        samples.add_to(&mut wanted);
        if near.verify {
            for record in RecordReader::<3>::open(candidates)? {
                let [later, earlier, _] = record?;
                wanted.insert(later);
                wanted.insert(earlier);
            }
        }
        if !is_collected(self.room.folder) {
            let how = (&self.field, &near.signature);
            collect(corpus, &self.parts, &wanted, how, self.custom, self.room)?;
        }
        ShingleSets::open(self.room.folder, wanted)
    }

    /// The result of a phase: as an earlier attempt has left it, or found now.
    fn once<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        find: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.path(name);
        if path.exists() {
            let text = std::fs::read(&path).map_err(Error::io(&path))?;
            return serde_json::from_slice(&text)
                .map_err(|error| Error::corrupt(&path, 0, error.to_string()));
        }
        let found = find()?;
        let text = serde_json::to_vec(&found).map_err(|error| Error::Internal(error.to_string()))?;
        write_atomically(&path, &text)?;
        Ok(found)
    }

    /// The lists for people, and what the last pass is to do.
    fn lists(&self, run: &mut Run<'_>, corpus: &Corpus) -> Result<Removed> {
        let against = self.parts[0].inputs.inputs.len();
        let (marked, spans) = (self.path("marked"), self.path("spans"));
        let mut removed = Removed::default();
        if let Some(repeated) = &self.config.repeated {
            let found = (self.path("repeats"), self.path("units"));
            removed.spans = Some(self.list(run, &mut removed.lists, SPANS_NAME, "spans", |list| {
                let counts =
                    join_spans(corpus, repeated, (&found.0, &found.1), (&marked, &spans), list, against)?;
                Ok((counts.spans, counts))
            })?);
        }
        let marked = removed.spans.is_some().then_some(&*marked);
        removed.dropped = self.list(run, &mut removed.lists, DUPLICATES_NAME, "duplicates", |list| {
            let files = (&*self.path("decisions"), marked);
            let dropped = write_verdicts(corpus, files, &self.parts[1].folder, against, list)?;
            Ok((dropped.iter().flatten().map(|(documents, _)| documents).sum(), dropped))
        })?;
        Ok(removed)
    }

    /// Writes a list as an output that is a step of its own; `write` says how many lines it has, and what else is known.
    fn list<T: Serialize + DeserializeOwned>(
        &self,
        run: &mut Run<'_>,
        lists: &mut Vec<OutputEntry>,
        name: &str,
        counted: &str,
        write: impl FnOnce(&mut AtomicFile) -> Result<(u64, T)>,
    ) -> Result<T> {
        let facts = format!("{name}.json");
        if let Some(entry) = run.done.outputs.iter().find(|output| output.path == name) {
            lists.push(entry.clone());
            return self.once(&facts, || Err(Error::Internal(format!("{facts} is not there"))));
        }
        let mut list = AtomicFile::create(&run.folder().join(name))?;
        let (count, found) = write(&mut list)?;
        let json = serde_json::to_vec(&found).map_err(|error| Error::Internal(error.to_string()))?;
        write_atomically(&self.path(&facts), &json)?;
        run.journal.append(&Entry::Sealing { path: name.to_owned() })?;
        let sealed = list.seal()?;
        let details = Map::from_iter([(counted.to_owned(), count.into())]);
        let entry = OutputEntry { path: name.to_owned(), size: sealed.size, hash: sealed.hash, details };
        run.journal.append(&first_step(vec![entry.clone()])?)?;
        run.done.outputs.push(entry.clone());
        lists.push(entry);
        Ok(found)
    }

    fn details(&self, corpus: &Corpus, facts: &Facts, removed: &Removed) -> Result<Map<String, Value>> {
        let dropped = &removed.dropped;
        let mut details = Map::new();
        let against = self.parts[0].inputs.inputs.len();
        let described = corpus.inputs[..against].iter().map(|signed| {
            let hash = signed.header.input.as_ref().map(|input| &input.hash);
            json!({"path": signed.name, "hash": hash, "documents": signed.header.documents})
        });
        details.insert("against".into(), described.collect());
        details.insert("documents_compared".into(), corpus.documents.into());
        let sum = |reason: usize| dropped.iter().map(|counts| counts[reason].1).sum::<u64>();
        details.insert("bytes_dropped".into(), json!({Why::Exact.name(): sum(0), Why::Near.name(): sum(1)}));
        if let Some(near) = self.near {
            let bands = near.bands()?;
            let curve = (1..=20).map(|at| {
                let similarity = f64::from(at) / 20.0;
                json!([similarity, bands.chance(similarity)])
            });
            details.insert(
                "near".into(),
                json!({
                    "bands": bands.bands, "rows": bands.rows, "curve": curve.collect::<Vec<_>>(),
                    "join": facts.join, "edges": facts.edges, "honesty": facts.honesty,
                }),
            );
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

    /// The end of a run that writes no shards: the books of the first pass, less what is dropped.
    fn finish_report(
        &self,
        run: Box<Run<'_>>,
        corpus: &Corpus,
        removed: Removed,
        details: Map<String, Value>,
    ) -> Result<RunResult> {
        let Removed { lists, dropped, spans } = removed;
        let was_resumed = !run.done.checkpoint.is_null();
        let signed = &corpus.inputs[self.parts[0].inputs.inputs.len()..];
        let books = signed.last().map(|input| input.header.books.clone()).unwrap_or_default();
        let mut ledger = books.ledger;
        let mut entries = BTreeMap::new();
        for (number, (input, counts)) in signed.iter().zip(&dropped).enumerate() {
            let Some(mut entry) = input.header.input.clone() else { continue };
            entry.path.clone_from(&input.name);
            let repeated = spans.as_ref().map_or((0, 0), |spans| spans.dropped[number]);
            let reasons = [Why::Exact.name(), Why::Near.name(), self.reason_of_repeated()];
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
        let mut outputs = lists;
        outputs.extend(self.quarantine(run.folder(), books.quarantine_bytes, ledger.quarantined())?);
        let manifest = run.finish(entries, outputs, ledger, details)?;
        Ok(RunResult { manifest, was_finished: false, was_resumed })
    }

    fn reason_of_repeated(&self) -> &'static str {
        reason_of(self.config.repeated.as_ref().map_or(Action::Cut, |repeated| repeated.action))
    }

    /// Bad records that the first pass has set aside.
    fn quarantine(&self, folder: &Path, bytes: u64, records: u64) -> Result<Option<OutputEntry>> {
        if bytes == 0 {
            return Ok(None);
        }
        let path = temporary_path(&self.parts[1].folder.join(QUARANTINE_NAME));
        let content = std::fs::read(&path).map_err(Error::io(&path))?;
        let content = content.get(..crate::token::index(bytes)).unwrap_or(&content);
        let sealed = write_atomically(&folder.join(QUARANTINE_NAME), content)?;
        let details = Map::from_iter([("records".to_owned(), records.into())]);
        Ok(Some(OutputEntry { path: QUARANTINE_NAME.into(), size: sealed.size, hash: sealed.hash, details }))
    }

    /// The last pass.
    fn write(&self, run: Box<Run<'_>>, corpus: &Corpus, details: Map<String, Value>) -> Result<RunResult> {
        let inputs = self.parts[1].inputs;
        let formats = inputs.inputs.iter().map(|input| input.format).collect();
        let fields = std::slice::from_ref(&self.field);
        let filter = Filter {
            copier: Copier::new(&self.config.shards),
            reader: TextReader { fields, formats, source: None },
            verdicts: Verdicts::open(&self.parts[1].folder)?,
            editor: match &self.config.repeated {
                Some(repeated) => Some(Editor::open(repeated, &self.field, &self.path("spans"))?),
                None => None,
            },
        };
        let intake = Intake {
            seed: self.config.shards.seed,
            prepare: None,
            repeats: Vec::new(),
            progress: self.room.progress,
        };
        let sharding = Sharding { config: &self.config.shards, maker: &filter, intake };
        let against = self.parts[0].inputs.inputs.len();
        write_shards(run, sharding, self.room.num_threads, inputs, self.custom, |_, found| {
            for (number, entry) in found {
                corpus.check_same(against + number, &entry.hash)?;
            }
            Ok(details)
        })
    }
}
