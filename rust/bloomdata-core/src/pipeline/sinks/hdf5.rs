//! HDF5 files of a fixed number of rows; each sealed file is a checkpoint.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Sender;
use serde_json::{Map, Value, json};

use super::in_flight::{InFlight, Lost, Placed};
use super::rows::{KeptRows, RowAssembler};
use super::{Checkpoint, Finished, Resumed, Sink, histogram_fact};
use crate::error::{Error, Result};
use crate::formats::hdf5_rows::{Hdf5Files, PartWriter, RowWrite, SealedPart, TokenStream};
use crate::packing::overlong::mask_rests;
use crate::packing::packer::{Loss, Next, Packer, Rows};
use crate::packing::{Overlong, Packing, types::COLUMNS};
use crate::pipeline::articles::packed::Packed;
use crate::pipeline::folder::books::{Books, Snapshot};
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::outcome::Fate;
use crate::pipeline::folder::sealer::Sealer;
use crate::pipeline::pack_options::PackConfig;
use crate::progress::Progress;
use crate::token::index;
use crate::tokenizers::SpecialIds;

/// Writes `<prefix>-00000.hdf5` and so on.
pub struct Hdf5Sink<'run> {
    packer: Packer,
    /// Articles of the next record that are in rows already.
    skip_articles: u64,
    /// Whether conversations longer than a row are cut.
    cuts_conversations: bool,
    files: Files<'run>,
}

/// Rows and where they go.
struct Files<'run> {
    folder: PathBuf,
    prefix: String,
    hdf5: &'run dyn Hdf5Files,
    progress: &'run Progress,
    writes: Sender<RowWrite>,
    rows: RowAssembler,
    documents: InFlight,
    sequence_length: u64,
    rows_per_file: u64,
    part: Option<PartWriter>,
    num_parts: u64,
    /// Number of the current record's first article.
    record_start: u64,
    window_start: WindowStart,
}

/// Where the packer's window starts.
#[derive(Clone)]
struct WindowStart {
    /// The books there.
    books: Snapshot,
    /// Articles of their next record before it, and what was made of that record.
    skip_articles: u64,
    placed: Placed,
    /// Tokens that the packing had dropped or cut off, and cut off: those of the window are lost again.
    lost_tokens: (u64, u64),
}

/// What the packer talks to while a record is packed.
struct Writing<'sink, 'run, 'scope, 'sealer> {
    files: &'sink mut Files<'run>,
    books: &'sink mut Books<'run>,
    sealer: &'sealer Sealer<'scope, 'run>,
}

impl<'run> Hdf5Sink<'run> {
    /// Starts after the files that earlier attempts have sealed.
    ///
    /// # Errors
    /// A sequence length that the packing cannot do.
    pub fn open(
        config: &PackConfig,
        folder: &Path,
        special: SpecialIds,
        hdf5: &'run dyn Hdf5Files,
        checkpoint: &Checkpoint,
        done: &[OutputEntry],
        (writes, progress): (Sender<RowWrite>, &'run Progress),
    ) -> Result<Self> {
        let sequence_length = config.sequence_length.unwrap_or(1);
        let Resumed { skip_articles, skip_tokens, skip_rows, placed, metrics } =
            checkpoint.rows.unwrap_or_default();
        let next = Next { article: metrics.articles, tokens: skip_tokens, rows: skip_rows };
        let packing = config.packing.unwrap_or(Packing::Full { drop_last: false });
        let packer = Packer::new(packing, sequence_length, config.seed, config.window_tokens, next)?;
        // A row left out would break the pairing of judged answers.
        let keeps_all =
            config.records.pairs.keep_prompt_only_sequences || config.records.judgement().is_some();
        let keeps = match keeps_all {
            true => KeptRows::All,
            false if config.keep_end_only_sequences => KeptRows::Trained,
            false => KeptRows::Completion,
        };
        let files = Files {
            folder: folder.to_owned(),
            prefix: config.prefix.clone(),
            hdf5,
            progress,
            writes,
            rows: RowAssembler::new(sequence_length, special.pad, keeps, metrics),
            documents: InFlight::resume(placed),
            sequence_length,
            rows_per_file: config.file_rows(sequence_length),
            part: None,
            num_parts: done.len() as u64,
            record_start: metrics.articles,
            window_start: WindowStart {
                books: checkpoint.books.clone(),
                skip_articles,
                placed,
                lost_tokens: metrics.lost_tokens(),
            },
        };
        let cuts_conversations = packing == Packing::BestFit(Overlong::Cut);
        Ok(Self { packer, skip_articles, cuts_conversations, files })
    }

    /// Draws as if so many articles had come before.
    #[must_use]
    pub fn after(mut self, articles: u64) -> Self {
        self.packer.follow(articles);
        self
    }
}

impl<'run> Sink<'run> for Hdf5Sink<'run> {
    fn append(
        &mut self,
        mut packed: Packed,
        books: &mut Books<'run>,
        sealer: &Sealer<'_, 'run>,
    ) -> Result<()> {
        let mut stream = std::mem::take(&mut packed.streams[0]);
        let kept = if self.cuts_conversations {
            mask_rests_of(&mut stream, self.files.sequence_length)
        } else {
            BTreeMap::new()
        };
        let stream = Arc::new(stream);
        let (mut at, mut first) = (0, 0);
        for outcome in &packed.outcomes {
            let is_kept = if let Fate::Kept { articles, text_bytes, chats, ref unread } = outcome.fate {
                self.files.record_start = self.packer.article() - self.skip_articles.min(articles);
                let numbers = (self.files.record_start, articles);
                let held = (text_bytes, chats, unread.clone());
                self.files.documents.begin(packed.file, numbers, held);
                let lengths = &stream.lengths[first..first + index(articles)];
                for (number, &length) in (first..).zip(lengths) {
                    let tokens = at..at + u64::from(length);
                    at = tokens.end;
                    if self.skip_articles > 0 {
                        self.skip_articles -= 1;
                        continue;
                    }
                    if !self.packer.is_waiting() {
                        self.files.rows.forget_before(self.packer.article());
                        self.files.note_window(&self.packer, books);
                    }
                    self.files.rows.announce(&stream, tokens);
                    let mut writing = Writing { files: &mut self.files, books, sealer };
                    let length = u64::from(length);
                    let kept = kept.get(&number).copied().unwrap_or(length);
                    if kept < length {
                        writing.lose(Loss::Truncated, self.packer.article(), kept..length);
                    }
                    self.packer.push(kept, &mut writing)?;
                }
                first += lengths.len();
                books.count_articles(lengths);
                true
            } else {
                false
            };
            books.settle(packed.file, outcome)?;
            if is_kept {
                self.files.documents.end(books);
            }
        }
        self.files.write_rows()
    }

    fn finish(mut self: Box<Self>, books: &mut Books<'run>, sealer: &Sealer<'_, 'run>) -> Result<Finished> {
        self.files.record_start = self.packer.article();
        let mut writing = Writing { files: &mut self.files, books, sealer };
        self.packer.finish(&mut writing)?;
        self.files.documents.settle(self.packer.article(), books);
        if self.files.num_parts == 0 {
            self.files.part()?;
        }
        let end = Next { article: self.packer.article(), tokens: 0, rows: 0 };
        self.files.seal(end, books, sealer)?;
        // After the last checkpoint: a run that is killed here comes by again.
        let mut metrics = self.files.rows.metrics;
        metrics.articles = end.article;
        let ledger = books.ledger();
        ledger.tokens_out = metrics.output_tokens;
        ledger.tokens_padding = metrics.padding_tokens;
        ledger.tokens_truncated = metrics.truncated_tokens;
        ledger.tokens_dropped = metrics.dropped_tokens();
        let metrics = serde_json::to_value(metrics).map_err(|error| Error::Internal(error.to_string()))?;
        Ok((Vec::new(), Map::from_iter([("metrics".to_owned(), metrics), histogram_fact(books)])))
    }
}

impl Rows for Writing<'_, '_, '_, '_> {
    fn append(&mut self, article: u64, tokens: Range<u64>) {
        self.files.rows.append(article, tokens);
    }

    fn end_row(&mut self, next: Next) -> Result<()> {
        let (is_kept, articles) = self.files.rows.end_row();
        self.files.documents.note_row(is_kept, articles);
        self.files.documents.settle(next.article, self.books);
        if is_kept && self.files.rows_in_part() == self.files.rows_per_file {
            self.files.seal(next, self.books, self.sealer)?;
        }
        Ok(())
    }

    fn repeat_row(&mut self) {
        let (is_kept, articles) = self.files.rows.repeat_row();
        self.files.documents.note_row(is_kept, articles);
    }

    fn drop_row(&mut self) {
        let articles = self.files.rows.drop_row();
        self.files.documents.lose(articles, Lost::Unfinished);
    }

    fn lose(&mut self, loss: Loss, article: u64, tokens: Range<u64>) {
        self.files.rows.lose(loss, tokens.end - tokens.start);
        self.files.documents.refuse(article, loss);
    }
}

impl<'run> Files<'run> {
    /// Takes note of where a window starts, for the checkpoints inside it.
    fn note_window(&mut self, packer: &Packer, books: &Books<'run>) {
        if packer.has_windows() {
            let placed = self.documents.open();
            let skip_articles = packer.article() - self.record_start;
            let lost_tokens = self.rows.metrics.lost_tokens();
            let books = books.snapshot().clone();
            self.window_start = WindowStart { books, skip_articles, placed, lost_tokens };
        }
    }

    fn rows_in_part(&self) -> u64 {
        let written = self.part.as_ref().map_or(0, PartWriter::num_tokens);
        (written + self.rows.finished_tokens()) / self.sequence_length
    }

    fn part(&mut self) -> Result<&mut PartWriter> {
        if self.part.is_none() {
            let path = self.folder.join(format!("{}-{:05}.hdf5", self.prefix, self.num_parts));
            self.part = Some(PartWriter::create(&path, self.hdf5, self.rows_per_file, self.sequence_length)?);
            self.num_parts += 1;
        }
        self.part.as_mut().ok_or(Error::Interrupted)
    }

    /// Hands finished rows to the writers.
    fn write_rows(&mut self) -> Result<()> {
        let (pieces, tokens) = self.rows.take_rows();
        if tokens == 0 {
            return Ok(());
        }
        let write = self.part()?.append(pieces, tokens);
        self.writes.send(write).map_err(|_| Error::Internal("the writer threads are gone".into()))
    }

    /// Hands the open file to the sealer, with the place from which the next one starts.
    fn seal(&mut self, next: Next, books: &mut Books<'run>, sealer: &Sealer<'_, 'run>) -> Result<()> {
        self.write_rows()?;
        let Some(part) = self.part.take() else { return Ok(()) };
        books.sync()?;
        // Inside a window, inputs that end after its start are read again.
        let mut metrics = self.rows.metrics;
        let WindowStart { books: books_then, skip_articles, placed, lost_tokens } = if next.rows > 0 {
            self.window_start.clone()
        } else {
            WindowStart {
                books: books.snapshot().clone(),
                skip_articles: next.article - self.record_start,
                placed: self.documents.open(),
                lost_tokens: metrics.lost_tokens(),
            }
        };
        let finished = books.take_finished_before(books_then.position.file);
        metrics.articles = next.article;
        (metrics.dropped_from_packing_tokens, metrics.truncated_tokens) = lost_tokens;
        let rows = Resumed { skip_articles, skip_tokens: next.tokens, skip_rows: next.rows, placed, metrics };
        let checkpoint = Checkpoint {
            books: books_then,
            num_articles: next.article,
            rows: Some(rows),
            megatron: Vec::new(),
        };
        let name = file_name(part.path());
        let (hdf5, progress, sequence_length) = (self.hdf5, self.progress, self.sequence_length);
        let seal = move || part.seal(hdf5, progress).map(|sealed| vec![entry(&sealed, sequence_length)]);
        sealer.send(Some(name), Box::new(seal), finished, &checkpoint)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Masks the articles that are longer than a row, see [`mask_rests`]; the tokens kept of those that lose some.
fn mask_rests_of(stream: &mut TokenStream, sequence_length: u64) -> BTreeMap<usize, u64> {
    let (types, _) = stream.types.as_chunks_mut::<4>();
    let (mut kept, mut end) = (BTreeMap::new(), 0);
    for (number, &length) in stream.lengths.iter().enumerate() {
        let start = end;
        end += length as usize;
        if u64::from(length) > sequence_length {
            let tokens = mask_rests(&mut types[start..end], index(sequence_length)) as u64;
            if tokens < u64::from(length) {
                kept.insert(number, tokens);
            }
        }
    }
    kept
}

/// What the manifest says of a file of rows.
pub fn entry(part: &SealedPart, sequence_length: u64) -> OutputEntry {
    let mut details = Map::new();
    details.insert("rows".into(), part.num_rows.into());
    let dataset =
        |offset: &u64| json!({"offset": offset, "shape": [part.num_rows, sequence_length], "dtype": "<i4"});
    if let Some(offsets) = &part.offsets {
        let datasets: Map<String, Value> =
            COLUMNS.into_iter().map(str::to_owned).zip(offsets.iter().map(dataset)).collect();
        details.insert("datasets".into(), datasets.into());
    }
    OutputEntry {
        path: file_name(&part.path),
        size: part.sealed.size,
        hash: part.sealed.hash.clone(),
        details,
    }
}
