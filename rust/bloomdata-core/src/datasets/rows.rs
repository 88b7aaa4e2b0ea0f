//! Rows of files -> batches, from maps of the files: no HDF5 library, no system call per row, no state.
//!
//! A file that is too short when it is opened is an error. That it is not shortened afterwards is assumed by every
//! reader of maps (see [`crate::io::map`]).

use std::path::PathBuf;
use std::sync::Arc;

use crate::datasets::labels::{BatchBytes, LabelRules, MAX_TYPE, RowMaker, check_batch, narrow_types};
use crate::datasets::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::io::map::FileBytes;
use crate::token::{TokenDtype, index, signed};

/// Files that are mapped at once. Maps need no descriptors; a process may usually have 65,530 of them.
const MAX_OPEN_FILES: usize = 4096;

/// Rows of one field in a file, one after the other.
#[derive(Debug, Clone)]
pub struct Column {
    /// The file.
    pub path: PathBuf,
    /// Where the first row is.
    pub offset: u64,
    /// Type of the tokens.
    pub dtype: TokenDtype,
}

/// Rows of one file.
#[derive(Debug, Clone)]
pub struct RowFile {
    /// How many.
    pub num_rows: u64,
    /// The tokens.
    pub ids: Column,
    /// Their types; all are trained on without.
    pub types: Option<Column>,
}

/// Rows of many files, one file after the other. Files are opened when they are needed.
#[derive(Debug)]
pub struct PackedRows {
    sequence_length: usize,
    files: Vec<RowFile>,
    /// Number of rows up to the end of each file.
    ends: Vec<u64>,
    /// By column; a file with two columns is mapped twice, which costs nothing.
    open: OpenFiles<FileBytes>,
}

/// The file of the row before, by its number: no lock is taken where rows of one file follow each other.
type Held = Option<(usize, Arc<FileBytes>)>;

impl PackedRows {
    /// Describes the files; opens none.
    ///
    /// # Errors
    /// Rows without tokens, or more of them than a file can hold.
    pub fn new(sequence_length: u64, files: Vec<RowFile>) -> Result<Self> {
        if sequence_length == 0 {
            return Err(Error::config("sequence_length", "0, expected 1 or more"));
        }
        let mut end = 0_u64;
        let mut ends = Vec::with_capacity(files.len());
        for file in &files {
            for column in [Some(&file.ids), file.types.as_ref()].into_iter().flatten() {
                let bytes = (column.dtype.itemsize() as u64).checked_mul(sequence_length);
                let last = bytes.and_then(|bytes| bytes.checked_mul(file.num_rows));
                if last.and_then(|last| last.checked_add(column.offset)).is_none() {
                    return Err(Error::corrupt(
                        &column.path,
                        column.offset,
                        "more rows than a file can hold",
                    ));
                }
            }
            end = end
                .checked_add(file.num_rows)
                .ok_or_else(|| Error::config("files", "more than 2^64 rows"))?;
            ends.push(end);
        }
        let open = OpenFiles::new(2 * files.len(), MAX_OPEN_FILES);
        Ok(Self { sequence_length: index(sequence_length), files, ends, open })
    }

    /// Rows in all.
    pub fn num_rows(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Tokens of a row.
    pub const fn sequence_length(&self) -> usize {
        self.sequence_length
    }

    /// Reads `rows` into `memory`, which has [`LabelRules::batch_bytes`] for them; returns `cu_seqlens`.
    ///
    /// # Errors
    /// No such row; a file that is missing, too short, or has an invalid token type.
    pub fn read(&self, rules: &LabelRules, rows: &[u64], memory: &mut [u8]) -> Result<Vec<i32>> {
        let length = self.sequence_length;
        let num_tokens = rows.len().saturating_mul(length);
        check_batch(num_tokens)?;
        if memory.len() != rules.batch_bytes(num_tokens) {
            return Err(Error::Internal("a batch of another size".into()));
        }
        let mut out = BatchBytes::new(memory, rules);
        let mut maker = RowMaker::new(rules, length);
        let (mut ids, mut types) = (vec![0; length], vec![0; length]);
        let mut cu_seqlens = Vec::with_capacity(4 * rows.len());
        let (mut held_ids, mut held_types) = (Held::default(), Held::default());
        for (number, &row) in rows.iter().enumerate() {
            let at = self.ends.partition_point(|&end| end <= row);
            let Some(file) = self.files.get(at) else {
                return Err(Error::config("indices", format!("row {row} of {}", self.num_rows())));
            };
            let local = row + file.num_rows - self.ends[at];
            self.with_row(&mut held_ids, 2 * at, &file.ids, local, |bytes| {
                widen(bytes, file.ids.dtype, &mut ids);
            })?;
            let types = match &file.types {
                Some(column) => {
                    let kinds = |bytes: &[u8]| narrow_types(bytes, column.dtype, &mut types);
                    self.with_row(&mut held_types, 2 * at + 1, column, local, kinds)?.map_err(
                        |(token, code)| {
                            let token = local * length as u64 + token as u64;
                            let offset = column.offset + token * column.dtype.itemsize() as u64;
                            Error::corrupt(
                                &column.path,
                                offset,
                                format!("token type {code}, expected 0 to {MAX_TYPE}"),
                            )
                        },
                    )?;
                    Some(&types[..])
                }
                None => None,
            };
            maker.make(number, &ids, types, &mut out, &mut cu_seqlens);
        }
        cu_seqlens.push(signed(num_tokens));
        Ok(cu_seqlens)
    }

    /// Calls `function` with one row of a column.
    fn with_row<T>(
        &self,
        held: &mut Held,
        number: usize,
        column: &Column,
        row: u64,
        function: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let size = self.sequence_length * column.dtype.itemsize();
        let offset = column.offset + row * size as u64;
        let file = match held {
            Some((known, file)) if *known == number => file,
            _ => &mut held.insert((number, self.open.get(number, || FileBytes::map(&column.path))?)).1,
        };
        let start = index(offset);
        match file.get(start..start.saturating_add(size)) {
            Some(bytes) => Ok(function(bytes)),
            None => Err(Error::corrupt(&column.path, offset, format!("the file ends inside row {row}"))),
        }
    }
}

/// Tokens as int32.
fn widen(bytes: &[u8], dtype: TokenDtype, out: &mut [i32]) {
    match dtype {
        TokenDtype::Uint8 => out.iter_mut().zip(bytes).for_each(|(slot, &byte)| *slot = i32::from(byte)),
        TokenDtype::Uint16 => {
            let pairs = bytes.as_chunks::<2>().0;
            out.iter_mut().zip(pairs).for_each(|(slot, &pair)| *slot = i32::from(u16::from_le_bytes(pair)));
        }
        TokenDtype::Int32 => {
            let items = bytes.as_chunks::<4>().0;
            out.iter_mut().zip(items).for_each(|(slot, &item)| *slot = i32::from_le_bytes(item));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::datasets::labels::plain_rules;

    fn rules() -> LabelRules {
        LabelRules { eod_token_id: Some(0), ..plain_rules() }
    }

    /// `count` files of 2 rows of 3 tokens.
    fn files(folder: &Path, count: u16) -> PackedRows {
        let files = (0..count).map(|number| {
            let path = folder.join(format!("{number}.bin"));
            let tokens = (0..6).flat_map(|token| (number * 6 + token).to_le_bytes());
            std::fs::write(&path, tokens.collect::<Vec<u8>>()).unwrap();
            RowFile { num_rows: 2, ids: Column { path, offset: 0, dtype: TokenDtype::Uint16 }, types: None }
        });
        PackedRows::new(3, files.collect()).unwrap()
    }

    fn first_tokens(rows: &PackedRows, wanted: &[u64]) -> Vec<i32> {
        let mut memory = vec![0; rules().batch_bytes(3 * wanted.len())];
        rows.read(&rules(), wanted, &mut memory).unwrap();
        let ids = memory[..12 * wanted.len()].as_chunks::<12>().0;
        ids.iter().map(|row| i32::from_le_bytes([row[0], row[1], row[2], row[3]])).collect()
    }

    #[test]
    fn more_files_than_may_be_open_are_read_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let rows = files(folder.path(), 5_000);
        for round in 0..3 {
            let wanted: Vec<u64> = (0..10_000).map(|at| (at * 701 + round) % 10_000).collect();
            let expected: Vec<i32> = wanted.iter().map(|&row| i32::try_from(3 * row).unwrap()).collect();
            assert_eq!(first_tokens(&rows, &wanted), expected);
        }
        assert!(rows.open.count() <= MAX_OPEN_FILES);
    }

    #[test]
    fn a_short_file_is_named_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let rows = files(folder.path(), 1);
        std::fs::write(folder.path().join("0.bin"), [0; 11]).unwrap();
        let mut memory = vec![0; rules().batch_bytes(3)];
        let error = rows.read(&rules(), &[1], &mut memory).unwrap_err().to_string();
        assert!(error.contains("offset 6: the file ends inside row 1"), "{error}");
        assert!(rows.read(&rules(), &[2], &mut memory).is_err());
    }
}
