//! Tables become one JSON record per row: Arrow streams of the caller, and lines of JSON that it makes of its rows.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use arrow_array::RecordBatchReader;

use super::columns::Columns;
use super::input::{Format, Input};
use super::json_rows::{check_columns, each_batch, send_lines, slices};
use super::read::{Piece, PieceSender};
use crate::error::{Error, Result};
use crate::hash::ContentHasher;
use crate::progress::Progress;

/// Rows that the caller hands over; read once, from their start.
#[allow(missing_debug_implementations, reason = "holds streams of the caller")]
pub enum RowStream {
    /// An Arrow stream.
    Batches(Box<dyn RecordBatchReader + Send>),
    /// Groups of rows that are lines of JSON already, without line ends.
    Lines(Box<dyn Iterator<Item = Result<Vec<Vec<u8>>>> + Send>),
}

impl RowStream {
    /// Calls `visit` with groups of rows as lines of JSON, and the number of the first; how many rows there were.
    fn each_group(
        self,
        path: &Path,
        progress: &Progress,
        mut visit: impl FnMut(&[&[u8]], u64) -> Result<()>,
    ) -> Result<u64> {
        let groups = match self {
            Self::Batches(batches) => {
                return each_batch(path, (slices(batches), b""), progress, visit);
            }
            Self::Lines(groups) => groups,
        };
        let mut row = 0;
        for group in groups {
            progress.check()?;
            let group = group?;
            visit(&group.iter().map(Vec::as_slice).collect::<Vec<_>>(), row)?;
            row += group.len() as u64;
        }
        Ok(row)
    }
}

/// Reads rows of the caller from row `start` on. Their hash is that of the rows as JSON lines.
///
/// # Errors
/// What the stream reports.
pub fn read_stream(
    input: &Input,
    stream: RowStream,
    columns: &Columns,
    start: u64,
    out: &PieceSender,
    progress: &Progress,
) -> Result<()> {
    if let RowStream::Batches(batches) = &stream {
        check_columns(&input.path, &batches.schema(), columns)?;
    }
    let mut hasher = LineHasher::default();
    let rows = stream.each_group(&input.path, progress, |lines, row| {
        hasher.update(lines);
        send_lines(lines, row, start, out)
    })?;
    out.send_ready(Ok(Piece::End { hash: hasher.0.hex(), content_bytes: rows }))
}

/// The hash that [`read_stream`] gives for the rows of a stream.
///
/// # Errors
/// What the stream reports.
pub fn hash_rows(path: &Path, stream: RowStream, progress: &Progress) -> Result<String> {
    let mut hasher = LineHasher::default();
    stream.each_group(path, progress, |lines, _| {
        hasher.update(lines);
        Ok(())
    })?;
    Ok(hasher.0.hex())
}

/// Hashes lines with their ends.
#[derive(Default)]
struct LineHasher(ContentHasher);

impl LineHasher {
    fn update(&mut self, lines: &[&[u8]]) {
        for line in lines {
            self.0.update(line);
            self.0.update(b"\n");
        }
    }
}

/// Rows that the caller hands over.
#[allow(missing_debug_implementations, reason = "holds streams of the caller")]
pub struct Table {
    /// Tells it from others as far as that is known before it is read.
    pub label: String,
    /// The rows.
    pub rows: RowStream,
    /// The same rows once more, to be hashed before the run; none for what is read once only, or has a fingerprint in
    /// its label.
    pub again: Option<RowStream>,
    /// Whether it cannot be handed over again.
    pub read_once: bool,
}

/// Reads the inputs of a run that are tables.
#[allow(missing_debug_implementations, reason = "holds streams of the caller")]
pub struct TableReader {
    /// Columns that are read.
    columns: Columns,
    /// Index of the first stream among the inputs.
    first_stream: usize,
    streams: Vec<Mutex<Option<RowStream>>>,
}

impl TableReader {
    /// Appends `tables` to `inputs` and remembers them.
    ///
    /// # Errors
    /// What a stream that is hashed reports.
    pub fn new(
        inputs: &mut Vec<Input>,
        tables: Vec<Table>,
        columns: Columns,
        progress: &Progress,
    ) -> Result<Self> {
        let first_stream = inputs.len();
        let mut streams = Vec::new();
        for Table { label, rows, again, read_once } in tables {
            let path = PathBuf::from(label);
            let promised_hash = again.map(|rows| hash_rows(&path, rows, progress)).transpose()?;
            let promised_hash = promised_hash.map(String::into_boxed_str);
            inputs.push(Input { format: Format::Arrow, promised_hash, read_once, ..Input::bare(path) });
            streams.push(Mutex::new(Some(rows)));
        }
        Ok(Self { columns, first_stream, streams })
    }

    /// Compares what was read when a run finished with streams that were not read since. `hashes` are those of all
    /// inputs of that run.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a stream with other rows.
    pub fn check_unread(&self, inputs: &[Input], hashes: &[&str], progress: &Progress) -> Result<()> {
        for (at, slot) in self.streams.iter().enumerate() {
            let file = self.first_stream + at;
            let (Some(input), Some(expected)) = (inputs.get(file), hashes.get(file)) else { continue };
            let stream = slot.lock().ok().and_then(|mut slot| slot.take()).filter(|_| input.read_once);
            let Some(stream) = stream else { continue };
            let found = hash_rows(&input.path, stream, progress)?;
            if found != *expected {
                let what =
                    "the output folder belongs to another run (overwrite=True starts anew): rows of input";
                return Err(Error::mismatch(format!("{what} {}", input.path.display()), expected, found));
            }
        }
        Ok(())
    }

    /// Reads input number `file` if it is a table; whether it was.
    ///
    /// # Errors
    /// As `read_parquet`, `read_arrow` and [`read_stream`].
    pub fn read(
        &self,
        file: usize,
        input: &Input,
        start: u64,
        out: &PieceSender,
        progress: &Progress,
    ) -> Result<bool> {
        match input.format {
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                super::parquet_files::read_parquet(input, &self.columns, start, out, progress)?;
            }
            Format::Ipc => super::arrow_files::read_arrow(input, &self.columns, start, out, progress)?,
            Format::Arrow => {
                let slot = file.checked_sub(self.first_stream).and_then(|at| self.streams.get(at));
                let stream = slot.and_then(|slot| slot.lock().ok()?.take());
                let Some(stream) = stream else {
                    return Err(Error::Internal("an Arrow stream was read twice".into()));
                };
                read_stream(input, stream, &self.columns, start, out, progress)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
