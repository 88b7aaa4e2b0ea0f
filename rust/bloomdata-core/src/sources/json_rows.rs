//! Rows of Arrow batches become records: one line of JSON each, see [`json_cells`](super::json_cells) for their values.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::columns::Columns;
use super::json_cells::write_rows;
use super::read::{Piece, PieceSender};
use crate::document::Bound;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Rows that become text at once; a row may hold a long document.
pub(super) const ROWS: usize = 256;

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

/// What is in a stream, validated and in small parts. Whoever made it may have read it from a damaged file: offsets,
/// indices and UTF-8 must not be believed.
pub(super) fn slices(
    batches: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>,
) -> impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>> {
    caught(batches).flat_map(|batch| -> Vec<_> {
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

pub(super) fn check_columns(path: &Path, schema: &SchemaRef, columns: &Columns) -> Result<()> {
    for column in columns.names() {
        let Ok(field) = schema.field_with_name(column) else {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let hint =
                if names.contains(&"messages") { " (record=\"messages\" reads conversations)" } else { "" };
            let reason =
                format!("{} has no column {column:?}, only {}{hint}", path.display(), names.join(", "));
            return Err(Error::config("text_field", reason));
        };
        check_type(path, field)?;
    }
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        if columns.reads(field.name()) && !names.insert(field.name()) {
            let found = format!("two columns with the name {:?}", field.name());
            let supported = "columns with names of their own: rename one of them".to_owned();
            return Err(Error::Unsupported { path: path.to_owned(), found, supported });
        }
        if columns.is_all() {
            check_binary(path, field.name(), field)?;
        }
    }
    Ok(())
}

/// A column of text must not be one that only looks like text as JSON.
fn check_type(path: &Path, field: &Field) -> Result<()> {
    check_binary(path, field.name(), field)?;
    let kind = field.data_type();
    if kind.is_temporal() || matches!(kind, DataType::Decimal128(..) | DataType::Decimal256(..)) {
        let reason = format!("column {:?} of {} is {kind}, not text", field.name(), path.display());
        return Err(Error::config("text_field", reason));
    }
    Ok(())
}

/// JSON has no bytes: they would silently become hexadecimal digits, at any depth (images in a list, say).
fn check_binary(path: &Path, column: &str, field: &Field) -> Result<()> {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    let is_binary = |kind: &DataType| matches!(kind, Binary | LargeBinary | BinaryView | FixedSizeBinary(_));
    match field.data_type() {
        kind if is_binary(kind) => {
            let inner = if field.name() == column { "" } else { " inside" };
            let found = format!("column {column:?} of type {kind}{inner}");
            let supported = "columns of strings: cast it first, or leave it out".to_owned();
            Err(Error::Unsupported { path: path.to_owned(), found, supported })
        }
        DataType::Dictionary(_, values) => {
            check_binary(path, column, &Field::new(field.name(), (**values).clone(), true))
        }
        DataType::Struct(fields) => fields.iter().try_for_each(|inner| check_binary(path, column, inner)),
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::ListView(inner)
        | DataType::LargeListView(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::Map(inner, _)
        | DataType::RunEndEncoded(_, inner) => check_binary(path, column, inner),
        _ => Ok(()),
    }
}

/// Sends rows from number `start` on as records, of batches that begin with row `first`; how many there were.
pub(super) fn send_rows(
    path: &Path,
    (batches, others): (impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>, &[u8]),
    (first, start): (u64, u64),
    out: &PieceSender,
    progress: &Progress,
) -> Result<u64> {
    each_batch(path, (batches, others), progress, |lines, row| send_lines(lines, first + row, start, out))
}

/// Sends rows from number `start` on; `first` is the number of the first line.
pub(super) fn send_lines(lines: &[&[u8]], first: u64, start: u64, out: &PieceSender) -> Result<()> {
    let size = lines.iter().map(|line| line.len()).sum();
    let (mut bytes, mut bounds) = (Vec::with_capacity(size), Vec::with_capacity(lines.len()));
    for (row, line) in (first..).zip(lines) {
        if row >= start {
            bytes.extend_from_slice(line);
            bounds.push(Bound { end: bytes.len(), offset: row, next_offset: row + 1 });
        }
    }
    if bounds.is_empty() { Ok(()) } else { out.send_ready(Ok(Piece::Records { bytes, bounds })) }
}

/// What the producer of a stream says, without what the interface and Python's traceback put around it.
fn producer_error(message: &str) -> &str {
    let inner = message.split_once("Producer error: ").map_or(message, |(_, inner)| inner);
    inner.split_once(". Detail: Python exception").map_or(inner, |(reason, _)| reason).trim_end()
}

/// Calls `visit` with the rows of each batch as lines of JSON, and the number of the first; how many rows there were.
pub(super) fn each_batch(
    path: &Path,
    (batches, others): (impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>, &[u8]),
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
        let (bytes, ends) = write_rows(&batch, others).map_err(|error| damaged(row, &error))?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let lines: Vec<&[u8]> = starts.zip(&ends).map(|(start, end)| &bytes[start..*end]).collect();
        visit(&lines, row)?;
        row += lines.len() as u64;
    }
    Ok(row)
}
