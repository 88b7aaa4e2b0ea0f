//! The verb `shard`: lines of all inputs become `.jsonl.zst` shards of at most so many lines.
//!
//! ```text
//! Source ─blocks→ pool: cut, check ─ordered→ cutter ─frames→ pool: compress ─ordered→ writer ─→ sealer
//!                                      └─shuffle: scatter to buckets, then gather them sorted ─┘
//! ```

use std::path::Path;
use std::sync::OnceLock;
use std::thread::scope;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::pipeline::folder::books::{Books, ChatCounts, Fate, OnBadRecord, Outcome, QUARANTINE_NAME, Snapshot};
use super::conductor::{Conducted, Conductor};
use super::cutter::{CutCheckpoint, Cutter, Frame, Limits, SPLIT_NAMES, ShardEnd, Splits};
use crate::pipeline::feed::{Item, feed};
use super::intake::Intake;
use crate::pipeline::folder::leftovers::{NumberedName, OutputNames};
use super::lines::Lines;
use super::preparer::{PrepareConfig, Preparer};
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::folder::sealer::{Sealer, cause, join};
use super::shard_writer;
use super::shuffle::{BUCKET_FOLDER, Scattered};
use crate::document::{BadRecord, Block, Record, is_blank};
use crate::error::{Error, Result};
use crate::formats::jsonl_shards::LineEncoder;
use crate::io::compression::Compression;
use crate::json_fields::{invalid_utf8, validate};
use crate::ordered::Pool;
use crate::progress::Progress;
use crate::sources::inputs::{InputList, natural_order};
use crate::sources::{Format, Source, SourceOptions};

/// Options of `shard`. Same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardConfig {
    /// Lines in a shard; only the last one of a split is shorter.
    pub max_lines: u64,
    /// Decompressed bytes in a shard at most.
    pub max_bytes: Option<u64>,
    /// `zstd`, `gzip` or `none`.
    pub compression: Compression,
    /// Compression level.
    pub level: i32,
    /// First part of shard names.
    pub prefix: String,
    /// Digits of the number in a shard's name, at least.
    pub digits: usize,
    /// Number of the first shard.
    pub first_index: u64,
    /// Key under which the lines of `.txt` inputs are stored; `None` copies lines as they are, blank ones too.
    pub text_field: Option<String>,
    /// Whether every line must be a JSON object.
    pub validate: bool,
    /// What to do with a line that is not.
    pub on_bad_record: OnBadRecord,
    /// Whether to shuffle all lines.
    pub shuffle: bool,
    /// Seed of the shuffle and of splits by ratio.
    pub seed: u64,
    /// Train, dev and test.
    pub splits: Option<Splits>,
    /// What `prepare` makes of records; `shard` copies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<PrepareConfig>,
}

/// From where `shard` can go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Set once a shuffle's first pass is complete: its buckets, and the books of all inputs.
    pub(super) scattered: Option<(Scattered, Snapshot)>,
    pub(super) cut: CutCheckpoint,
}

pub(super) struct Compressed {
    pub(super) split: usize,
    pub(super) shard: u64,
    pub(super) stored: Vec<u8>,
    pub(super) content_bytes: u64,
    pub(super) num_lines: u64,
    pub(super) end: Option<Box<ShardEnd>>,
}

impl ShardConfig {
    fn validate(&self) -> Result<()> {
        if self.max_lines == 0 || self.max_bytes == Some(0) {
            return Err(Error::config("max_lines", "a shard must hold at least one line and one byte"));
        }
        if self.prefix.is_empty() || self.prefix.contains('/') || self.prefix.starts_with('.') {
            return Err(Error::config(
                "prefix",
                format!("{:?} does not begin the name of a visible file", self.prefix),
            ));
        }
        if !(1..=18).contains(&self.digits) {
            return Err(Error::config("digits", format!("{} is outside 1 to 18", self.digits)));
        }
        LineEncoder::new(self.compression, self.level)?;
        self.splits.as_ref().map_or(Ok(()), Splits::validate)
    }
}

/// Shards `inputs` into a folder.
///
/// # Errors
/// Options that cannot work, inputs that are damaged, bad records unless they are quarantined, a full disk, an
/// interruption. Whatever happens, the same call goes on where this one stopped.
pub fn shard(
    config: &ShardConfig,
    options: &RunOptions,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    config.validate()?;
    let preparer = config.prepare.as_ref().map(Preparer::new).transpose()?;
    let repeats = match &config.prepare {
        Some(prepare) => prepare.repeats(&inputs.inputs)?,
        None => Vec::new(),
    };
    let value = serde_json::to_value(config).map_err(|error| Error::Internal(error.to_string()))?;
    let request = Request {
        verb: if config.prepare.is_some() { "prepare" } else { "shard" },
        output: &options.output,
        config: value,
        inputs,
        overwrite: options.overwrite,
        names: config.names(),
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let (checkpoint, was_resumed): (Checkpoint, bool) = run.checkpoint()?;
    let folder = run.folder();
    let start = checkpoint.scattered.as_ref().map_or(&checkpoint.cut.state.books, |(_, books)| books).clone();
    let source_options = SourceOptions { num_threads: options.num_threads, start: start.position };
    let books = Books::open(&inputs.inputs, folder, config.on_bad_record, start)?;
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
            options.num_threads,
            || (),
            |(), block| Ok(config.cut(&block, &formats, preparer.as_ref())),
        );
        let (block_sender, lines) = cutting.queue(2 * options.num_threads + 2);
        drop(cutting);
        let feeder = scope.spawn(move || feed(source, &block_sender));
        let compressing = Pool::start(
            scope,
            options.num_threads,
            || None,
            |encoder, frame| config.compress(encoder, frame, progress),
        );
        let (frame_sender, frames) = compressing.queue(2 * options.num_threads);
        drop(compressing);
        let sealer = Sealer::start(scope, &mut run.journal, done);
        let limits = Limits { max_lines: config.max_lines, max_bytes: config.max_bytes.unwrap_or(u64::MAX) };
        let cutter = Cutter::new(limits, config.splits.clone(), config.seed, &checkpoint.cut, frame_sender);
        let prepare = config.prepare.as_ref().zip(preparer.as_ref());
        let intake = Intake { seed: config.seed, prepare, repeats, progress };
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
    let mut details = Map::new();
    if config.prepare.is_some() {
        details.insert("lines".into(), num_lines.into());
    }
    let manifest = run.finish(inputs.collect(), outputs, ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}

impl ShardConfig {
    /// Names of the files that a run with these options writes.
    fn names(&self) -> OutputNames {
        let after = format!(".jsonl{}", self.compression.suffix());
        let numbered =
            |folder: &str| NumberedName { before: format!("{folder}{}-", self.prefix), after: after.clone() };
        let mut names = OutputNames { last: vec![QUARANTINE_NAME.into()], ..OutputNames::default() };
        match &self.splits {
            None => names.numbered.push(numbered("")),
            Some(Splits::Files(files)) => {
                let suffix = self.compression.suffix();
                names.scratch.extend(files.iter().map(|name| format!("{name}{suffix}")));
            }
            Some(_) => names.numbered.extend(SPLIT_NAMES.map(|split| numbered(&format!("{split}/")))),
        }
        if self.shuffle {
            names.folders.push(BUCKET_FOLDER.to_owned());
        }
        names
    }

    /// Finds the lines of a block and checks them.
    fn cut(&self, block: &Block, formats: &[Format], preparer: Option<&Preparer>) -> Item<Lines> {
        let format = formats[block.file];
        let mut lines =
            Lines { file: block.file, bytes: Vec::with_capacity(block.len()), ..Lines::default() };
        let keeps_raw = self.on_bad_record == OnBadRecord::Quarantine;
        let visited = block.for_each(|record| {
            if let Some(preparer) = preparer {
                let fate = preparer.record(format, record, keeps_raw, &mut lines);
                Outcome::push(&mut lines.outcomes, record.next_offset, fate);
                return Ok(());
            }
            let fate = match self.line(format, record, &mut lines.bytes) {
                Ok(Some(size)) => {
                    lines.ends.push(lines.bytes.len());
                    Fate::Kept { text_bytes: size, articles: 1, chats: ChatCounts::default() }
                }
                Ok(None) => Fate::Dropped("blank line"),
                Err(reason) => Fate::Bad(reason, record.offset, record.bytes.to_vec()),
            };
            Outcome::push(&mut lines.outcomes, record.next_offset, fate);
            Ok::<(), std::convert::Infallible>(())
        });
        match visited {
            Ok(()) => Item::Block(lines),
            Err(never) => match never {},
        }
    }

    /// Appends the line as it will be stored; its size, or `None` for a blank one.
    fn line(
        &self,
        format: Format,
        record: Record<'_>,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Option<u64>, BadRecord> {
        let before = out.len();
        let Some(text_field) = &self.text_field else {
            out.extend_from_slice(record.bytes);
            return Ok(Some(record.bytes.len() as u64));
        };
        if is_blank(record.bytes) {
            return Ok(None);
        }
        if format == Format::Text {
            let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
            let text = simdutf8::basic::from_utf8(line).map_err(|_| invalid_utf8(line))?;
            let object = Map::from_iter([(text_field.clone(), text.into())]);
            serde_json::to_writer(&mut *out, &object)
                .map_err(|error| BadRecord::MalformedJson(error.to_string()))?;
        } else {
            // A newline inside an element of an array is malformed, and would become two lines.
            if self.validate || memchr::memchr(b'\n', record.bytes).is_some() {
                validate(record.bytes)?;
            }
            out.extend_from_slice(record.bytes);
        }
        Ok(Some((out.len() - before) as u64))
    }

    fn compress(
        &self,
        encoder: &mut Option<LineEncoder>,
        frame: Frame,
        progress: &Progress,
    ) -> Result<Compressed> {
        // At high levels a frame takes a second: do not begin one that nobody waits for.
        progress.check()?;
        let encoder = match encoder {
            Some(encoder) => encoder,
            None => encoder.insert(LineEncoder::new(self.compression, self.level)?),
        };
        let Frame { split, shard, bytes, num_lines, end } = frame;
        let content_bytes = bytes.len() as u64;
        let stored = if bytes.is_empty() { bytes } else { encoder.encode(bytes, progress)? };
        Ok(Compressed { split, shard, stored, content_bytes, num_lines, end })
    }
}
