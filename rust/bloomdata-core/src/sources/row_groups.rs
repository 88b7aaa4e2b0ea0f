//! Row groups of a Parquet file: where it can be cut.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use crate::error::{Error, Result};
use crate::token;

/// What a file ends with, behind the length of its footer.
const MAGIC: &[u8] = b"PAR1";
/// That length, and the mark.
const MARK_BYTES: usize = 4 + MAGIC.len();

/// A row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowGroup {
    /// Where it starts in the file.
    pub(super) start: u64,
    /// Where it ends there.
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
    /// Those that the footer of a file of `size` bytes names. `end` is its end, with all of the footer, for an object in
    /// a store.
    ///
    /// # Errors
    /// A damaged file.
    pub(super) fn read(path: &Path, size: u64, end: Option<&[u8]>) -> Result<Self> {
        let damaged = |reason: String| Error::corrupt(path, size, format!("Parquet: {reason}"));
        let read = |length: usize| {
            if let Some(end) = end {
                return Ok(end[end.len().saturating_sub(length)..].to_vec());
            }
            let file = File::open(path).map_err(Error::io(path))?;
            let length = size.min(length as u64);
            let mut bytes = vec![0; token::index(length)];
            file.read_exact_at(&mut bytes, size - length).map_err(Error::io(path))?;
            Ok(bytes)
        };
        let mark = read(MARK_BYTES)?;
        let Some((length, MAGIC)) = mark.split_first_chunk::<4>() else {
            return Err(damaged("expected PAR1 at the end of the file, found none".into()));
        };
        let length = u64::from(u32::from_le_bytes(*length)) + MARK_BYTES as u64;
        let footer = if length <= size { read(token::index(length))? } else { Vec::new() };
        if footer.len() as u64 != length {
            return Err(damaged(format!("expected a footer of {length} bytes, the file has {size}")));
        }
        let metadata = ParquetMetaDataReader::decode_metadata(&footer[..footer.len() - MARK_BYTES])
            .map_err(|error| damaged(error.to_string()))?;
        let groups = Self::of(path, &metadata)?;
        match groups.0.iter().find(|group| group.end > size - length) {
            Some(group) => {
                Err(damaged(format!("a row group ends at {}, after its footer starts", group.end)))
            }
            None => Ok(groups),
        }
    }

    /// Those of a footer.
    ///
    /// # Errors
    /// Offsets that cannot be.
    pub(super) fn of(path: &Path, metadata: &ParquetMetaData) -> Result<Self> {
        let group = |group: &RowGroupMetaData| {
            let unsigned = |value: i64| u64::try_from(value).ok();
            let (mut start, mut end) = (u64::MAX, 0);
            for column in group.columns() {
                let first = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
                let first = unsigned(first)?;
                start = start.min(first);
                end = end.max(first.checked_add(unsigned(column.compressed_size())?)?);
            }
            let (rows, bytes) = (unsigned(group.num_rows())?, unsigned(group.total_byte_size())?);
            Some(RowGroup { start: start.min(end), end, rows, bytes })
        };
        let groups: Option<Vec<RowGroup>> = metadata.row_groups().iter().map(group).collect();
        let damaged = || Error::corrupt(path, 0, "Parquet: a row group of a negative offset or length");
        groups.map(Self).ok_or_else(damaged)
    }

    /// Whether each lies behind the one before it, so that the file can be cut between them.
    pub(super) fn are_in_order(&self) -> bool {
        self.0.windows(2).all(|pair| pair[0].end <= pair[1].start)
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
