//! Rows of `sequence_length` tokens in HDF5 files: `input_ids` and `token_type_ids`, int32, `(rows, sequence_length)`.
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

/// Tokens of one field for a block of documents, as they will be stored.
#[derive(Debug, Default)]
pub struct TokenStream {
    /// Tokens in the output's type, little-endian.
    pub ids: Vec<u8>,
    /// Token types as int32, when they are asked for.
    pub types: Vec<u8>,
    /// Tokens of each kept document.
    pub lengths: Vec<u32>,
}

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

    /// A compressed file of `num_rows` rows, from raw rows: tokens at offset 0, types at `types_offset`. Made in
    /// memory: the library is not safe on a disk that gets full.
    ///
    /// # Errors
    /// What the library reports.
    fn compress(&self, raw: &Path, types_offset: u64, num_rows: u64) -> Result<Vec<u8>>;
}

/// A stretch of rows on its way into a file.
#[derive(Debug)]
pub struct RowWrite {
    file: Arc<PartFile>,
    stream: Arc<TokenStream>,
    /// Tokens of the stream.
    tokens: Range<u64>,
    input_ids_offset: u64,
    token_type_ids_offset: u64,
}

impl RowWrite {
    /// Writes it, on any thread. A failure is kept for [`PartWriter::seal`].
    pub fn run(self) {
        let bytes = index(self.tokens.start * ITEM)..index(self.tokens.end * ITEM);
        let result =
            self.file.handle.write_all_at(&self.stream.ids[bytes.clone()], self.input_ids_offset).and_then(
                |()| self.file.handle.write_all_at(&self.stream.types[bytes], self.token_type_ids_offset),
            );
        self.file.note(result.err());
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
        let raw_bytes = max_rows * row_tokens * ITEM;
        // Asked of the system before the HDF5 library is: a limit on the size of files is then told by its name.
        file.set_len(2 * raw_bytes).map_err(Error::io(&temporary))?;
        let layout = hdf5.layout(max_rows)?;
        let contiguous = layout.is_some();
        let layout = layout.unwrap_or(Layout {
            token_type_ids_offset: raw_bytes,
            file_bytes: 2 * raw_bytes,
            ..Layout::default()
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

    /// Plans the next tokens of the file: `tokens` of `stream`. The write may run on any thread.
    pub fn append(&mut self, stream: &Arc<TokenStream>, tokens: Range<u64>) -> RowWrite {
        let at = self.tokens * ITEM;
        self.tokens += tokens.end - tokens.start;
        if let Ok(mut writes) = self.file.writes.lock() {
            writes.pending += 1;
        }
        RowWrite {
            file: Arc::clone(&self.file),
            stream: Arc::clone(stream),
            tokens,
            input_ids_offset: self.layout.input_ids_offset + at,
            token_type_ids_offset: self.layout.token_type_ids_offset + at,
        }
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
            Some((self.layout.input_ids_offset, self.layout.token_type_ids_offset))
        } else {
            let raw = self.temporary.clone();
            self.temporary = temporary_path(&temporary_path(&self.path));
            let image = hdf5.compress(&raw, self.layout.token_type_ids_offset, num_rows)?;
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

/// Writes what surrounds the rows. A file with fewer rows than planned has its types moved up to the tokens.
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
    move_bytes(file, planned.input_ids_offset, layout.input_ids_offset, bytes)
        .and_then(|()| move_bytes(file, planned.token_type_ids_offset, layout.token_type_ids_offset, bytes))
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
