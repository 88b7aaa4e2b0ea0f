//! The run of `decontaminate`, phase by phase. Each leaves its result under `.decontaminate/` of the output, so that a run
//! that was killed does not do it again.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value, json};

use super::by_offset::ByOffset;
use super::cleaner::Cleaner;
use super::evaluations::Evaluations;
use super::excerpts::Excerpts;
use super::hit_file::{Scanned, read_scanned};
use super::ignored::write_ignored;
use super::options::{Action, DecontaminateConfig, IGNORED_NAME, MATCHES_NAME, SCRATCH_FOLDER};
use super::report_only;
use super::scan::{Scanning, scan};
use super::score::{MARKS, MATCHES, Scored, score};
use crate::decontaminate::table::NgramTable;
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::pipeline::articles::texts::TextReader;
use crate::pipeline::dedup::options::check_memory;
use crate::pipeline::feed::Reading;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::scratch::{check_same, create_scratch, once, refuse_tables, write_list};
use crate::pipeline::sharding::copier::Copier;
use crate::pipeline::sharding::engine::{Sharding, first_step, write_shards};
use crate::pipeline::sharding::intake::{Before, Intake};
use crate::progress::Progress;
use crate::sources::inputs::InputList;

const SCORED: &str = "scored.json";

/// Finds documents that hold rows of evaluations, and removes them if asked.
///
/// # Errors
/// Options that cannot work, evaluations without rows, inputs that are damaged or change while they are read, bad records
/// unless they are set aside, a full disk, an interruption. Whatever happens, the same call resumes behind the last phase
/// that was done.
pub fn decontaminate(
    config: &DecontaminateConfig,
    options: &RunOptions,
    memory_limit: u64,
    (inputs, evaluations): (&InputList, &[String]),
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    config.validate()?;
    check_memory(memory_limit)?;
    refuse_tables("inputs", inputs)?;
    let mut evaluations = Evaluations::read(evaluations, &options.output, custom, progress)?;
    evaluations.texts.retain(|text| config.looks_for(text.part));
    let table = NgramTable::build(&evaluations.texts, config.ngram)?;
    let needed = table.bytes() + evaluations.bytes();
    if needed > memory_limit {
        let reason = format!("expected {needed} bytes or more for these evaluations, got {memory_limit}");
        return Err(Error::config("memory_limit", reason));
    }
    let mut value = serde_json::to_value(config).map_err(|error| Error::Internal(error.to_string()))?;
    value["evaluations"] =
        evaluations.sets.iter().map(|set| json!({"path": set.path, "hash": set.hash})).collect();
    let request = Request {
        verb: "decontaminate",
        output: &options.output,
        config: value,
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names: config.names(),
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let scratch = options.output.join(SCRATCH_FOLDER);
    let field = config.field()?;
    let reading = Reading { inputs, custom, num_threads: options.num_threads, progress, first_input: 0 };
    let phases = Phases {
        config,
        evaluations: &evaluations,
        table: &table,
        field: &field,
        scratch: &scratch,
        reading,
    };
    phases.scan(&mut run)?;
    let scanned =
        (0..inputs.inputs.len()).map(|input| read_scanned(&scratch, input)).collect::<Result<Vec<_>>>()?;
    let scored = phases.score()?;
    phases.expect_bytes(&scored);
    let lists = phases.lists(&mut run, &scored, &scanned)?;
    let details = phases.details(&scored);
    if config.action == Action::Report {
        let found = (scanned, &scored.inputs[..]);
        return report_only::finish(run, inputs, &scratch, found, lists, details);
    }
    phases.write(run, &scored, &scanned, details)
}

struct Phases<'run> {
    config: &'run DecontaminateConfig,
    evaluations: &'run Evaluations,
    table: &'run NgramTable,
    field: &'run FieldPath,
    scratch: &'run Path,
    reading: Reading<'run>,
}

impl Phases<'_> {
    /// The first pass.
    fn scan(&self, run: &mut Run<'_>) -> Result<()> {
        create_scratch(self.scratch, self.scratch)?;
        let mut is_new = run.done.checkpoint.is_null();
        let scanning = Scanning {
            table: self.table,
            field: self.field,
            common: self.config.common,
            on_bad_record: self.config.shards.on_bad_record,
            folder: self.scratch,
        };
        scan(&scanning, self.reading, || {
            if std::mem::take(&mut is_new) {
                // From here on there is something to resume.
                run.journal.append(&first_step(Vec::new())?)?;
            }
            Ok(())
        })
    }

    /// What was found, as an earlier attempt has left it, or now.
    fn score(&self) -> Result<Scored> {
        let (texts, inputs) = (&self.evaluations.texts, self.reading.inputs.inputs.len());
        once(&self.scratch.join(SCORED), || {
            score(self.table, texts, self.config, inputs, self.scratch, self.reading.progress)
        })
    }

    /// For the progress bar: what is still to be read.
    fn expect_bytes(&self, scored: &Scored) {
        let inputs = self.reading.inputs.inputs.iter();
        let again: u64 = inputs
            .zip(&scored.inputs)
            .map(|(input, score)| {
                let passes = u64::from(score.matches > 0) + u64::from(self.config.action != Action::Report);
                passes * input.size
            })
            .sum();
        self.reading.progress.total_bytes.fetch_add(again, Relaxed);
    }

    /// The lists of matches, and of what was not looked for.
    fn lists(&self, run: &mut Run<'_>, scored: &Scored, scanned: &[Scanned]) -> Result<Vec<OutputEntry>> {
        let matches = write_list(run, MATCHES_NAME, "matches", |list| {
            let counts: Vec<u64> = scored.inputs.iter().map(|input| input.matches).collect();
            let has_matches: Vec<bool> = counts.iter().map(|count| *count > 0).collect();
            let count = counts.iter().sum();
            let excerpts = Excerpts {
                evaluations: self.evaluations,
                ngram: self.config.ngram,
                field: self.field,
                matches: &ByOffset::open(self.scratch, MATCHES, counts),
            };
            let hashes: Vec<String> = scanned.iter().map(|scanned| scanned.input.hash.clone()).collect();
            excerpts.write(self.reading, &has_matches, &hashes, list)?;
            Ok(count)
        })?;
        let ignored = write_list(run, IGNORED_NAME, "ignored", |list| {
            write_ignored(self.evaluations, self.table, (&scored.common, self.config.common), list)
        })?;
        Ok(vec![matches, ignored])
    }

    fn details(&self, scored: &Scored) -> Map<String, Value> {
        let sets = self.evaluations.sets.iter().enumerate().map(|(at, set)| {
            let found = scored.sets.get(at).copied().unwrap_or_default();
            json!({
                "path": set.path, "rows": set.rows, "rows_too_short": found.rows_too_short,
                "rows_found": found.rows_found, "documents": found.documents, "matches": found.matches,
            })
        });
        let sum = |count: fn(&super::score::InputScore) -> u64| scored.inputs.iter().map(count).sum::<u64>();
        let mut details = Map::new();
        details.insert("evaluations".into(), sets.collect());
        details.insert("ngrams".into(), self.table.first.len().into());
        details.insert("ngrams_common".into(), scored.common.len().into());
        details.insert("documents_contaminated".into(), sum(|input| input.documents).into());
        details.insert("bytes_contaminated".into(), sum(|input| input.bytes).into());
        details
    }

    /// The last pass.
    fn write(
        &self,
        run: Box<Run<'_>>,
        scored: &Scored,
        scanned: &[Scanned],
        mut details: Map<String, Value>,
    ) -> Result<RunResult> {
        let Reading { inputs, custom, num_threads, progress, .. } = self.reading;
        let formats = inputs.inputs.iter().map(|input| input.format).collect();
        let counts = scored.inputs.iter().map(|input| input.marks).collect();
        let cleaner = Cleaner {
            inputs,
            copier: Copier::new(&self.config.shards),
            reader: TextReader { fields: std::slice::from_ref(self.field), formats, source: None },
            field: self.field,
            marks: ByOffset::open(self.scratch, MARKS, counts),
            style: self.config.cut_style(),
        };
        let seed = self.config.shards.seed;
        let intake = Intake { seed, prepare: None, repeats: Vec::new(), before: Before::default(), progress };
        let sharding = Sharding { config: &self.config.shards, maker: &cleaner, intake };
        write_shards(run, sharding, num_threads, inputs, custom, |num_lines, found| {
            for (scanned, entry) in scanned.iter().zip(found.values()) {
                check_same(&entry.path, &scanned.input.hash, &entry.hash)?;
            }
            details.insert("lines".into(), num_lines.into());
            Ok(details)
        })
    }
}
