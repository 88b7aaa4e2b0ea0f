//! The first phase of a run in parts: what all parts want to know of this one before any of them goes on.
//!
//! A finished folder `counts/part-i-of-N/` beside the parts:
//!
//! ```text
//! ngrams             [n-gram, documents] of those that are in some document, up to one more than `common`
//! NNNNN.hits         as the scan leaves them of an input, without n-grams that are common in this part alone
//! quarantine.jsonl   bad records
//! ```

use std::path::Path;

use serde_json::{Map, Value, json};

use super::first_pass::FirstPass;
use super::hit_file::{HITS_SUFFIX, HitWriter, each_found, hits_path};
use super::ngram_counts::NgramCounts;
use super::options::{DECONTAMINATE, DecontaminateConfig, SCRATCH_FOLDER};
use super::search::Search;
use crate::error::{Error, Result};
use crate::pipeline::feed::Reading;
use crate::pipeline::folder::books::QUARANTINE_NAME;
use crate::pipeline::folder::counting::refuse_folder_of_others;
use crate::pipeline::folder::names::{NumberedName, OutputNames};
use crate::pipeline::folder::plan::COUNTING_KEY;
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::scratch::{create_scratch, keep_file};
use crate::progress::Progress;
use crate::sources::inputs::InputList;

/// Name of the file of counts.
pub const NGRAMS_NAME: &str = "ngrams";
/// Key of the records of an input, in the entry of its hits.
pub const RECORDS_KEY: &str = "input_records";

/// Of the options of a run, those that decide what is counted.
pub fn counted_config(config: &Value) -> Value {
    json!({
        "text_field": config["text_field"], "ngram": config["ngram"], "common": config["common"],
        "preset": config["preset"], "on_bad_record": config["shards"]["on_bad_record"],
        "evaluations": config["evaluations"],
    })
}

/// Counts in one part of the inputs.
///
/// # Errors
/// As [`decontaminate`](super::run::decontaminate).
pub fn count(
    config: &DecontaminateConfig,
    options: &RunOptions,
    memory_limit: u64,
    (inputs, evaluations): (&InputList, &[String]),
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    if inputs.part.is_none() {
        return Err(Error::Internal("no part".into()));
    }
    let root = options.output.ancestors().nth(2).unwrap_or(Path::new("."));
    refuse_folder_of_others(&options.output)?;
    let search = Search::read(config, memory_limit, (inputs, evaluations), root, custom, progress)?;
    let mut counting = counted_config(&search.to_value()?);
    counting[COUNTING_KEY] = true.into();
    let hits = NumberedName { before: String::new(), after: HITS_SUFFIX.into() };
    let request = Request {
        verb: DECONTAMINATE,
        output: &options.output,
        config: counting,
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names: OutputNames {
            last: vec![NGRAMS_NAME.into(), QUARANTINE_NAME.into()],
            numbered: vec![hits],
            folders: vec![SCRATCH_FOLDER.into()],
            ..OutputNames::default()
        },
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let was_resumed = !run.done.checkpoint.is_null();
    let scratch = options.output.join(SCRATCH_FOLDER);
    let reading = Reading { inputs, custom, num_threads: options.num_threads, progress, first_input: 0 };
    let first = FirstPass::scan(&search, &mut run, &scratch, reading)?;
    let mut counts = NgramCounts::new(search.table.first.len());
    counts.count(&scratch, inputs.inputs.len(), progress)?;
    let kept = scratch.join("kept");
    create_scratch(&scratch, &kept)?;
    let ngrams = kept.join(NGRAMS_NAME);
    counts.write(&ngrams, config.common)?;
    let mut outputs = vec![keep_file(&mut run, &ngrams, progress)?];
    let mut is_common = vec![false; search.table.first.len()];
    counts.common(config.common).into_iter().for_each(|ngram| is_common[ngram as usize] = true);
    for (input, records) in first.records.iter().enumerate() {
        let mut writer = HitWriter::create(&kept, input)?;
        each_found(&scratch, input, |found, hits| {
            progress.check()?;
            hits.retain(|hit| !is_common[hit.ngram as usize]);
            if hits.is_empty() && !found.is_bad { Ok(()) } else { writer.push(found, hits) }
        })?;
        writer.close()?;
        let mut entry = keep_file(&mut run, &hits_path(&kept, input), progress)?;
        entry.details.insert(RECORDS_KEY.to_owned(), (*records).into());
        outputs.push(entry);
    }
    outputs.extend(first.quarantined(&options.output)?);
    let entries = first.inputs.into_iter().enumerate().collect();
    let manifest = run.finish(entries, outputs, first.ledger, Map::new())?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}
