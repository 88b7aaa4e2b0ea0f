//! HDF5 files of a fixed number of rows; each sealed file is a checkpoint.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Sender;

use serde_json::{Map, Value, json};

use super::{Checkpoint, Sink};
use crate::error::{Error, Result};
use crate::formats::hdf5_rows::{Hdf5Files, PartWriter, RowWrite, SealedPart, TokenStream};
use crate::packing::full::padding_tokens;
use crate::packing::types::PADDING;
use crate::pipeline::books::{Books, Fate};
use crate::pipeline::manifest::OutputEntry;
use crate::pipeline::pack::{PackConfig, Packed, default_rows_per_file};
use crate::pipeline::sealer::Sealer;
use crate::progress::Progress;
use crate::token::index;
use crate::tokenizers::SpecialIds;

/// Padding tokens written at once: a row can be longer than memory is wide.
const PADDING_PIECE: u64 = 1 << 18;

/// Writes `<prefix>-00000.hdf5` and so on, packed `full`.
#[allow(missing_debug_implementations, reason = "holds a callback")]
pub struct Hdf5Sink<'run> {
    folder: PathBuf,
    prefix: String,
    hdf5: &'run dyn Hdf5Files,
    progress: &'run Progress,
    writes: Sender<RowWrite>,
    pad: u32,
    sequence_length: u64,
    tokens_per_file: u64,
    part: Option<PartWriter>,
    num_parts: u64,
    tokens_written: u64,
    skip_tokens: u64,
}

impl<'run> Hdf5Sink<'run> {
    /// Starts after the files that earlier attempts have sealed.
    pub fn open(
        config: &PackConfig,
        folder: &Path,
        special: SpecialIds,
        hdf5: &'run dyn Hdf5Files,
        checkpoint: &Checkpoint,
        done: &[OutputEntry],
        (writes, progress): (Sender<RowWrite>, &'run Progress),
    ) -> Self {
        let sequence_length = config.sequence_length.unwrap_or(1);
        let rows_per_file = config.rows_per_file.unwrap_or_else(|| default_rows_per_file(sequence_length));
        let rows: u64 = done.iter().filter_map(|output| output.details.get("rows")?.as_u64()).sum();
        Self {
            folder: folder.to_owned(),
            prefix: config.prefix.clone(),
            hdf5,
            progress,
            writes,
            pad: special.pad,
            sequence_length,
            tokens_per_file: rows_per_file * sequence_length,
            part: None,
            num_parts: done.len() as u64,
            tokens_written: rows * sequence_length,
            skip_tokens: checkpoint.skip_tokens,
        }
    }

    fn part(&mut self) -> Result<&mut PartWriter> {
        if self.part.is_none() {
            let path = self.folder.join(format!("{}-{:05}.hdf5", self.prefix, self.num_parts));
            let max_rows = self.tokens_per_file / self.sequence_length;
            self.part = Some(PartWriter::create(&path, self.hdf5, max_rows, self.sequence_length)?);
            self.num_parts += 1;
        }
        self.part.as_mut().ok_or(Error::Interrupted)
    }

    fn write(&mut self, stream: &Arc<TokenStream>, tokens: Range<u64>) -> Result<()> {
        let write = self.part()?.append(stream, tokens);
        self.writes.send(write).map_err(|_| Error::Internal("the writer threads are gone".into()))
    }

    /// Hands the open file to the sealer, with the place from which the next one starts.
    fn seal(&mut self, skip_tokens: u64, books: &mut Books<'run>, sealer: &Sealer<'_, 'run>) -> Result<()> {
        let Some(part) = self.part.take() else { return Ok(()) };
        books.sync()?;
        let checkpoint = Checkpoint { books: books.snapshot().clone(), skip_tokens, megatron: Vec::new() };
        let name = file_name(part.path());
        let (hdf5, progress, sequence_length) = (self.hdf5, self.progress, self.sequence_length);
        let seal = move || part.seal(hdf5, progress).map(|sealed| vec![entry(&sealed, sequence_length)]);
        sealer.send(Some(name), Box::new(seal), books.take_finished(), &checkpoint)
    }
}

impl<'run> Sink<'run> for Hdf5Sink<'run> {
    fn append(
        &mut self,
        mut packed: Packed,
        books: &mut Books<'run>,
        sealer: &Sealer<'_, 'run>,
    ) -> Result<()> {
        let stream = Arc::new(std::mem::take(&mut packed.streams[0]));
        let total = stream.ids.len() as u64 / 4;
        // Token positions below count from the block's start. Records up to `record` are settled; `settled` tokens
        // belong to them; `written` tokens are in files.
        let (mut record, mut document, mut settled) = (0, 0, 0);
        let mut written = std::mem::take(&mut self.skip_tokens);
        if written > total {
            return Err(Error::mismatch(
                "tokens of the document to go on with",
                format!("at least {written}"),
                total,
            ));
        }
        loop {
            let tokens_per_file = self.tokens_per_file;
            let room = tokens_per_file - self.part.as_ref().map_or(0, PartWriter::num_tokens);
            let count = room.min(total - written);
            if count > 0 {
                self.write(&stream, written..written + count)?;
                written += count;
                self.tokens_written += count;
            }
            let is_full = count == room;
            // A full file's checkpoint lies before the document that its end cuts.
            while let Some(outcome) = packed.outcomes.get(record) {
                if matches!(outcome.fate, Fate::Kept(_)) {
                    let end = settled + u64::from(stream.lengths[document]);
                    if is_full && end > written {
                        break;
                    }
                    settled = end;
                    books.ledger().tokens_in += u64::from(stream.lengths[document]);
                    document += 1;
                }
                books.settle(packed.file, outcome)?;
                record += 1;
            }
            if !is_full {
                return Ok(());
            }
            self.seal(written - settled, books, sealer)?;
        }
    }

    fn finish(
        mut self: Box<Self>,
        books: &mut Books<'run>,
        sealer: &Sealer<'_, 'run>,
    ) -> Result<Vec<OutputEntry>> {
        let padding = padding_tokens(self.tokens_written, self.sequence_length);
        let piece = index(padding.min(PADDING_PIECE));
        let (ids, types) = (self.pad.to_le_bytes().repeat(piece), PADDING.to_le_bytes().repeat(piece));
        let stream = Arc::new(TokenStream { ids, types, lengths: Vec::new() });
        let mut left = padding;
        while left > 0 || self.num_parts == 0 {
            let count = left.min(PADDING_PIECE);
            self.write(&stream, 0..count)?;
            left -= count;
        }
        self.tokens_written += padding;
        books.ledger().tokens_padding += padding;
        self.seal(0, books, sealer)?;
        // After the last checkpoint: a run that is killed here comes by again.
        books.ledger().tokens_out = self.tokens_written;
        Ok(Vec::new())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn entry(part: &SealedPart, sequence_length: u64) -> OutputEntry {
    let mut details = Map::new();
    details.insert("rows".into(), part.num_rows.into());
    let dataset =
        |offset: u64| json!({"offset": offset, "shape": [part.num_rows, sequence_length], "dtype": "<i4"});
    if let Some((ids, types)) = part.offsets {
        details
            .insert("datasets".into(), json!({"input_ids": dataset(ids), "token_type_ids": dataset(types)}));
    }
    OutputEntry {
        path: file_name(&part.path),
        size: part.sealed.size,
        hash: part.sealed.hash.clone(),
        details: details.into_iter().collect::<Map<String, Value>>(),
    }
}
