//! Row groups of a Parquet file: where it can be cut.

use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;

use crate::error::{Error, Result};

/// A row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowGroup {
    /// Where it ends in the file.
    pub(super) end: u64,
    /// Its rows.
    pub(super) rows: u64,
    /// Its values in bytes, decompressed.
    pub(super) bytes: u64,
}

/// All of a file, in order.
#[derive(Debug)]
pub(super) struct RowGroups(pub(super) Vec<RowGroup>);

impl RowGroups {
    /// Those that the end of a file names.
    ///
    /// # Errors
    /// A damaged file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| Error::corrupt(path, 0, format!("Parquet: {error}")))?;
        Ok(Self::of(builder.metadata()))
    }

    pub(super) fn of(metadata: &ParquetMetaData) -> Self {
        let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
        let mut end = 0;
        let group = |group: &parquet::file::metadata::RowGroupMetaData| {
            for column in group.columns() {
                let (start, length) = column.byte_range();
                end = end.max(start + length);
            }
            RowGroup { end, rows: unsigned(group.num_rows()), bytes: unsigned(group.total_byte_size()) }
        };
        Self(metadata.row_groups().iter().map(group).collect())
    }

    /// The numbers of those from row `first` up to row `end`.
    pub(super) fn between(&self, first: u64, end: u64) -> Vec<usize> {
        let mut row = 0;
        let mut found = Vec::new();
        for (number, group) in self.0.iter().enumerate() {
            if (first..end).contains(&row) && group.rows > 0 {
                found.push(number);
            }
            row += group.rows;
        }
        found
    }
}
