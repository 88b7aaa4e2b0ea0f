//! A part of `count` or of `train_tokenizer`: what its inputs hold becomes small files, which the end of the run adds up.

use std::path::Path;

use serde_json::{Map, Value};

use super::articles::packed::{Articles, Packed};
use super::feed::{Item, Reading};
use super::folder::books::{Books, QUARANTINE_NAME, Snapshot};
use super::folder::manifest::OutputEntry;
use super::folder::names::OutputNames;
use super::folder::outcome::Outcome;
use super::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use super::lengths::{Counts, refuse_exact};
use super::pack_options::PackConfig;
use crate::error::{Error, Result};
use crate::hash::hash_bytes;
use crate::io::atomic::write_atomically;
use crate::ordered::Results;
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::token::TokenDtype;
use crate::tokenizers::Tokenizer;
use crate::tokenizers::training::counter::PreTokenCounter;
use crate::tokenizers::training::word_file::write_words;

/// What each input of a part holds.
const COUNTS_NAME: &str = "counts.json";
/// The words of its texts.
const WORDS_NAME: &str = "words.zst";

/// What is counted.
#[allow(missing_debug_implementations, reason = "tokenizers have none")]
pub struct Tally<'run> {
    /// The verb.
    pub verb: &'static str,
    /// Options that decide what is written, here or at the end.
    pub facts: Value,
    /// How records become texts.
    pub texts: &'run PackConfig,
    /// What turns texts into tokens.
    pub tokenizer: &'run dyn Tokenizer,
    /// That is it, if words are wanted.
    pub counter: Option<&'run PreTokenCounter>,
}

impl Tally<'_> {
    /// Counts what the inputs hold. A part that is killed begins anew.
    ///
    /// # Errors
    /// As [`pack`](super::pack::pack).
    pub fn run(
        self,
        options: &RunOptions,
        inputs: &InputList,
        custom: &CustomReader<'_>,
        progress: &Progress,
    ) -> Result<RunResult> {
        let fields = self.texts.records.fields()?;
        let formats = inputs.inputs.iter().map(|input| input.format).collect();
        let worker = self.texts.worker(self.tokenizer, &fields, formats, TokenDtype::Int32)?;
        let last = [COUNTS_NAME, WORDS_NAME, QUARANTINE_NAME].map(str::to_owned).to_vec();
        let request = Request {
            verb: self.verb,
            output: &options.output,
            config: self.facts,
            inputs,
            overwrite: options.overwrite,
            limits: options.limits,
            names: OutputNames { last, ..OutputNames::default() },
        };
        let run = match Run::open(request, progress)? {
            Opened::Finished(result) => return Ok(*result),
            Opened::Ready(run) => run,
        };
        let folder = run.folder();
        let mut books = Books::open(&inputs.inputs, folder, self.texts.on_bad_record, Snapshot::default())?;
        let reading = Reading { inputs, custom, num_threads: options.num_threads, progress, first_input: 0 };
        let counts = reading.run(
            Articles::default,
            |articles, block| worker.pack(articles, &block),
            |results| settle(results, &mut books, inputs, progress),
        )?;
        let mut outputs = vec![write_counts(folder, &counts)?];
        if let Some(counter) = self.counter {
            outputs.push(write_counted(folder, counter, progress)?);
        }
        let (ledger, quarantine, finished) = books.finish()?;
        outputs.extend(quarantine);
        let manifest = run.finish(finished.into_iter().collect(), outputs, ledger, Map::new())?;
        Ok(RunResult { manifest, was_finished: false, was_resumed: false })
    }
}

/// Counts the tokens of a part of the inputs; `arguments` are the names that all inputs were given by.
///
/// # Errors
/// As [`Tally::run`].
pub fn count_part(
    config: &PackConfig,
    arguments: &[String],
    options: &RunOptions,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    refuse_exact(config)?;
    let tokenizer = config.tokenizer.build()?;
    let mut facts = serde_json::to_value(config).map_err(|error| Error::Internal(error.to_string()))?;
    // Where the tokenizer was read from does not matter, what it says does.
    facts["tokenizer"] = tokenizer.fingerprint().into();
    facts["arguments"] = arguments.into();
    let tally = Tally { verb: "count", facts, texts: config, tokenizer: tokenizer.as_ref(), counter: None };
    tally.run(options, inputs, custom, progress)
}

fn settle(
    results: Results<Item<Packed>>,
    books: &mut Books<'_>,
    inputs: &InputList,
    progress: &Progress,
) -> Result<Vec<Counts>> {
    let mut counts = Counts::of_inputs(inputs);
    for item in results {
        progress.check()?;
        match item? {
            Item::Block(packed) => {
                Progress::add(&progress.documents, Outcome::count(&packed.outcomes));
                packed.outcomes.iter().try_for_each(|outcome| books.settle(packed.file, outcome))?;
                counts[packed.file].take(&packed);
            }
            Item::End { file, hash, content_bytes } => books.end_input(file, hash, content_bytes)?,
        }
    }
    Ok(counts)
}

fn write_counts(folder: &Path, counts: &[Counts]) -> Result<OutputEntry> {
    let mut json = serde_json::to_vec(counts).map_err(|error| Error::Internal(error.to_string()))?;
    json.push(b'\n');
    let sealed = write_atomically(&folder.join(COUNTS_NAME), &json)?;
    let details = Map::from_iter([("files".to_owned(), counts.len().into())]);
    Ok(OutputEntry { path: COUNTS_NAME.into(), size: sealed.size, hash: sealed.hash, details })
}

fn write_counted(folder: &Path, counter: &PreTokenCounter, progress: &Progress) -> Result<OutputEntry> {
    let mut words = counter.take_counts();
    words.sort_unstable();
    let sealed = write_words(&folder.join(WORDS_NAME), &words, progress)?;
    let occurrences: u64 = words.iter().map(|(_, count)| count).sum();
    let numbers = [("words", words.len() as u64), ("occurrences", occurrences)];
    let details = numbers.into_iter().map(|(name, number)| (name.to_owned(), number.into())).collect();
    Ok(OutputEntry { path: WORDS_NAME.into(), size: sealed.size, hash: sealed.hash, details })
}

/// The files of words among the outputs of a part, or of all of them.
pub fn word_files(outputs: &[OutputEntry]) -> impl Iterator<Item = &OutputEntry> {
    files_named(outputs, WORDS_NAME)
}

fn files_named<'run>(
    outputs: &'run [OutputEntry],
    name: &'static str,
) -> impl Iterator<Item = &'run OutputEntry> {
    outputs.iter().filter(move |output| Path::new(&output.path).ends_with(name))
}

/// What each input holds, by the outputs of a part or of all of them in order: a file in several parts is one.
///
/// # Errors
/// A file of counts that is damaged; the system's reason.
pub fn read_counts(folder: &Path, outputs: &[OutputEntry]) -> Result<Vec<Counts>> {
    let mut all: Vec<Counts> = Vec::new();
    for output in files_named(outputs, COUNTS_NAME) {
        let path = folder.join(&output.path);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let found = hash_bytes(&bytes);
        if found != output.hash {
            let what = format!("{}: BLAKE3 (changed since it was written)", path.display());
            return Err(Error::mismatch(what, &output.hash, found));
        }
        let counts: Vec<Counts> =
            serde_json::from_slice(&bytes).map_err(|error| Error::corrupt(&path, 0, error.to_string()))?;
        for count in counts {
            match all.last_mut() {
                Some(last) if (&last.path, last.argument) == (&count.path, count.argument) => {
                    last.add(&count);
                }
                _ => all.push(count),
            }
        }
    }
    Ok(all)
}
