//! Arrow streams become one JSON record per row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use arrow_array::{Array, RecordBatch, RecordBatchReader};
use arrow_json::WriterBuilder;
use arrow_json::writer::LineDelimited;
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::inputs::{Format, Input};
use super::read::{Piece, PieceSender};
use crate::document::Bound;
use crate::error::{Error, Result};
use crate::hash::ContentHasher;
use crate::io::compression::Compression;
use crate::progress::Progress;

/// Rows that become text at once; a row may hold a long document.
pub(super) const ROWS: usize = 256;

/// An Arrow stream that the caller hands over; read once, from its start.
pub type RowStream = Box<dyn RecordBatchReader + Send>;

/// Reads an Arrow stream from row `start` on. Its hash is that of the rows as JSON lines.
///
/// # Errors
/// What the stream reports.
pub fn read_stream(
    input: &Input,
    stream: RowStream,
    columns: &[String],
    start: u64,
    out: &PieceSender,
    progress: &Progress,
) -> Result<()> {
    check_columns(&input.path, &stream.schema(), columns)?;
    let mut hasher = LineHasher::default();
    let rows = send_rows(&input.path, slices(stream), start, out, progress, |line| hasher.update(line))?;
    out.send_ready(Ok(Piece::End { hash: hasher.0.hex(), content_bytes: rows }))
}

/// The hash that [`read_stream`] gives for the rows of a stream.
///
/// # Errors
/// What the stream reports.
pub fn hash_rows(path: &Path, stream: RowStream, progress: &Progress) -> Result<String> {
    let mut hasher = LineHasher::default();
    each_batch(path, slices(stream), progress, |lines, _| {
        lines.iter().for_each(|line| hasher.update(line));
        Ok(())
    })?;
    Ok(hasher.0.hex())
}

/// Hashes lines with their ends.
#[derive(Default)]
struct LineHasher(ContentHasher);

impl LineHasher {
    fn update(&mut self, line: &[u8]) {
        self.0.update(line);
        self.0.update(b"\n");
    }
}

/// What is in a stream, validated and in small parts. Whoever made it may have read it from a damaged file: offsets,
/// indices and UTF-8 must not be believed.
fn slices(stream: RowStream) -> impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>> {
    caught(stream).flat_map(|batch| -> Vec<_> {
        match batch.and_then(validated) {
            Ok(batch) => (0..batch.num_rows())
                .step_by(ROWS)
                .map(|at| Ok(batch.slice(at, ROWS.min(batch.num_rows() - at))))
                .collect(),
            Err(error) => vec![Err(error)],
        }
    })
}

fn validated(batch: RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    for column in batch.columns() {
        match catch_unwind(AssertUnwindSafe(|| column.to_data().validate_full())) {
            Ok(valid) => valid?,
            Err(_) => return Err(broken()),
        }
    }
    Ok(batch)
}

/// Batches of a reader that panics on some damaged data: an error here, and the end.
pub(super) fn caught(
    mut batches: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>,
) -> impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>> {
    let mut is_broken = false;
    std::iter::from_fn(move || {
        if is_broken {
            return None;
        }
        let next = catch_unwind(AssertUnwindSafe(|| batches.next())).unwrap_or_else(|_| Some(Err(broken())));
        is_broken = matches!(next, Some(Err(_)));
        next
    })
}

fn broken() -> ArrowError {
    ArrowError::InvalidArgumentError("its buffers do not fit together".into())
}

pub(super) fn check_columns(path: &Path, schema: &SchemaRef, columns: &[String]) -> Result<()> {
    for column in columns {
        let Ok(field) = schema.field_with_name(column) else {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let reason = format!("{} has no column {column:?}, only {}", path.display(), names.join(", "));
            return Err(Error::config("text_field", reason));
        };
        check_type(path, field)?;
    }
    if columns.is_empty() {
        schema.fields().iter().try_for_each(|field| check_binary(path, field))?;
    }
    Ok(())
}

/// A column of text must not be one that only looks like text as JSON.
fn check_type(path: &Path, field: &Field) -> Result<()> {
    check_binary(path, field)?;
    let kind = field.data_type();
    if kind.is_temporal() || matches!(kind, DataType::Decimal128(..) | DataType::Decimal256(..)) {
        let reason = format!("column {:?} of {} is {kind}, not text", field.name(), path.display());
        return Err(Error::config("text_field", reason));
    }
    Ok(())
}

/// JSON has no bytes: they would silently become hexadecimal digits.
fn check_binary(path: &Path, field: &Field) -> Result<()> {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    if matches!(field.data_type(), Binary | LargeBinary | BinaryView | FixedSizeBinary(_)) {
        let found = format!("column {:?} of type {}", field.name(), field.data_type());
        let supported = "columns of strings: cast it first".to_owned();
        return Err(Error::Unsupported { path: path.to_owned(), found, supported });
    }
    Ok(())
}

pub(super) fn send_rows(
    path: &Path,
    batches: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>,
    start: u64,
    out: &PieceSender,
    progress: &Progress,
    mut visit: impl FnMut(&[u8]),
) -> Result<u64> {
    each_batch(path, batches, progress, |lines, mut row| {
        let size = lines.iter().map(|line| line.len()).sum();
        let (mut bytes, mut bounds) = (Vec::with_capacity(size), Vec::with_capacity(lines.len()));
        for line in lines {
            visit(line);
            if row >= start {
                bytes.extend_from_slice(line);
                bounds.push(Bound { end: bytes.len(), offset: row, next_offset: row + 1 });
            }
            row += 1;
        }
        if bounds.is_empty() { Ok(()) } else { out.send_ready(Ok(Piece::Records { bytes, bounds })) }
    })
}

/// What the producer of a stream says, without what the interface and Python's traceback put around it.
fn producer_error(message: &str) -> &str {
    let inner = message.split_once("Producer error: ").map_or(message, |(_, inner)| inner);
    inner.split_once(". Detail: Python exception").map_or(inner, |(reason, _)| reason).trim_end()
}

/// Calls `visit` with the rows of each batch as lines of JSON, and the number of the first; how many rows there were.
fn each_batch(
    path: &Path,
    batches: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>,
    progress: &Progress,
    mut visit: impl FnMut(&[&[u8]], u64) -> Result<()>,
) -> Result<u64> {
    let mut row = 0;
    let damaged = |row: u64, error: &ArrowError| {
        Error::corrupt(path, row, format!("rows from {row} on: {}", producer_error(&error.to_string())))
    };
    for batch in batches {
        progress.check()?;
        let batch = batch.map_err(|error| damaged(row, &error))?;
        let mut lines = Vec::new();
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|error| damaged(row, &error))?;
        drop(writer);
        let lines: Vec<&[u8]> = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
        visit(&lines, row)?;
        row += lines.len() as u64;
    }
    Ok(row)
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
    /// Columns that are needed; none named means all.
    columns: Vec<String>,
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
        columns: Vec<String>,
        progress: &Progress,
    ) -> Result<Self> {
        let first_stream = inputs.len();
        let mut streams = Vec::new();
        for Table { label, rows, again, read_once } in tables {
            let path = PathBuf::from(label);
            let promised_hash = again.map(|rows| hash_rows(&path, rows, progress)).transpose()?;
            inputs.push(Input {
                path,
                format: Format::Arrow,
                compression: Compression::None,
                size: 0,
                modified_ns: 0,
                promised_hash,
                read_once,
            });
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
    /// As `read_parquet` and [`read_stream`].
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
                super::parquet_files::read_parquet(input, &self.columns, start, out, progress)?
            }
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
