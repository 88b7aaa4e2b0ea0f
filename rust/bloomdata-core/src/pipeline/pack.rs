//! The verb `pack`: documents become tokens, tokens become files that training reads.
//!
//! ```text
//! Source ─blocks→ pool: parse, tokenize ─ordered→ sink: Megatron files or HDF5 rows ─→ sealer
//! ```

use std::path::Path;
use std::thread::scope;

use crossbeam_channel::bounded;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::articles::chats::ChatOptions;
use super::articles::worker::{Articles, Boundary, Packed, Worker};
use super::feed::{Item, feed};
use super::folder::books::{Books, OnBadRecord, Outcome, QUARANTINE_NAME};
use super::folder::manifest::{IndexedInputs, OutputEntry};
use super::folder::names::{NumberedName, OutputNames};
use super::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use super::folder::sealer::{Sealer, cause, join};
use super::sinks::megatron::{MegatronSink, pair_names};
use super::sinks::{Checkpoint, Sink, hdf5::Hdf5Sink};
use crate::document::Block;
use crate::error::{Error, Result};
use crate::formats::hdf5_rows::{Hdf5Files, RowWrite};
use crate::formats::megatron::LENGTHS_SUFFIX;
use crate::io::atomic::write_atomically;
use crate::json_fields::FieldPath;
use crate::ledger::Ledger;
use crate::ordered::{Pool, Results};
use crate::packing::Packing;
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::sources::{Source, SourceOptions};
use crate::stages::RecordSource;
use crate::templates::prompt_completion::PairOptions;
use crate::token::TokenDtype;
use crate::tokenizers::{Tokenizer, TokenizerOptions};

/// Where the tokenizer is kept in the output folder.
pub const TOKENIZER_PATH: &str = "tokenizer/tokenizer.json";

/// Tokens of an HDF5 file at most: a terabyte.
const MAX_FILE_TOKENS: u64 = 1 << 37;
/// Threads that write rows: copying to the page cache is slower than memory, but soon limited by it.
const MAX_WRITERS: usize = 4;

/// Kind of the output files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackFormat {
    /// Documents in `.bin` and `.idx`, for trainers that cut sequences themselves.
    Megatron,
    /// Rows of `sequence_length` tokens.
    Hdf5,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// An object with one or several fields of text.
    Text,
    /// A pair of prompt and completion, or a list of them.
    PromptCompletion,
    /// A conversation, rendered by a template.
    Messages,
}

/// Options of `pack`. Same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackConfig {
    /// How to make tokens.
    #[serde(flatten)]
    pub tokenizer: TokenizerOptions,
    /// What a record is.
    pub record: RecordKind,
    /// Fields that hold text; each makes its own Megatron pair.
    pub text_field: Vec<String>,
    /// How pairs of prompt and completion are read.
    #[serde(flatten)]
    pub pairs: PairOptions,
    /// The source whose records are texts, with `record: text`; `chats` has that of conversations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RecordSource>,
    /// How conversations become text, with `record: messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chats: Option<ChatOptions>,
    /// Where one must not attend to what is before: behind articles, or behind each pair.
    pub attention_boundary: Boundary,
    /// What packing keeps together: articles, or single pairs.
    pub packing_boundary: Boundary,
    /// `megatron` or `hdf5`.
    pub format: PackFormat,
    /// Tokens in a row (HDF5 only).
    pub sequence_length: Option<u64>,
    /// How documents become rows (HDF5 only).
    pub packing: Option<Packing>,
    /// Tokens that packing `best_fit` looks at together.
    pub window_tokens: u64,
    /// Seed of packing `single::sample`.
    pub seed: u64,
    /// `gzip` for chunked, compressed HDF5.
    pub compression: Option<String>,
    /// Rows in an HDF5 file; only the last file is shorter.
    pub rows_per_file: Option<u64>,
    /// First part of file names.
    pub prefix: String,
    /// Whether every document ends with the end-of-document token.
    pub append_eos: bool,
    /// What to do with a record that cannot become a document.
    pub on_bad_record: OnBadRecord,
}

impl PackConfig {
    /// The fields that hold text.
    ///
    /// # Errors
    /// A name that is none.
    pub fn fields(&self) -> Result<Vec<FieldPath>> {
        self.text_field.iter().map(|field| FieldPath::parse(field)).collect()
    }

    /// The columns of tables that hold them; none for all.
    ///
    /// # Errors
    /// A name that is none.
    pub fn columns(&self) -> Result<Vec<String>> {
        match self.record {
            RecordKind::Text if self.source.is_none() => {
                Ok(self.fields()?.iter().map(|field| field.column().to_owned()).collect())
            }
            // Keys may be missing: read every column.
            _ => Ok(Vec::new()),
        }
    }

    fn validate_chats(&self) -> Result<()> {
        let is_chats = self.record == RecordKind::Messages;
        if is_chats != self.chats.is_some() {
            let reason =
                if is_chats { "record \"messages\" needs one" } else { "only records of messages have one" };
            return Err(Error::config("template", reason));
        }
        if is_chats
            && (self.attention_boundary != Boundary::Jsonl || self.packing_boundary != Boundary::Jsonl)
        {
            return Err(Error::config("attention_boundary", "a conversation is kept together"));
        }
        if is_chats && self.pairs.categories.is_some() {
            return Err(Error::config("categories", "records of messages have none"));
        }
        Ok(())
    }

    fn validate_source(&self) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        if self.record != RecordKind::Text || !source.is_text() {
            return Err(Error::config(
                "source",
                "its records are conversations: record \"messages\" reads them",
            ));
        }
        if self.text_field.len() != 1 {
            return Err(Error::config("text_field", "a source says itself where its text is"));
        }
        Ok(())
    }

    fn validate(&self) -> Result<Vec<FieldPath>> {
        self.validate_source()?;
        let hdf5 = self.format == PackFormat::Hdf5;
        if hdf5 && self.text_field.len() != 1 {
            return Err(Error::config("text_field", "format \"hdf5\" takes exactly one field"));
        }
        if self.record != RecordKind::Text && self.text_field.len() != 1 {
            return Err(Error::config(
                "text_field",
                "records of prompts, or of messages, have no text fields",
            ));
        }
        self.validate_chats()?;
        if self.window_tokens == 0 {
            return Err(Error::config("window_tokens", "a window must hold at least one token"));
        }
        if self.text_field.is_empty() {
            return Err(Error::config("text_field", "at least one field is needed"));
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.text_field.iter().find(|&field| !seen.insert(field)) {
            return Err(Error::config("text_field", format!("{twice:?} is named twice")));
        }
        match (hdf5, self.sequence_length) {
            (true, None) => return Err(Error::config("sequence_length", "format \"hdf5\" needs it")),
            (true, Some(length)) if length == 0 || length > 1 << 31 => {
                return Err(Error::config("sequence_length", format!("{length} is outside 1 to 2^31")));
            }
            (false, Some(_)) => {
                let reason = "format \"megatron\" stores whole documents; the trainer cuts sequences";
                return Err(Error::config("sequence_length", reason));
            }
            _ => {}
        }
        let tokens = self.rows_per_file.unwrap_or(1).checked_mul(self.sequence_length.unwrap_or(1));
        if !tokens.is_some_and(|tokens| (1..=MAX_FILE_TOKENS).contains(&tokens)) {
            let reason = format!("{:?} rows make no file, or one of over 2^37 tokens", self.rows_per_file);
            return Err(Error::config("rows_per_file", reason));
        }
        if !hdf5 && self.packing.is_some() {
            return Err(Error::config("packing", "format \"megatron\" stores whole documents"));
        }
        if !matches!(self.compression.as_deref(), None | Some("gzip"))
            || (!hdf5 && self.compression.is_some())
        {
            let reason = format!("{:?} is not \"gzip\" with format \"hdf5\"", self.compression);
            return Err(Error::config("compression", reason));
        }
        if self.prefix.is_empty() || self.prefix.contains('/') {
            return Err(Error::config("prefix", format!("{:?} is no part of a file name", self.prefix)));
        }
        self.fields()
    }
}

/// How many rows of `sequence_length` make a file of 256 MiB.
pub fn default_rows_per_file(sequence_length: u64) -> u64 {
    ((256 << 20) / (8 * sequence_length)).max(1)
}

/// Tokenizes `inputs` into a folder.
///
/// # Errors
/// Options that cannot work, inputs that are damaged, bad records unless they are quarantined, a full disk, an
/// interruption. Whatever happens, the same call goes on where this one stopped.
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
    let mut value = serde_json::to_value(config).map_err(|error| Error::Internal(error.to_string()))?;
    // Where the tokenizer was read from does not matter, what it says does.
    value["tokenizer"] = tokenizer.fingerprint().into();
    let request = Request {
        verb: "pack",
        output: &options.output,
        config: value,
        inputs,
        overwrite: options.overwrite,
        names: names(config),
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let (checkpoint, was_resumed): (Checkpoint, bool) = run.checkpoint()?;
    let mut details = details(config, tokenizer.as_ref())?;
    let copied = copy_tokenizer(tokenizer.as_ref(), run.folder())?;
    let dtype = dtype(config, tokenizer.as_ref());
    let formats = inputs.inputs.iter().map(|input| input.format).collect();
    let worker = Worker::new(config, tokenizer.as_ref(), &fields, formats, dtype)?;
    let folder = run.folder();
    let books = Books::open(&inputs.inputs, folder, config.on_bad_record, checkpoint.books.clone())?
        .of_chats(config.chats.is_some());
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
            Box::new(Hdf5Sink::open(config, folder, tokenizer.special()?, hdf5, &checkpoint, done, tools)?)
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
        let written = write(results, books, sink, &sealer, progress);
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
    let manifest = run.finish(inputs.collect(), outputs, ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}

/// Names of the files that a run with these options writes.
fn names(config: &PackConfig) -> OutputNames {
    let mut names = OutputNames {
        last: vec![QUARANTINE_NAME.to_owned(), TOKENIZER_PATH.to_owned()],
        ..OutputNames::default()
    };
    match config.format {
        PackFormat::Megatron => {
            for name in pair_names(config) {
                names.last.extend([".bin", ".idx"].map(|suffix| format!("{name}{suffix}")));
                names.scratch.push(format!("{name}{LENGTHS_SUFFIX}"));
            }
        }
        PackFormat::Hdf5 => {
            let (before, after) = (format!("{}-", config.prefix), ".hdf5".to_owned());
            names.numbered.push(NumberedName { before, after });
        }
    }
    names
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
            Item::End { file, hash, content_bytes } => books.end_input(file, hash, content_bytes)?,
        }
    }
    let (mut outputs, facts) = sink.finish(&mut books, sealer)?;
    let (ledger, quarantine, finished) = books.finish()?;
    outputs.extend(quarantine);
    Ok(Written { ledger, finished, outputs, facts })
}
