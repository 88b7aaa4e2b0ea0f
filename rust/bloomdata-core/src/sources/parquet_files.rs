//! Parquet files become one JSON record per row.

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::columns::Columns;
use super::input::Input;
use super::json_rows::{ROWS, caught, check_columns, send_rows};
use super::read::{Piece, PieceSender};
use super::row_groups::RowGroups;
use crate::error::{Error, Result};
use crate::hash::hash_between;
use crate::progress::Progress;

/// Reads a Parquet file from row `start` on; only `columns`, if any are named.
///
/// # Errors
/// A damaged file, or one without the columns.
pub(super) fn read_parquet(
    input: &Input,
    columns: &Columns,
    start: u64,
    out: &PieceSender,
    progress: &Progress,
) -> Result<()> {
    let path = &input.path;
    let damaged = |error: &dyn std::fmt::Display| Error::corrupt(path, 0, format!("Parquet: {error}"));
    let (stored, rows) =
        input.range().map_or(([0, input.size], None), |range| (range.stored, Some(range.content)));
    input.check_unchanged()?;
    let hasher = hash_between(input.file(), stored, progress)?;
    let file = std::fs::File::open(input.file()).map_err(Error::io(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
    check_columns(path, builder.schema(), columns)?;
    let others = columns.others(builder.schema());
    let builder = if columns.is_all() {
        builder
    } else {
        let roots = builder.schema().fields().iter().enumerate();
        let roots = roots.filter(|(_, field)| columns.reads(field.name())).map(|(at, _)| at);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.collect::<Vec<_>>());
        builder.with_projection(mask)
    };
    let (first, builder) = match rows {
        None => (0, builder),
        Some([first, end]) => {
            let groups = RowGroups::of(path, builder.metadata())?.between(first, end);
            (first, builder.with_row_groups(groups))
        }
    };
    let reader = builder.with_batch_size(ROWS).build().map_err(|error| damaged(&error))?;
    let rows = send_rows(path, (caught(reader), &others), (first, start), out, progress)?;
    Progress::add(&progress.read_bytes, stored[1] - stored[0]);
    out.send_ready(Ok(Piece::End { hash: hasher.hex(), content_bytes: rows }))
}
