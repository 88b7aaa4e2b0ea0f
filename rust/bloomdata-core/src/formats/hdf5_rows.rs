//! Rows of `sequence_length` tokens in HDF5 files: `input_ids`, `token_type_ids` and, with categories, `category_ids`,
//! each int32, `(rows, sequence_length)`.
//!
//! An HDF5 library describes a file of a given number of rows (see [`Hdf5Files`]); the rows themselves are written
//! here, straight to where the datasets lie. A contiguous file can be mapped by readers that know the two offsets, so
//! training needs no HDF5 library. A gzip-compressed file is made by the library from the raw rows.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use crate::error::{Error, Result};
use crate::hash::hash_file;
use crate::io::atomic::{Sealed, remove_if_present, rename_durably, temporary_path};
use crate::progress::Progress;
use crate::token::index;

/// Bytes of an int32.
const ITEM: u64 = 4;

/// A piece that is written by itself; shorter ones are gathered first.
const DIRECT_BYTES: usize = 1 << 16;
/// Bytes of gathered pieces that are written at once.
const GATHERED_BYTES: usize = 1 << 20;

/// Tokens of one field for a block of records, as they will be stored.
#[derive(Debug, Default)]
pub struct TokenStream {
    /// Tokens in the output's type, little-endian.
    pub ids: Vec<u8>,
    /// Token types as int32, when they are asked for.
    pub types: Vec<u8>,
    /// Categories as int32, when they are asked for.
    pub categories: Vec<u8>,
    /// Tokens of each article.
    pub lengths: Vec<u32>,
    /// Tokens of each sequence of the articles, where they have several.
    pub sequences: Vec<u32>,
    /// Sequences of each article, where they have several.
    pub num_sequences: Vec<u32>,
}

/// A stretch of a stream's tokens.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The stream.
    pub stream: Arc<TokenStream>,
    /// Tokens of it.
    pub tokens: Range<u64>,
}

/// Where everything is in a file of a given number of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// All bytes of the file that belong to no dataset, each run with its offset.
    pub segments: Vec<(u64, Vec<u8>)>,
    /// Offsets of the first row in `input_ids`, `token_type_ids` and, with categories, `category_ids`.
    pub offsets: Vec<u64>,
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

    /// A compressed file of `num_rows` rows, from a file of raw rows with a dataset at each of `offsets`. Made in
    /// memory: the library is not safe on a disk that gets full.
    ///
    /// # Errors
    /// What the library reports.
    fn compress(&self, raw: &Path, offsets: &[u64], num_rows: u64) -> Result<Vec<u8>>;

    /// Datasets in a file.
    fn num_columns(&self) -> u64;
}

/// Rows on their way into a file.
#[derive(Debug)]
pub struct RowWrite {
    file: Arc<PartFile>,
    pieces: Vec<Piece>,
    /// Where they go in each column.
    offsets: Vec<u64>,
}

impl RowWrite {
    /// Writes it, on any thread. A failure is kept for [`PartWriter::seal`].
    pub fn run(self) {
        let columns: [fn(&TokenStream) -> &[u8]; 3] =
            [|stream| &stream.ids, |stream| &stream.types, |stream| &stream.categories];
        let results = self.offsets.iter().zip(columns).map(|(&offset, column)| self.write(offset, column));
        let failure = results.into_iter().find_map(std::io::Result::err);
        self.file.note(failure);
    }

    fn write(&self, mut offset: u64, column: fn(&TokenStream) -> &[u8]) -> std::io::Result<()> {
        let mut gathered: Vec<u8> = Vec::new();
        let mut write = |bytes: &[u8]| {
            let at = offset;
            offset += bytes.len() as u64;
            self.file.handle.write_all_at(bytes, at)
        };
        for Piece { stream, tokens } in &self.pieces {
            let bytes = &column(stream)[index(tokens.start * ITEM)..index(tokens.end * ITEM)];
            if bytes.len() >= DIRECT_BYTES || gathered.len() + bytes.len() > GATHERED_BYTES {
                write(&gathered)?;
                gathered.clear();
            }
            if bytes.len() >= DIRECT_BYTES {
                write(bytes)?;
            } else {
                gathered.extend_from_slice(bytes);
            }
        }
        write(&gathered)
    }
}

/// An open file, with the writes that are under way.
#[derive(Debug)]
struct PartFile {
    handle: File,
    writes: Mutex<Writes>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Writes {
    pending: usize,
    failure: Option<std::io::Error>,
}

impl PartFile {
    /// Takes note of a finished write.
    fn note(&self, failure: Option<std::io::Error>) {
        if let Ok(mut writes) = self.writes.lock() {
            writes.pending -= 1;
            writes.failure = writes.failure.take().or(failure);
        }
        self.bell.notify_all();
    }

    /// Waits for all writes; the first failure, if any.
    fn wait(&self) -> Result<Option<std::io::Error>> {
        let poisoned = || Error::Internal("a writer thread panicked".into());
        let mut writes = self.writes.lock().map_err(|_| poisoned())?;
        while writes.pending > 0 {
            writes = self.bell.wait(writes).map_err(|_| poisoned())?;
        }
        Ok(writes.failure.take())
    }
}

/// One file being written.
#[derive(Debug)]
pub struct PartWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<PartFile>,
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
    /// Offsets of the datasets; `None` when compressed.
    pub offsets: Option<Vec<u64>>,
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
        let raw_bytes = max_rows * row_tokens * ITEM;
        // Asked of the system before the HDF5 library is: a limit on the size of files is then told by its name.
        file.set_len(hdf5.num_columns() * raw_bytes).map_err(Error::io(&temporary))?;
        let layout = hdf5.layout(max_rows)?;
        let contiguous = layout.is_some();
        let layout = layout.unwrap_or(Layout {
            offsets: (0..hdf5.num_columns()).map(|column| column * raw_bytes).collect(),
            file_bytes: hdf5.num_columns() * raw_bytes,
            segments: Vec::new(),
        });
        let file = Arc::new(PartFile { handle: file, writes: Mutex::default(), bell: Condvar::new() });
        Ok(Self { path: path.to_owned(), temporary, file, layout, contiguous, row_tokens, tokens: 0 })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tokens written so far.
    pub fn num_tokens(&self) -> u64 {
        self.tokens
    }

    /// Plans the next rows of the file: `tokens` tokens in `pieces`. The write may run on any thread.
    pub fn append(&mut self, pieces: Vec<Piece>, tokens: u64) -> RowWrite {
        let at = self.tokens * ITEM;
        self.tokens += tokens;
        if let Ok(mut writes) = self.file.writes.lock() {
            writes.pending += 1;
        }
        let offsets = self.layout.offsets.iter().map(|offset| offset + at).collect();
        RowWrite { file: Arc::clone(&self.file), pieces, offsets }
    }

    /// Seals the file with the rows that it has, which must be whole.
    ///
    /// # Errors
    /// The system's or the HDF5 library's reason.
    pub fn seal(mut self, hdf5: &dyn Hdf5Files, progress: &Progress) -> Result<SealedPart> {
        let num_rows = self.tokens / self.row_tokens;
        if !self.tokens.is_multiple_of(self.row_tokens) {
            return Err(Error::Internal("a file would end inside a row".into()));
        }
        if let Some(error) = self.file.wait()? {
            return Err(Error::io(&self.temporary)(error));
        }
        let offsets = if self.contiguous {
            describe(&self.file.handle, &self.temporary, &mut self.layout, hdf5, num_rows, self.row_tokens)?;
            Some(self.layout.offsets.clone())
        } else {
            let raw = self.temporary.clone();
            self.temporary = temporary_path(&temporary_path(&self.path));
            let image = hdf5.compress(&raw, &self.layout.offsets, num_rows)?;
            std::fs::write(&self.temporary, image).map_err(Error::io(&self.temporary))?;
            remove_if_present(&raw)?;
            None
        };
        let (size, hasher) = hash_file(&self.temporary, None, progress)?;
        let synced = File::open(&self.temporary).and_then(|file| file.sync_all());
        synced.map_err(Error::io(&self.temporary))?;
        rename_durably(&self.temporary, &self.path)?;
        Ok(SealedPart { path: self.path, sealed: Sealed { size, hash: hasher.hex() }, num_rows, offsets })
    }
}

/// Writes what surrounds the rows. In a file with fewer rows than planned the datasets move together.
fn describe(
    file: &File,
    path: &Path,
    planned: &mut Layout,
    hdf5: &dyn Hdf5Files,
    num_rows: u64,
    row_tokens: u64,
) -> Result<()> {
    let layout = hdf5.layout(num_rows)?.unwrap_or_default();
    let bytes = num_rows * row_tokens * ITEM;
    let mut moves = planned.offsets.iter().zip(&layout.offsets);
    moves
        .try_for_each(|(&from, &to)| move_bytes(file, from, to, bytes))
        .and_then(|()| {
            layout.segments.iter().try_for_each(|(offset, segment)| file.write_all_at(segment, *offset))
        })
        .and_then(|()| file.set_len(layout.file_bytes))
        .map_err(Error::io(path))?;
    *planned = layout;
    Ok(())
}

/// Moves bytes towards the start of a file.
fn move_bytes(file: &File, from: u64, to: u64, count: u64) -> std::io::Result<()> {
    if from == to {
        return Ok(());
    }
    if to > from {
        return Err(std::io::Error::other("a shorter HDF5 file has its rows further back"));
    }
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    while done < count {
        let part = &mut buffer[..index((count - done).min(1 << 20))];
        file.read_exact_at(part, from + done)?;
        file.write_all_at(part, to + done)?;
        done += part.len() as u64;
    }
    Ok(())
}
