//! Parquet files and Arrow streams become one JSON record per row.

use std::path::Path;
use std::sync::Mutex;

use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::record_batch::{RecordBatch, RecordBatchReader};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::inputs::{Format, Input};
use super::read::{Piece, PieceSender};
use crate::document::Bound;
use crate::error::{Error, Result};
use crate::hash::{ContentHasher, hash_file};
use crate::io::compression::Compression;
use crate::progress::Progress;

/// Rows that become text at once; a row may hold a long document.
const ROWS: usize = 256;

/// An Arrow stream that the caller hands over; read once, from its start.
pub type RowStream = Box<dyn RecordBatchReader + Send>;

/// Reads a Parquet file from row `start` on; only `columns`, if any are named.
///
/// # Errors
/// A damaged file, or one without the columns.
pub fn read_parquet(
    input: &Input,
    columns: &[String],
    start: u64,
    out: &PieceSender,
    progress: &Progress,
) -> Result<()> {
    let path = &input.path;
    let damaged = |error: &dyn std::fmt::Display| Error::corrupt(path, 0, format!("Parquet: {error}"));
    let (_, hasher) = hash_file(path, Some(input.size), progress)?;
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
    check_columns(path, builder.schema(), columns)?;
    let builder = if columns.is_empty() {
        builder
    } else {
        let roots = builder.schema().fields().iter().enumerate();
        let roots = roots.filter(|(_, field)| columns.contains(field.name())).map(|(at, _)| at);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.collect::<Vec<_>>());
        builder.with_projection(mask)
    };
    let reader = builder.with_batch_size(ROWS).build().map_err(|error| damaged(&error))?;
    let rows = send_rows(path, reader, start, out, progress, |_| ())?;
    Progress::add(&progress.read_bytes, input.size);
    out.send_ready(Ok(Piece::End { hash: hasher.hex(), content_bytes: rows }))
}

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
    let mut hasher = ContentHasher::default();
    let slices = stream.flat_map(|batch| -> Vec<_> {
        match batch {
            Ok(batch) => (0..batch.num_rows())
                .step_by(ROWS)
                .map(|at| Ok(batch.slice(at, ROWS.min(batch.num_rows() - at))))
                .collect(),
            Err(error) => vec![Err(error)],
        }
    });
    let rows = send_rows(&input.path, slices, start, out, progress, |line| {
        hasher.update(line);
        hasher.update(b"\n");
    })?;
    out.send_ready(Ok(Piece::End { hash: hasher.hex(), content_bytes: rows }))
}

fn check_columns(path: &Path, schema: &SchemaRef, columns: &[String]) -> Result<()> {
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

/// JSON has no bytes: they would become hexadecimal digits without a word.
fn check_binary(path: &Path, field: &Field) -> Result<()> {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    if matches!(field.data_type(), Binary | LargeBinary | BinaryView | FixedSizeBinary(_)) {
        let found = format!("column {:?} of type {}", field.name(), field.data_type());
        let supported = "columns of strings: cast it first".to_owned();
        return Err(Error::Unsupported { path: path.to_owned(), found, supported });
    }
    Ok(())
}

fn send_rows(
    path: &Path,
    batches: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>,
    start: u64,
    out: &PieceSender,
    progress: &Progress,
    mut visit: impl FnMut(&[u8]),
) -> Result<u64> {
    let mut row = 0;
    let damaged = |row: u64, error: &ArrowError| Error::corrupt(path, row, format!("row {row}: {error}"));
    for batch in batches {
        progress.check()?;
        let batch = batch.map_err(|error| damaged(row, &error))?;
        let mut lines = Vec::new();
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|error| damaged(row, &error))?;
        drop(writer);
        let (mut bytes, mut bounds) = (Vec::with_capacity(lines.len()), Vec::with_capacity(batch.num_rows()));
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            visit(line);
            if row >= start {
                bytes.extend_from_slice(line);
                bounds.push(Bound { end: bytes.len(), offset: row, next_offset: row + 1 });
            }
            row += 1;
        }
        if !bounds.is_empty() {
            out.send_ready(Ok(Piece::Records { bytes, bounds }))?;
        }
    }
    Ok(row)
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
    /// Appends `streams` to `inputs`, each under a label that tells it from others, and remembers them.
    pub fn new(inputs: &mut Vec<Input>, streams: Vec<(String, RowStream)>, columns: Vec<String>) -> Self {
        let first_stream = inputs.len();
        inputs.extend(streams.iter().map(|(label, _)| Input {
            path: label.into(),
            format: Format::Arrow,
            compression: Compression::None,
            size: 0,
            modified_ns: 0,
            promised_hash: None,
        }));
        let streams = streams.into_iter().map(|(_, stream)| Mutex::new(Some(stream))).collect();
        Self { columns, first_stream, streams }
    }

    /// Reads input number `file` if it is a table; whether it was.
    ///
    /// # Errors
    /// As [`read_parquet`] and [`read_stream`].
    pub fn read(
        &self,
        file: usize,
        input: &Input,
        start: u64,
        out: &PieceSender,
        progress: &Progress,
    ) -> Result<bool> {
        match input.format {
            Format::Parquet => read_parquet(input, &self.columns, start, out, progress)?,
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
