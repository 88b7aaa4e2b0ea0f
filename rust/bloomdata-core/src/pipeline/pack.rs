//! The verb `pack`: documents become tokens, tokens become files that training reads.
//!
//! ```text
//! (exact: inputs ─keys→ `.dedup/`: records that repeat an earlier one)
//! Source ─blocks→ pool: parse, tokenize ─ordered→ sink: Megatron files or HDF5 rows ─→ sealer
//! ```

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::scope;

use crossbeam_channel::bounded;
use serde_json::{Map, Value, json};

use super::articles::packed::{Articles, Packed};
use super::dedup::corpus::Corpus;
use super::dedup::exact_pass::{Distinct, ExactPass};
use super::dedup::options::SCRATCH_FOLDER;
use super::dedup::sign::FirstStep;
use super::feed::{Item, Reading, feed};
use super::folder::books::{Books, Snapshot};
use super::folder::counting::{COUNTED_KEY, counted_before, finish_count};
use super::folder::journal::{Entry, Step};
use super::folder::manifest::{IndexedInputs, OutputEntry};
use super::folder::outcome::Outcome;
use super::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use super::folder::sealer::{Sealer, cause, join};
use super::pack_options::{PackConfig, PackFormat, TOKENIZER_PATH, names};
use super::scratch::refuse_tables;
use super::sinks::megatron::MegatronSink;
use super::sinks::{Checkpoint, Sink, hdf5::Hdf5Sink};
use crate::dedup::exact_key::TextForm;
use crate::document::Block;
use crate::error::{Error, Result};
use crate::formats::hdf5_rows::{Hdf5Files, RowWrite};
use crate::io::atomic::write_atomically;
use crate::json_fields::FieldPath;
use crate::ledger::Ledger;
use crate::ordered::{Pool, Results};
use crate::packing::Packing;
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::sources::{Source, SourceOptions};
use crate::token::TokenDtype;
use crate::tokenizers::Tokenizer;

/// Threads that write rows: copying to the page cache is slower than memory, but soon limited by it.
const MAX_WRITERS: usize = 4;

/// Tokenizes `inputs` into a folder.
///
/// # Errors
/// Options that cannot work, inputs that are damaged, bad records unless they are quarantined, a full disk, an
/// interruption. Whatever happens, the same call resumes from the last step.
pub fn pack(
    config: &PackConfig,
    options: &RunOptions,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    hdf5: &dyn Hdf5Files,
    progress: &Progress,
) -> Result<RunResult> {
    let fields = config.validate()?;
    let tokenizer = config.tokenizer.build()?;
    if config.exact.is_some() {
        refuse_tables("exact", inputs)?;
    }
    let mut value = serde_json::to_value(config).map_err(|error| Error::Internal(error.to_string()))?;
    // Where the tokenizer was read from does not matter, what it says does.
    value["tokenizer"] = tokenizer.fingerprint().into();
    // Stretches of articles are drawn by the articles' numbers among those of all parts.
    let numbered = inputs.part.as_deref().filter(|_| config.packing == Some(Packing::SingleSample));
    let counted = counted_before(&options.output, "pack", &mut value, numbered)?;
    let request = Request {
        verb: "pack",
        output: &options.output,
        config: value,
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names: names(config),
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let reading = Reading { inputs, custom, num_threads: options.num_threads, progress, first_input: 0 };
    if config.counting {
        return count_articles(*run, config, &fields, tokenizer.as_ref(), reading);
    }
    let (checkpoint, was_resumed): (Checkpoint, bool) = run.checkpoint()?;
    let distinct = match &config.exact {
        Some(exact) => Some(find_distinct((config, exact.normalize), &fields, &mut run, reading)?),
        None => None,
    };
    let mut details = details(config, tokenizer.as_ref())?;
    let copied = copy_tokenizer(tokenizer.as_ref(), run.folder())?;
    let dtype = dtype(config, tokenizer.as_ref());
    let formats = inputs.inputs.iter().map(|input| input.format).collect();
    let mut worker = config.worker(tokenizer.as_ref(), &fields, formats, dtype)?;
    let signed = distinct.map(|Distinct { corpus, verdicts }| {
        worker.drop_by(verdicts);
        corpus
    });
    let folder = run.folder();
    let books = Books::open(&inputs.inputs, folder, config.on_bad_record, checkpoint.books.clone())?
        .of_chats(config.records.chats.is_some())
        .within(options.limits);
    let (writes, writes_inbox) = bounded::<RowWrite>(options.num_threads);
    let sink: Box<dyn Sink<'_> + '_> = match config.format {
        PackFormat::Megatron => {
            // Its files are written in order by one thread: let the others go.
            drop(writes);
            Box::new(MegatronSink::open(config, options, folder, dtype, &checkpoint)?)
        }
        PackFormat::Hdf5 => {
            let done = &run.done.outputs;
            let tools = (writes, progress);
            let sink = Hdf5Sink::open(config, folder, tokenizer.special()?, hdf5, &checkpoint, done, tools)?;
            Box::new(sink.after(counted.unwrap_or_default()))
        }
    };
    let done = std::mem::take(&mut run.done);
    let source_options = SourceOptions { num_threads: options.num_threads, start: checkpoint.books.position };
    let (ledger, inputs, outputs) = scope(|scope| {
        let source = Source::start(scope, &inputs.inputs, source_options, progress, custom);
        let pool = Pool::start(scope, options.num_threads, Articles::default, |articles, block: Block| {
            worker.pack(articles, &block)
        });
        let (sender, results) = pool.queue(2 * options.num_threads + 2);
        drop(pool);
        let feeder = scope.spawn(move || feed(source, &sender));
        for _ in 0..options.num_threads.min(MAX_WRITERS) {
            let inbox = writes_inbox.clone();
            scope.spawn(move || inbox.into_iter().for_each(RowWrite::run));
        }
        drop(writes_inbox);
        let sealer = Sealer::start(scope, &mut run.journal, done);
        let written = write(results, signed.as_ref(), books, sink, &sealer, progress);
        let sealed = sealer.finish();
        let fed = join(feeder);
        match (sealed, written, fed) {
            (Ok(mut done), Ok(written), Ok(())) => {
                let Written { ledger, finished, outputs, facts } = written;
                done.outputs.extend(outputs.into_iter().chain(copied));
                details.extend(facts);
                Ok((ledger, done.inputs.into_iter().chain(finished), done.outputs))
            }
            (sealed, written, fed) => {
                let errors = [sealed.err(), written.err(), fed.err()].into_iter().flatten().collect();
                Err(cause(errors).unwrap_or(Error::Interrupted))
            }
        }
    })?;
    if counted.is_some() {
        details.insert(COUNTED_KEY.into(), details["metrics"]["articles"].clone());
    }
    let manifest = run.finish(inputs.collect(), outputs, ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}

/// The counting phase: how many articles a part has for its rows, without writing any.
fn count_articles(
    run: Run<'_>,
    config: &PackConfig,
    fields: &[FieldPath],
    tokenizer: &dyn Tokenizer,
    reading: Reading<'_>,
) -> Result<RunResult> {
    let inputs = &reading.inputs.inputs;
    let formats = inputs.iter().map(|input| input.format).collect();
    let worker = config.worker(tokenizer, fields, formats, dtype(config, tokenizer))?;
    let books = Books::open(inputs, run.folder(), config.on_bad_record, Snapshot::default())?;
    let mut books = books.within(run.limits()).without_quarantine();
    let mut counted = 0;
    let (ledger, _, read) = reading.run(
        Articles::default,
        |articles, block| worker.pack(articles, &block),
        |items| {
            for item in items {
                reading.progress.check()?;
                match item? {
                    Item::Block(Packed { file, outcomes, streams }) => {
                        Progress::add(&reading.progress.documents, Outcome::count(&outcomes));
                        counted += streams[0].lengths.len() as u64;
                        outcomes.iter().try_for_each(|outcome| books.settle(file, outcome))?;
                    }
                    Item::End { file, hash, content_bytes } => books.end_input(file, hash, content_bytes)?,
                }
            }
            books.finish()
        },
    )?;
    finish_count(run, counted, ledger, read)
}

/// Finds the documents that repeat an earlier one, in a pass of its own over the inputs.
fn find_distinct(
    (config, form): (&PackConfig, TextForm),
    fields: &[FieldPath],
    run: &mut Run<'_>,
    reading: Reading<'_>,
) -> Result<Distinct> {
    let total = 2 * reading.inputs.inputs.iter().map(|input| input.size).sum::<u64>();
    reading.progress.total_bytes.store(total, Relaxed);
    let folder = run.folder().join(SCRATCH_FOLDER);
    let pass = ExactPass { fields, form, on_bad_record: config.on_bad_record, folder: &folder };
    let checkpoint = serde_json::to_value(Checkpoint::default());
    let checkpoint = checkpoint.map_err(|error| Error::Internal(error.to_string()))?;
    let step = Entry::Step(Step { checkpoint, ..Step::default() });
    let is_new = run.done.checkpoint.is_null();
    pass.run(reading, &mut FirstStep { journal: &mut run.journal, is_new, step })
}

/// Keeps the tokenizer beside the data that it made, so that the data can always be decoded.
fn copy_tokenizer(tokenizer: &dyn Tokenizer, folder: &Path) -> Result<Option<OutputEntry>> {
    let Some(definition) = tokenizer.definition() else { return Ok(None) };
    let sealed = write_atomically(&folder.join(TOKENIZER_PATH), definition)?;
    Ok(Some(OutputEntry {
        path: TOKENIZER_PATH.into(),
        size: sealed.size,
        hash: sealed.hash,
        details: Map::new(),
    }))
}

fn dtype(config: &PackConfig, tokenizer: &dyn Tokenizer) -> TokenDtype {
    match config.format {
        PackFormat::Megatron => TokenDtype::for_vocab_size(tokenizer.vocab_size()),
        PackFormat::Hdf5 => TokenDtype::Int32,
    }
}

fn details(config: &PackConfig, tokenizer: &dyn Tokenizer) -> Result<Map<String, Value>> {
    let special = tokenizer.special()?;
    let facts = json!({
        "tokenizer": {
            "backend": tokenizer.backend(),
            "fingerprint": tokenizer.fingerprint(),
            "path": tokenizer.definition().map(|_| TOKENIZER_PATH),
            "vocab_size": tokenizer.vocab_size(),
            "eos_token": tokenizer.token(special.eos),
            "eos_token_id": special.eos,
            "pad_token": tokenizer.token(special.pad),
            "pad_token_id": special.pad,
        },
        "token_dtype": dtype(config, tokenizer),
    });
    Ok(facts.as_object().cloned().unwrap_or_default())
}

/// What is there once everything is written.
struct Written {
    ledger: Ledger,
    finished: IndexedInputs,
    outputs: Vec<OutputEntry>,
    facts: Map<String, Value>,
}

fn write<'run>(
    results: Results<Item<Packed>>,
    signed: Option<&Corpus>,
    mut books: Books<'run>,
    mut sink: Box<dyn Sink<'run> + 'run>,
    sealer: &Sealer<'_, 'run>,
    progress: &Progress,
) -> Result<Written> {
    for item in results {
        progress.check()?;
        match item? {
            Item::Block(packed) => {
                Progress::add(&progress.documents, Outcome::count(&packed.outcomes));
                sink.append(packed, &mut books, sealer)?;
            }
            Item::End { file, hash, content_bytes } => {
                signed.map_or(Ok(()), |corpus| corpus.check_same(file, &hash))?;
                books.end_input(file, hash, content_bytes)?;
            }
        }
    }
    let (mut outputs, facts) = sink.finish(&mut books, sealer)?;
    let (ledger, quarantine, finished) = books.finish()?;
    outputs.extend(quarantine);
    Ok(Written { ledger, finished, outputs, facts })
}
