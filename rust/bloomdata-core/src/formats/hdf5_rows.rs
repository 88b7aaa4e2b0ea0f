//! Rows of `sequence_length` tokens in HDF5 files: `input_ids` and `token_type_ids`, int32, (rows, sequence_length).
//!
//! An HDF5 library describes a file of a given number of rows (see [`Hdf5Files`]); the rows themselves are written
//! here, straight to where the datasets lie. A contiguous file can be mapped by readers that know the two offsets, so
//! training needs no HDF5 library. A gzip-compressed file is made by the library from the raw rows.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::hash::hash_file;
use crate::io::atomic::{Sealed, remove_if_present, rename_durably, temporary_path};
use crate::progress::Progress;
use crate::token::index;

/// Bytes of an int32.
const ITEM: u64 = 4;

/// Where everything is in a file of a given number of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// All bytes of the file that belong to no dataset, each run with its offset.
    pub segments: Vec<(u64, Vec<u8>)>,
    /// Offset of the first row's tokens.
    pub input_ids_offset: u64,
    /// Offset of the first row's token types.
    pub token_type_ids_offset: u64,
    /// Size of the file.
    pub file_bytes: u64,
}

/// The HDF5 library, as the embedding language has it.
pub trait Hdf5Files: Send + Sync {
    /// Describes a contiguous file of `num_rows` rows; `None` when files are compressed.
    ///
    /// # Errors
    /// What the library reports.
    fn layout(&self, num_rows: u64) -> Result<Option<Layout>>;

    /// Writes a compressed file of `num_rows` rows from raw rows: tokens at offset 0, types at `types_offset`.
    ///
    /// # Errors
    /// What the library reports.
    fn compress(&self, raw: &Path, types_offset: u64, num_rows: u64, output: &Path) -> Result<()>;
}

/// One file being written.
#[derive(Debug)]
pub struct PartWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    layout: Layout,
    contiguous: bool,
    row_tokens: u64,
    tokens: u64,
}

/// A sealed file.
#[derive(Debug, Clone)]
pub struct SealedPart {
    /// Its name.
    pub path: PathBuf,
    /// Size and hash.
    pub sealed: Sealed,
    /// Rows.
    pub num_rows: u64,
    /// Offsets of `input_ids` and `token_type_ids`; `None` when compressed.
    pub offsets: Option<(u64, u64)>,
}

impl PartWriter {
    /// Starts `path`, to hold up to `max_rows` rows of `row_tokens` tokens.
    ///
    /// # Errors
    /// The system's or the HDF5 library's reason.
    pub fn create(path: &Path, hdf5: &dyn Hdf5Files, max_rows: u64, row_tokens: u64) -> Result<Self> {
        let temporary = temporary_path(path);
        let file = OpenOptions::new()
            .write(true)
            .read(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(Error::io(&temporary))?;
        let layout = hdf5.layout(max_rows)?;
        let contiguous = layout.is_some();
        let raw_bytes = max_rows * row_tokens * ITEM;
        let layout = layout.unwrap_or(Layout {
            token_type_ids_offset: raw_bytes,
            file_bytes: 2 * raw_bytes,
            ..Layout::default()
        });
        Ok(Self { path: path.to_owned(), temporary, file, layout, contiguous, row_tokens, tokens: 0 })
    }

    /// Tokens written so far.
    pub fn num_tokens(&self) -> u64 {
        self.tokens
    }

    /// Appends tokens and their types, both as little-endian int32.
    ///
    /// # Errors
    /// The system's reason.
    pub fn append(&mut self, ids: &[u8], types: &[u8]) -> Result<()> {
        let at = self.tokens * ITEM;
        self.file
            .write_all_at(ids, self.layout.input_ids_offset + at)
            .and_then(|()| self.file.write_all_at(types, self.layout.token_type_ids_offset + at))
            .map_err(Error::io(&self.temporary))?;
        self.tokens += ids.len() as u64 / ITEM;
        Ok(())
    }

    /// Seals the file with the rows that it has, which must be whole.
    ///
    /// # Errors
    /// The system's or the HDF5 library's reason.
    pub fn seal(mut self, hdf5: &dyn Hdf5Files, progress: &Progress) -> Result<SealedPart> {
        let num_rows = self.tokens / self.row_tokens;
        if self.tokens % self.row_tokens != 0 {
            return Err(Error::Internal("a file would end inside a row".into()));
        }
        let offsets = if self.contiguous {
            self.describe(hdf5, num_rows)?;
            Some((self.layout.input_ids_offset, self.layout.token_type_ids_offset))
        } else {
            let raw = self.temporary.clone();
            self.temporary = temporary_path(&temporary_path(&self.path));
            hdf5.compress(&raw, self.layout.token_type_ids_offset, num_rows, &self.temporary)?;
            self.file = File::open(&self.temporary).map_err(Error::io(&self.temporary))?;
            remove_if_present(&raw)?;
            None
        };
        let (size, hasher) = hash_file(&self.temporary, None, progress)?;
        self.file.sync_all().map_err(Error::io(&self.temporary))?;
        rename_durably(&self.temporary, &self.path)?;
        Ok(SealedPart { path: self.path, sealed: Sealed { size, hash: hasher.hex() }, num_rows, offsets })
    }

    /// Writes what surrounds the rows. A file with fewer rows than planned has its types moved up to the tokens.
    fn describe(&mut self, hdf5: &dyn Hdf5Files, num_rows: u64) -> Result<()> {
        let layout = hdf5.layout(num_rows)?.unwrap_or_default();
        let bytes = num_rows * self.row_tokens * ITEM;
        self.move_bytes(self.layout.input_ids_offset, layout.input_ids_offset, bytes)?;
        self.move_bytes(self.layout.token_type_ids_offset, layout.token_type_ids_offset, bytes)?;
        for (offset, segment) in &layout.segments {
            self.file.write_all_at(segment, *offset).map_err(Error::io(&self.temporary))?;
        }
        self.file.set_len(layout.file_bytes).map_err(Error::io(&self.temporary))?;
        self.layout = layout;
        Ok(())
    }

    fn move_bytes(&self, from: u64, to: u64, count: u64) -> Result<()> {
        if from == to {
            return Ok(());
        }
        if to > from {
            return Err(Error::Internal("a shorter HDF5 file has its rows further back".into()));
        }
        let mut buffer = vec![0; 1 << 20];
        let mut done = 0;
        while done < count {
            let part = &mut buffer[..index((count - done).min(1 << 20))];
            self.file
                .read_exact_at(part, from + done)
                .and_then(|()| self.file.write_all_at(part, to + done))
                .map_err(Error::io(&self.temporary))?;
            done += part.len() as u64;
        }
        Ok(())
    }
}
