//! The run of `shard` and `prepare`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::scope;

use serde_json::{Map, Value};

use super::conductor::{Conducted, Conductor};
use super::copier::Copier;
use super::cutter::{Cutter, Frame, Limits};
use super::handover::{Checkpoint, Compressed};
use super::intake::{Before, Intake, Target};
use super::lines::LineMaker;
use super::options::ShardConfig;
use super::preparer::Preparer;
use super::shard_writer;
use crate::document::Block;
use crate::error::{Error, Result};
use crate::formats::jsonl_shards::LineEncoder;
use crate::ordered::Pool;
use crate::pipeline::feed::{Item, Reading, feed};
use crate::pipeline::folder::books::{Books, OnBadRecord, Snapshot};
use crate::pipeline::folder::counting::{COUNTED_KEY, counted_before, finish_count};
use crate::pipeline::folder::journal::{Entry, Step};
use crate::pipeline::folder::manifest::{InputEntry, OutputEntry};
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::folder::sealer::{Sealer, cause, join};
use crate::progress::Progress;
use crate::sources::input::natural_order;
use crate::sources::inputs::InputList;
use crate::sources::{Format, Source, SourceOptions};

/// Shards `inputs` into a folder.
///
/// # Errors
/// Options that cannot work, inputs that are damaged, bad records unless they are quarantined, a full disk, an
/// interruption. Whatever happens, the same call resumes from the last step.
pub fn shard(
    config: &ShardConfig,
    options: &RunOptions,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    config.validate()?;
    let preparer = config.prepare.as_ref().map(Preparer::new).transpose()?;
    let copier = Copier::new(config);
    let maker: &dyn LineMaker = preparer.as_ref().map_or(&copier, |preparer| preparer);
    let repeats = match &config.prepare {
        Some(prepare) => prepare.repeats(inputs)?,
        None => Vec::new(),
    };
    let mut value = serde_json::to_value(config).map_err(|error| Error::Internal(error.to_string()))?;
    let part = inputs.part.as_deref();
    // Lines are drawn by their numbers among those of all parts.
    let numbered = part.filter(|_| config.splits.is_some());
    let counted = counted_before(&options.output, maker.verb(), &mut value, numbered)?;
    let before =
        Before { inputs: part.map_or(0, |part| part.first_input), lines: counted.unwrap_or_default() };
    let request = Request {
        verb: maker.verb(),
        output: &options.output,
        config: value,
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names: config.names(),
    };
    let run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let prepare = config.prepare.as_ref().zip(preparer.as_ref());
    let intake = Intake { seed: config.seed, prepare, repeats, before, progress };
    let sharding = Sharding { config, maker, intake };
    if config.counting {
        return count_lines(*run, sharding, options.num_threads, inputs, custom);
    }
    write_shards(run, sharding, options.num_threads, inputs, custom, |num_lines, _| {
        let mut details = Map::new();
        if counted.is_some() {
            details.insert(COUNTED_KEY.into(), num_lines.into());
        }
        let Some(prepare) = &config.prepare else { return Ok(details) };
        details.insert("lines".into(), num_lines.into());
        if !prepare.missing_inputs.is_empty() {
            details.insert("missing_inputs".into(), prepare.missing_inputs.clone().into());
        }
        Ok(details)
    })
}

/// The counting phase: how many lines a part has for its shards, without writing any.
fn count_lines(
    run: Run<'_>,
    Sharding { config, maker, intake }: Sharding<'_>,
    num_threads: usize,
    inputs: &InputList,
    custom: &CustomReader<'_>,
) -> Result<RunResult> {
    let formats: Vec<Format> = inputs.inputs.iter().map(|input| input.format).collect();
    let books = Books::open(&inputs.inputs, run.folder(), config.on_bad_record, Snapshot::default())?;
    let mut books = books.within(run.limits()).without_quarantine();
    let reading = Reading { inputs, custom, num_threads, progress: intake.progress, first_input: 0 };
    let lines = |block: Block| maker.lines(&block, formats[block.file], false).map(Item::Block);
    let (lines, (ledger, _, read)) = reading.run(
        || (),
        |(), block| lines(block),
        |items| {
            let mut target = Target::Count(0);
            intake.take(items, &mut books, &mut target)?;
            let Target::Count(lines) = target else {
                return Err(Error::Internal("lines not counted".into()));
            };
            Ok((lines, books.finish()?))
        },
    )?;
    finish_count(run, lines, ledger, read)
}

/// A step of a run before its shards, for the journal: something is done, and shards start at the beginning.
pub(in crate::pipeline) fn first_step(outputs: Vec<OutputEntry>) -> Result<Entry> {
    let checkpoint = serde_json::to_value(Checkpoint::default());
    let checkpoint = checkpoint.map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Entry::Step(Step { inputs: Vec::new(), outputs, checkpoint }))
}

/// What becomes of records, and how their lines become shards.
pub(in crate::pipeline) struct Sharding<'run> {
    pub(in crate::pipeline) config: &'run ShardConfig,
    pub(in crate::pipeline) maker: &'run dyn LineMaker,
    pub(in crate::pipeline) intake: Intake<'run>,
}

/// Writes the shards of an open run from its last step on, and finishes it. `details` for the manifest, of the number of
/// lines and of the inputs as they were read.
pub(in crate::pipeline) fn write_shards(
    mut run: Box<Run<'_>>,
    Sharding { config, maker, intake }: Sharding<'_>,
    num_threads: usize,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    details: impl FnOnce(u64, &BTreeMap<usize, InputEntry>) -> Result<Map<String, Value>>,
) -> Result<RunResult> {
    let (keeps_raw, progress) = (config.on_bad_record == OnBadRecord::Quarantine, intake.progress);
    let (checkpoint, was_resumed): (Checkpoint, bool) = run.checkpoint()?;
    let folder = run.folder();
    let start = checkpoint.scattered.as_ref().map_or(&checkpoint.cut.state.books, |(_, books)| books).clone();
    let source_options = SourceOptions { num_threads, start: start.position };
    let books = Books::open(&inputs.inputs, folder, config.on_bad_record, start)?.within(run.limits());
    let done = std::mem::take(&mut run.done);
    let scattered = OnceLock::new();
    if let Some(done) = &checkpoint.scattered {
        let _ = scattered.set(done.clone());
    }
    let formats: Vec<Format> = inputs.inputs.iter().map(|input| input.format).collect();
    let (ledger, inputs, outputs, num_lines) = scope(|scope| {
        let source = Source::start(scope, &inputs.inputs, source_options, progress, custom);
        let cutting = Pool::start(
            scope,
            num_threads,
            || (),
            |(), block: Block| maker.lines(&block, formats[block.file], keeps_raw).map(Item::Block),
        );
        let (block_sender, lines) = cutting.queue(2 * num_threads + 2);
        drop(cutting);
        let feeder = scope.spawn(move || feed(source, &block_sender));
        let compressing = Pool::start(
            scope,
            num_threads,
            || None,
            |encoder, frame| compress(config, encoder, frame, progress),
        );
        let (frame_sender, frames) = compressing.queue(2 * num_threads);
        drop(compressing);
        let sealer = Sealer::start(scope, &mut run.journal, done);
        let limits = Limits { max_lines: config.max_lines, max_bytes: config.max_bytes.unwrap_or(u64::MAX) };
        let numbering = (config.seed, intake.before.lines);
        let cutter = Cutter::new(limits, config.splits.clone(), numbering, &checkpoint.cut, frame_sender);
        let conductor = Conductor {
            config,
            intake,
            folder,
            inputs,
            progress,
            sealer: &sealer,
            scattered: &scattered,
            books,
            cutter,
        };
        let (conducted, written) = std::thread::scope(|inner| {
            let conductor = inner.spawn(|| conductor.run(lines, checkpoint.clone()));
            let written = shard_writer::write(config, folder, frames, &sealer, &scattered, progress);
            (join(conductor), written)
        });
        let sealed = sealer.finish();
        let fed = join(feeder);
        match (sealed, written, conducted, fed) {
            (Ok(mut done), Ok(()), Ok(conducted), Ok(())) => {
                let Conducted { ledger, quarantine, inputs: finished, num_lines } = conducted;
                done.outputs.sort_by(|a, b| natural_order(Path::new(&a.path), Path::new(&b.path)));
                done.outputs.extend(quarantine);
                Ok((ledger, done.inputs.into_iter().chain(finished), done.outputs, num_lines))
            }
            (sealed, written, conducted, fed) => {
                let errors = [sealed.err(), written.err(), conducted.err(), fed.err()];
                Err(cause(errors.into_iter().flatten().collect()).unwrap_or(Error::Interrupted))
            }
        }
    })?;
    let inputs = inputs.collect();
    let details = details(num_lines, &inputs)?;
    let manifest = run.finish(inputs, outputs, ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}

/// Compresses a frame.
fn compress(
    config: &ShardConfig,
    encoder: &mut Option<LineEncoder>,
    frame: Frame,
    progress: &Progress,
) -> Result<Compressed> {
    // At high levels a frame takes a second: do not begin one after an interruption.
    progress.check()?;
    let encoder = match encoder {
        Some(encoder) => encoder,
        None => encoder.insert(LineEncoder::new(config.compression, config.level)?),
    };
    let Frame { split, shard, bytes, num_lines, end } = frame;
    let content_bytes = bytes.len() as u64;
    let stored = if bytes.is_empty() { bytes } else { encoder.encode(bytes, progress)? };
    Ok(Compressed { split, shard, stored, content_bytes, num_lines, end })
}
