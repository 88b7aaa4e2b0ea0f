//! The run of `decontaminate`, phase by phase. Each leaves its result under `.decontaminate/` of the output, so that a run
//! that was killed does not do it again. A part of a run begins behind the first pass, which was counted before.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value};

use super::by_offset::ByOffset;
use super::cleaner::Cleaner;
use super::counts::Counts;
use super::excerpts::Excerpts;
use super::first_pass::FirstPass;
use super::found::details_of;
use super::ignored::write_ignored;
use super::ngram_counts::NgramCounts;
use super::options::{
    Action, DECONTAMINATE, DecontaminateConfig, IGNORED_NAME, MATCHES_NAME, SCRATCH_FOLDER,
};
use super::report_only;
use super::score::{MARKS, MATCHES, Scored, score};
use super::search::Search;
use crate::error::Result;
use crate::pipeline::articles::texts::TextReader;
use crate::pipeline::feed::Reading;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::plan::{COUNTS_KEY, part_prefix};
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::scratch::{check_same, create_scratch, once, write_list};
use crate::pipeline::sharding::copier::Copier;
use crate::pipeline::sharding::engine::{Sharding, write_shards};
use crate::pipeline::sharding::intake::{Before, Intake};
use crate::pipeline::sharding::options::ShardConfig;
use crate::progress::Progress;
use crate::sources::inputs::InputList;

const SCORED: &str = "scored.json";

/// Finds documents that hold rows of evaluations, and removes them if asked.
///
/// # Errors
/// Options that cannot work, evaluations without rows, inputs that are damaged or change while they are read, bad records
/// unless they are set aside, a full disk, an interruption; for a part, counts that are missing or of something else.
/// Whatever happens, the same call resumes behind the last phase that was done.
pub fn decontaminate(
    config: &DecontaminateConfig,
    options: &RunOptions,
    memory_limit: u64,
    (inputs, evaluations): (&InputList, &[String]),
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    let part = inputs.part.as_deref();
    let root = match part {
        Some(_) => options.output.parent().unwrap_or(Path::new(".")),
        None => &options.output,
    };
    let search = Search::read(config, memory_limit, (inputs, evaluations), root, custom, progress)?;
    let (mut shards, mut value) = (config.shards.clone(), search.to_value()?);
    let counts = part.map(|part| Counts::open(&options.output, &value, part)).transpose()?;
    if let (Some(part), Some(counts)) = (part, &counts) {
        shards.prefix = part_prefix(&shards.prefix, part.number);
        value[COUNTS_KEY] = counts.hash.clone().into();
    }
    let request = Request {
        verb: DECONTAMINATE,
        output: &options.output,
        config: value,
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names: DecontaminateConfig { shards: shards.clone(), ..config.clone() }.names(),
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let scratch = options.output.join(SCRATCH_FOLDER);
    let reading = Reading { inputs, custom, num_threads: options.num_threads, progress, first_input: 0 };
    let first = match (&counts, part) {
        (Some(counts), Some(part)) => {
            create_scratch(&scratch, &scratch)?;
            progress.total_bytes.store(0, Relaxed);
            counts.first_pass(part, progress)?
        }
        _ => FirstPass::scan(&search, &mut run, &scratch, reading)?,
    };
    let phases = Phases { search: &search, shards: &shards, first: &first, scratch, reading };
    let scored = phases.score(counts.as_ref())?;
    phases.expect_bytes(&scored);
    let lists = phases.lists(&mut run, &scored)?;
    let details = details_of(&search, &scored, part.is_some());
    if config.action == Action::Report {
        return report_only::finish(run, first, &scored.inputs, lists, details);
    }
    phases.write(run, &scored, details)
}

struct Phases<'run> {
    search: &'run Search<'run>,
    shards: &'run ShardConfig,
    first: &'run FirstPass,
    scratch: PathBuf,
    reading: Reading<'run>,
}

impl Phases<'_> {
    /// What was found, as an earlier attempt has left it, or now.
    fn score(&self, counts: Option<&Counts>) -> Result<Scored> {
        let (num_ngrams, most) = (self.search.table.first.len(), self.search.config.common);
        let progress = self.reading.progress;
        once(&self.scratch.join(SCORED), || {
            let common = if let Some(counts) = counts {
                counts.common(num_ngrams, most, progress)?
            } else {
                let mut own = NgramCounts::new(num_ngrams);
                own.count(&self.scratch, self.first.inputs.len(), progress)?;
                own.common(most)
            };
            score(self.search, self.first, common, &self.scratch, progress)
        })
    }

    /// For the progress bar: what is still to be read.
    fn expect_bytes(&self, scored: &Scored) {
        let inputs = self.reading.inputs.inputs.iter();
        let again: u64 = inputs
            .zip(&scored.inputs)
            .map(|(input, score)| {
                let passes =
                    u64::from(score.matches > 0) + u64::from(self.search.config.action != Action::Report);
                passes * input.stored_bytes()
            })
            .sum();
        self.reading.progress.total_bytes.fetch_add(again, Relaxed);
    }

    /// The lists of matches, and of what was not looked for, which one part has for all.
    fn lists(&self, run: &mut Run<'_>, scored: &Scored) -> Result<Vec<OutputEntry>> {
        let Search { config, evaluations, table, field } = self.search;
        let matches = write_list(run, MATCHES_NAME, "matches", |list| {
            let counts: Vec<u64> = scored.inputs.iter().map(|input| input.matches).collect();
            let has_matches: Vec<bool> = counts.iter().map(|count| *count > 0).collect();
            let count = counts.iter().sum();
            let matches = &ByOffset::open(&self.scratch, MATCHES, counts);
            let excerpts = Excerpts { evaluations, ngram: config.ngram, field, matches };
            let hashes: Vec<String> = self.first.inputs.iter().map(|input| input.hash.clone()).collect();
            excerpts.write(self.reading, &has_matches, &hashes, list)?;
            Ok(count)
        })?;
        if self.reading.inputs.part.as_ref().is_some_and(|part| part.number > 0) {
            return Ok(vec![matches]);
        }
        let ignored = write_list(run, IGNORED_NAME, "ignored", |list| {
            write_ignored(evaluations, table, (&scored.common, config.common), list)
        })?;
        Ok(vec![matches, ignored])
    }

    /// The last pass.
    fn write(
        &self,
        run: Box<Run<'_>>,
        scored: &Scored,
        mut details: Map<String, Value>,
    ) -> Result<RunResult> {
        let Reading { inputs, custom, num_threads, progress, .. } = self.reading;
        let formats = inputs.inputs.iter().map(|input| input.format).collect();
        let counts = scored.inputs.iter().map(|input| input.marks).collect();
        let field = &self.search.field;
        let cleaner = Cleaner {
            inputs,
            copier: Copier::new(self.shards),
            reader: TextReader { fields: std::slice::from_ref(field), formats, source: None },
            field,
            marks: ByOffset::open(&self.scratch, MARKS, counts),
            style: self.search.config.cut_style(),
        };
        let seed = self.shards.seed;
        let intake = Intake { seed, prepare: None, repeats: Vec::new(), before: Before::default(), progress };
        let sharding = Sharding { config: self.shards, maker: &cleaner, intake };
        write_shards(run, sharding, num_threads, inputs, custom, |num_lines, found| {
            for (first, entry) in self.first.inputs.iter().zip(found.values()) {
                check_same(&entry.path, &first.hash, &entry.hash)?;
            }
            details.insert("lines".into(), num_lines.into());
            Ok(details)
        })
    }
}
