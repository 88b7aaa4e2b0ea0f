//! The run of `dedup`: the output folder is opened, then come the phases, then the end.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use super::corpus::Part;
use super::decided::Decided;
use super::ending::Ending;
use super::options::{DECIDE, DEDUP, DedupConfig, SCRATCH_FOLDER, SPANS_FILE, check_memory};
use super::phases::Phases;
use super::removal::Removed;
use super::set_parts::INPUTS_NAME;
use super::signing::Signing;
use super::sorter::Room;
use super::verdict_file::VERDICT_FILES;
use crate::error::{Error, Result};
use crate::hash::hash_file;
use crate::pipeline::folder::journal::JOURNAL_NAME;
use crate::pipeline::folder::manifest::{MANIFEST_NAME, differs};
use crate::pipeline::folder::plan::{DECISIONS_NAME, Plan, refuse_others};
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::scratch::refuse_tables;
use crate::progress::Progress;
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
    /// Folders of signatures of the inputs that were made before.
    pub signatures: &'run [PathBuf],
}

/// What a run leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Shards of what stays.
    Shards,
    /// The books alone.
    Report,
    /// What parts write shards by; sets of shingles are left to so many parts, if to any.
    Decisions(Option<u64>),
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
    inputs: DedupInputs<'_>,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    let goal = if config.report_only { Goal::Report } else { Goal::Shards };
    let result = find_and_end(goal, config, options, memory_limit, inputs, custom, progress)?;
    result.ok_or_else(|| Error::Internal("sets that no part collects".into()))
}

/// Finds duplicates, and leaves in the folder [`DECISIONS_NAME`] of the output what [`write_part`](super::part::write_part)
/// is to do with them. With a number of `parts`, it stops where sets of shingles are to be collected, and returns `None`:
/// [`collect_part`](super::set_parts::collect_part) does that for each of them, and a call without goes on by what they have left.
///
/// # Errors
/// As [`dedup`].
pub fn decide(
    parts: Option<u64>,
    config: &DedupConfig,
    options: &RunOptions,
    memory_limit: u64,
    inputs: DedupInputs<'_>,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<Option<RunResult>> {
    let root = &options.output;
    std::fs::create_dir_all(root).map_err(Error::io(root))?;
    if Plan::read(root)?.is_none() {
        refuse_others(root)?;
    }
    let output = root.join(DECISIONS_NAME);
    if !options.overwrite && output.join(MANIFEST_NAME).exists() && !output.join(JOURNAL_NAME).exists() {
        // Parts compare content as they read it.
        let manifest = Decided::read(root, config, inputs.inputs.inputs.iter())?.manifest;
        let result = RunResult { manifest, was_finished: true, was_resumed: false };
        return check_against(&result, inputs.against, progress).map(|()| Some(result));
    }
    let options = RunOptions { output, ..options.clone() };
    find_and_end(Goal::Decisions(parts), config, &options, memory_limit, inputs, custom, progress)
}

fn find_and_end(
    goal: Goal,
    config: &DedupConfig,
    options: &RunOptions,
    memory_limit: u64,
    DedupInputs { inputs, against, signatures }: DedupInputs<'_>,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<Option<RunResult>> {
    config.validate()?;
    check_memory(memory_limit)?;
    let bytes = memory_limit / SORTERS;
    refuse_tables("inputs", inputs)?;
    let mut names = config.names();
    let decides = matches!(goal, Goal::Decisions(_));
    if decides {
        names.last.extend(VERDICT_FILES.into_iter().chain([SPANS_FILE]).map(str::to_owned));
    }
    let request = Request {
        verb: if decides { DECIDE } else { DEDUP },
        output: &options.output,
        config: config.to_value()?,
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names,
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => {
            check_against(&result, against, progress)?;
            return Ok(Some(*result));
        }
        Opened::Ready(run) => run,
    };
    let sum = |list: &InputList| list.inputs.iter().map(|input| input.size).sum::<u64>();
    let passes = 1 + u64::from(config.near.is_some()) + 2 * u64::from(config.repeated.is_some());
    let total = passes * (sum(inputs) + sum(against)) + if goal == Goal::Shards { sum(inputs) } else { 0 };
    progress.total_bytes.store(total, Relaxed);
    let scratch = options.output.join(SCRATCH_FOLDER);
    let phases = Phases {
        config,
        near: config.near.as_ref(),
        signing: Signing::new(config)?,
        field: config.field()?,
        custom,
        signatures,
        checks_signatures: !decides,
        sets_of_parts: if let Goal::Decisions(parts) = goal { parts } else { None },
        room: Room { folder: &scratch, bytes, num_threads: options.num_threads, progress },
        parts: [
            Part { folder: scratch.join("against"), first: 0, inputs: against },
            Part { folder: scratch.join(INPUTS_NAME), first: 0, inputs },
        ],
    };
    let corpus = phases.sign(&mut run)?;
    let Some(facts) = phases.decide(&corpus)? else { return Ok(None) };
    let removed = Removed::write(&phases, &mut run, &corpus)?;
    let ending = Ending { phases: &phases, corpus: &corpus, facts, removed };
    let result = match goal {
        Goal::Shards => ending.shards(run),
        Goal::Report => ending.report(run),
        Goal::Decisions(_) => ending.decisions(run),
    };
    result.map(Some)
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
