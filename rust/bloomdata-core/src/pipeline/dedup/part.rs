//! The last pass of `dedup` over one part of the inputs, by what was decided once for all of them.

use std::path::Path;

use serde_json::Map;

use super::decided::Decided;
use super::options::{DEDUP, DedupConfig};
use crate::error::{Error, Result};
use crate::pipeline::folder::plan::{DECISIONS_KEY, part_prefix};
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::scratch::refuse_tables;
use crate::pipeline::sharding::engine::{Sharding, write_shards};
use crate::pipeline::sharding::intake::{Before, Intake};
use crate::pipeline::sharding::options::ShardConfig;
use crate::progress::Progress;
use crate::sources::inputs::InputList;

/// Writes one part: `inputs` are its own, whole files, beside the decisions on all of them.
///
/// # Errors
/// Decisions that are missing, or of other options or inputs; what can be wrong with an input or a disk; an interruption.
/// Whatever happens, the same call resumes from the last step.
pub fn write_part(
    config: &DedupConfig,
    options: &RunOptions,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    config.validate()?;
    refuse_tables("inputs", inputs)?;
    let Some(part) = &inputs.part else { return Err(Error::Internal("no part".into())) };
    let root = options.output.parent().unwrap_or(Path::new("."));
    let decided = Decided::read(root, config, part.shared.iter().map(|shared| &shared.input))?;
    let first = part.first_input;
    let field = config.field()?;
    let shards =
        ShardConfig { prefix: part_prefix(&config.shards.prefix, part.number), ..config.shards.clone() };
    let filter = decided.filter(config, &shards, &field, (inputs, first))?;
    let mut value = config.to_value()?;
    value[DECISIONS_KEY] = decided.manifest.fingerprint.clone().into();
    let request = Request {
        verb: DEDUP,
        output: &options.output,
        config: value,
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names: shards.names(),
    };
    let run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let intake =
        Intake { seed: shards.seed, prepare: None, repeats: Vec::new(), before: Before::default(), progress };
    let sharding = Sharding { config: &shards, maker: &filter, intake };
    write_shards(run, sharding, options.num_threads, inputs, custom, |_, found| {
        for (number, entry) in found {
            let then = &decided.manifest.inputs[first + number].hash;
            if *then != entry.hash {
                let what = format!(
                    "{}: content (changed since it was decided what goes, or while it was read; overwrite=True \
                     reads it again)",
                    entry.path.display()
                );
                return Err(Error::mismatch(what, then, &entry.hash));
            }
        }
        Ok(Map::new())
    })
}
