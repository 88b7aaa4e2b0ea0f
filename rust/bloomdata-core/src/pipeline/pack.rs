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

use super::books::{Books, Fate, OnBadRecord, Outcome, QUARANTINE_NAME};
use super::feed::{Item, feed};
use super::manifest::{IndexedInputs, OutputEntry};
use super::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use super::sealer::{Sealer, cause, join};
use super::sinks::megatron::{MegatronSink, pair_name};
use super::sinks::{Checkpoint, Sink, hdf5::Hdf5Sink};
use crate::document::{BadRecord, Block, Record, is_blank};
use crate::error::{Error, Result};
use crate::formats::hdf5_rows::{Hdf5Files, RowWrite, TokenStream};
use crate::io::atomic::write_atomically;
use crate::ledger::Ledger;
use crate::ordered::{Pool, Results};
use crate::packing::types;
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::sources::json_fields::{FieldPath, extract, invalid_utf8};
use crate::sources::{Format, Source, SourceOptions};
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

/// How documents become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// One after the other, cut wherever a sequence is full.
    Full,
}

/// Options of `pack`. Same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackConfig {
    /// How to make tokens.
    #[serde(flatten)]
    pub tokenizer: TokenizerOptions,
    /// Fields that hold text; each makes its own Megatron pair.
    pub text_field: Vec<String>,
    /// `megatron` or `hdf5`.
    pub format: PackFormat,
    /// Tokens in a row (HDF5 only).
    pub sequence_length: Option<u64>,
    /// How documents become rows (HDF5 only).
    pub packing: Option<Packing>,
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

/// What the pool makes of a block.
#[derive(Debug)]
pub struct Packed {
    /// Index of the input.
    pub file: usize,
    /// All records, in order.
    pub outcomes: Vec<Outcome>,
    /// One per text field.
    pub streams: Vec<TokenStream>,
}

/// What all workers share.
struct Worker<'run> {
    tokenizer: &'run dyn Tokenizer,
    fields: &'run [FieldPath],
    formats: Vec<Format>,
    dtype: TokenDtype,
    with_types: bool,
    append_eos: bool,
    keep_raw: bool,
}

impl PackConfig {
    fn validate(&self) -> Result<Vec<FieldPath>> {
        let hdf5 = self.format == PackFormat::Hdf5;
        if hdf5 && self.text_field.len() != 1 {
            return Err(Error::config("text_field", "format \"hdf5\" takes exactly one field"));
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
        self.text_field.iter().map(|field| FieldPath::parse(field)).collect()
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
        last_outputs: last_outputs(config),
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let (checkpoint, was_resumed): (Checkpoint, bool) = run.checkpoint()?;
    let details = details(config, tokenizer.as_ref());
    let copied = copy_tokenizer(tokenizer.as_ref(), run.folder())?;
    let worker = Worker {
        tokenizer: tokenizer.as_ref(),
        fields: &fields,
        formats: inputs.inputs.iter().map(|input| input.format).collect(),
        dtype: dtype(config, tokenizer.as_ref()),
        with_types: config.format == PackFormat::Hdf5,
        append_eos: config.append_eos,
        keep_raw: config.on_bad_record == OnBadRecord::Quarantine,
    };
    let folder = run.folder();
    let books = Books::open(&inputs.inputs, folder, config.on_bad_record, checkpoint.books.clone())?;
    let (writes, writes_inbox) = bounded::<RowWrite>(options.num_threads);
    let sink: Box<dyn Sink<'_> + '_> = match config.format {
        PackFormat::Megatron => {
            // Its files are written in order by one thread: let the others go.
            drop(writes);
            Box::new(MegatronSink::open(config, options, folder, worker.dtype, &checkpoint)?)
        }
        PackFormat::Hdf5 => {
            let done = &run.done.outputs;
            let tools = (writes, progress);
            Box::new(Hdf5Sink::open(config, folder, tokenizer.special(), hdf5, &checkpoint, done, tools))
        }
    };
    let done = std::mem::take(&mut run.done);
    let source_options = SourceOptions { num_threads: options.num_threads, start: checkpoint.books.position };
    let (ledger, inputs, outputs) = scope(|scope| {
        let source = Source::start(scope, &inputs.inputs, source_options, progress, custom);
        let pool = Pool::start(scope, options.num_threads, || (), |(), block: Block| worker.pack(&block));
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
            (Ok(mut done), Ok((ledger, finished, last)), Ok(())) => {
                done.outputs.extend(last.into_iter().chain(copied));
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

/// What is written outside the sealer's steps.
fn last_outputs(config: &PackConfig) -> Vec<String> {
    let mut names = vec![QUARANTINE_NAME.to_owned(), TOKENIZER_PATH.to_owned()];
    if config.format == PackFormat::Megatron {
        for field in &config.text_field {
            names.extend(
                [".bin", ".idx"].map(|suffix| format!("{}{suffix}", pair_name(&config.prefix, field))),
            );
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

fn details(config: &PackConfig, tokenizer: &dyn Tokenizer) -> Map<String, Value> {
    let special = tokenizer.special();
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
    facts.as_object().cloned().unwrap_or_default()
}

type Written = (Ledger, IndexedInputs, Vec<OutputEntry>);

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
    let mut outputs = sink.finish(&mut books, sealer)?;
    let (ledger, quarantine, finished) = books.finish()?;
    outputs.extend(quarantine);
    Ok((ledger, finished, outputs))
}

impl Worker<'_> {
    fn pack(&self, block: &Block) -> Result<Item<Packed>> {
        let mut packed = Packed {
            file: block.file,
            outcomes: Vec::new(),
            streams: self.fields.iter().map(|_| TokenStream::default()).collect(),
        };
        // As many ids as bytes at most, for every tokenizer but a strange one; memory that is never touched costs nothing.
        let mut ids: Vec<Vec<u32>> = self.fields.iter().map(|_| Vec::with_capacity(block.len())).collect();
        block.for_each(|record| {
            let fate = match self.texts(block.file, record) {
                Ok(None) => Fate::Dropped("blank line"),
                Ok(Some(texts)) => self.tokenize(&texts, &mut ids, &mut packed.streams)?,
                Err(reason) => {
                    let raw = if self.keep_raw { record.bytes.to_vec() } else { Vec::new() };
                    Fate::Bad(reason, record.offset, raw)
                }
            };
            Outcome::push(&mut packed.outcomes, record.next_offset, fate);
            Ok::<(), Error>(())
        })?;
        for (stream, ids) in packed.streams.iter_mut().zip(&ids) {
            stream.ids.reserve_exact(ids.len() * self.dtype.itemsize());
            self.dtype.encode(ids, &mut stream.ids)?;
            if self.with_types {
                stream.types = token_types(&stream.lengths, ids.len());
            }
        }
        Ok(Item::Block(packed))
    }

    /// The record's texts, one per field; `None` for a blank line.
    fn texts<'record>(
        &self,
        file: usize,
        record: Record<'record>,
    ) -> std::result::Result<Option<Vec<std::borrow::Cow<'record, str>>>, BadRecord> {
        if is_blank(record.bytes) {
            return Ok(None);
        }
        if self.formats[file] != Format::Text {
            return extract(record.bytes, self.fields).map(Some);
        }
        let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
        let text = simdutf8::basic::from_utf8(line).map_err(|_| invalid_utf8(line))?;
        Ok(Some(vec![text.into(); self.fields.len()]))
    }

    fn tokenize(
        &self,
        texts: &[std::borrow::Cow<'_, str>],
        ids: &mut [Vec<u32>],
        streams: &mut [TokenStream],
    ) -> Result<Fate> {
        if texts.iter().all(|text| text.is_empty()) {
            return Ok(Fate::Dropped("empty text"));
        }
        let before: Vec<usize> = ids.iter().map(Vec::len).collect();
        // An empty field stays empty, whatever the tokenizer adds to texts.
        for (text, ids) in texts.iter().zip(ids.iter_mut()).filter(|(text, _)| !text.is_empty()) {
            self.tokenizer.encode(text, ids)?;
        }
        if ids.iter().zip(&before).all(|(ids, before)| ids.len() == *before) {
            return Ok(Fate::Dropped("no tokens"));
        }
        for ((ids, before), stream) in ids.iter_mut().zip(&before).zip(streams) {
            // Megatron's tools leave a document of no tokens without an end, too.
            if self.append_eos && ids.len() > *before {
                ids.push(self.tokenizer.special().eos);
            }
            let length = u32::try_from(ids.len() - before)
                .map_err(|_| Error::config("inputs", "a document has over 2^32 tokens"))?;
            stream.lengths.push(length);
        }
        Ok(Fate::Kept(texts.iter().map(|text| text.len() as u64).sum()))
    }
}

/// Types of a stream of documents: all trained on, and each one's last token a separator.
fn token_types(lengths: &[u32], num_tokens: usize) -> Vec<u8> {
    let mut out = types::COMPLETION.to_le_bytes().repeat(num_tokens);
    let mut end = 0;
    for &length in lengths {
        end += length as usize * 4;
        if length > 0 {
            out[end - 4..end].copy_from_slice(&types::SEPARATOR.to_le_bytes());
        }
    }
    out
}
