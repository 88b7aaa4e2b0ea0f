//! `.sig`: what is known of the documents of one input, as columns of fixed width.
//!
//! ```text
//! header: 4,096 bytes   "BLOOMSIG", version, length of the JSON that follows, JSON, zeros
//! columns               in the order of the header, each `documents` entries of its width
//! offsets               of bad records, 8 bytes each
//! ```
//!
//! All numbers are little-endian. The file gets its name when it is whole.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::io::atomic::{rename_durably, temporary_path};
use crate::ledger::Ledger;
use crate::pipeline::folder::books::Snapshot;
use crate::pipeline::folder::manifest::InputEntry;
use crate::token::index;

const MAGIC: &[u8; 8] = b"BLOOMSIG";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 4096;
/// Suffixes of finished files, and of their columns while they are written.
pub const SIGNATURE_SUFFIXES: [&str; 4] = [".sig", ".column-1", ".column-2", ".column-3"];
/// Bytes copied at once when columns are joined.
const COPY_BYTES: usize = 1 << 20;

/// What a column holds; its width follows from the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// The slots of the signature.
    Signature,
    /// Key of the sequence of units: 16 bytes, all zero for a document without units.
    Units,
    /// Key of the normalised text: 16 bytes.
    Exact,
    /// Line (from 1), offset, and bytes of the record: 24 bytes.
    Position,
}

/// The header's JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// Options that the columns depend on.
    pub config: Value,
    /// Documents.
    pub documents: u64,
    /// Columns and their widths in bytes.
    pub columns: Vec<(Column, u64)>,
    /// The input as it was read; its path is not part of it.
    pub input: Option<InputEntry>,
    /// The ledger before this input.
    pub before: Ledger,
    /// The books behind it.
    pub books: Snapshot,
    /// Bad records.
    pub bad: u64,
}

impl Header {
    /// As the first bytes of a file.
    fn to_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self).map_err(|error| Error::Internal(error.to_string()))?;
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(crate::token::narrow(json.len()).to_le_bytes());
        header.extend(json);
        if header.len() as u64 > HEADER_BYTES {
            return Err(Error::Internal(format!("{}: a header of {} bytes", path.display(), header.len())));
        }
        header.resize(index(HEADER_BYTES), 0);
        Ok(header)
    }
}

/// What the header says beside what the writer knows.
#[derive(Debug)]
pub struct Origin {
    /// Options that the columns depend on.
    pub config: Value,
    /// The input.
    pub input: Option<InputEntry>,
    /// The ledger before it.
    pub before: Ledger,
    /// The books behind it.
    pub books: Snapshot,
}

/// Writes a `.sig`: the first column in place, each other one in a file of its own until the end.
#[derive(Debug)]
pub struct SignatureWriter {
    path: PathBuf,
    columns: Vec<(Column, u64)>,
    files: Vec<(PathBuf, BufWriter<File>)>,
    documents: u64,
    bad: Vec<u64>,
}

impl SignatureWriter {
    /// Starts a file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn create(path: &Path, columns: &[(Column, u64)]) -> Result<Self> {
        let mut files = Vec::new();
        for at in 0..columns.len() {
            let name = if at == 0 { path.to_owned() } else { path.with_extension(format!("column-{at}")) };
            let name = temporary_path(&name);
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(true).open(&name);
            files.push((name.clone(), BufWriter::with_capacity(1 << 18, file.map_err(Error::io(&name))?)));
        }
        if let Some((name, file)) = files.first_mut() {
            file.seek(SeekFrom::Start(HEADER_BYTES)).map_err(Error::io(name))?;
        }
        Ok(Self { path: path.to_owned(), columns: columns.to_vec(), files, documents: 0, bad: Vec::new() })
    }

    /// Appends documents: their entries of each column, in order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn append(&mut self, documents: u64, entries: &[Vec<u8>]) -> Result<()> {
        for ((name, file), entries) in self.files.iter_mut().zip(entries) {
            file.write_all(entries).map_err(Error::io(name))?;
        }
        self.documents += documents;
        Ok(())
    }

    /// Notes the offsets of bad records.
    pub fn note_bad(&mut self, offsets: &[u64]) {
        self.bad.extend_from_slice(offsets);
    }

    /// Joins the columns, and gives the file its name.
    ///
    /// # Errors
    /// The system's reason.
    pub fn seal(self, origin: Origin) -> Result<()> {
        let Self { path, columns, files, documents, bad } = self;
        let mut files = files.into_iter();
        let Some((name, mut file)) = files.next() else { return Ok(()) };
        for (part, part_file) in files {
            let mut part_file =
                part_file.into_inner().map_err(|error| Error::io(&part)(error.into_error()))?;
            part_file.seek(SeekFrom::Start(0)).map_err(Error::io(&part))?;
            let mut buffer = vec![0; COPY_BYTES];
            loop {
                let count = part_file.read(&mut buffer).map_err(Error::io(&part))?;
                if count == 0 {
                    break;
                }
                file.write_all(&buffer[..count]).map_err(Error::io(&name))?;
            }
            std::fs::remove_file(&part).map_err(Error::io(&part))?;
        }
        for offset in &bad {
            file.write_all(&offset.to_le_bytes()).map_err(Error::io(&name))?;
        }
        let Origin { config, input, before, books } = origin;
        let bad = bad.len() as u64;
        let header = Header { config, documents, columns, input, before, books, bad }.to_bytes(&path)?;
        let mut file = file.into_inner().map_err(|error| Error::io(&name)(error.into_error()))?;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&header))
            .and_then(|()| file.sync_all())
            .map_err(Error::io(&name))?;
        rename_durably(&name, &path)
    }
}

/// An open `.sig`.
#[derive(Debug)]
pub struct SignatureFile {
    path: PathBuf,
    file: File,
    /// What it says of itself.
    pub header: Header,
}

impl SignatureFile {
    /// Opens a file, and checks that it is whole.
    ///
    /// # Errors
    /// A file that is something else, or is cut.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        let mut bytes = vec![0; index(HEADER_BYTES)];
        if size < HEADER_BYTES {
            return Err(Error::corrupt(path, size, format!("expected {HEADER_BYTES} bytes of header")));
        }
        file.read_exact_at(&mut bytes, 0).map_err(Error::io(path))?;
        let number = |at: usize| bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        if &bytes[..8] != MAGIC {
            return Err(Error::corrupt(path, 0, "expected a file of signatures (it begins with BLOOMSIG)"));
        }
        if number(8) != VERSION {
            return Err(Error::mismatch(format!("{}: version", path.display()), VERSION, number(8)));
        }
        let json = bytes.get(16..16 + number(12) as usize).unwrap_or_default();
        let header: Header =
            serde_json::from_slice(json).map_err(|error| Error::corrupt(path, 16, error.to_string()))?;
        let mut widths = header.columns.iter().map(|(_, width)| *width);
        let width = widths.try_fold(0_u64, u64::checked_add);
        let columns = width.and_then(|width| header.documents.checked_mul(width));
        let rest = header.bad.checked_mul(8).and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        let expected = columns.zip(rest).and_then(|(columns, rest)| columns.checked_add(rest));
        if expected != Some(size) {
            let what = format!("{}: size in bytes", path.display());
            return Err(Error::mismatch(what, expected.unwrap_or(u64::MAX), size));
        }
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// Where a column starts, and its width.
    fn column(&self, column: Column) -> Result<(u64, u64)> {
        let mut start = HEADER_BYTES;
        for &(name, width) in &self.header.columns {
            if name == column {
                return Ok((start, width));
            }
            start += width * self.header.documents;
        }
        Err(Error::corrupt(&self.path, 0, format!("no column {column:?}")))
    }

    /// The offsets of bad records, in order.
    ///
    /// # Errors
    /// The system's reason.
    pub fn bad(&self) -> Result<Vec<u64>> {
        let width: u64 = self.header.columns.iter().map(|(_, width)| width).sum();
        let mut bytes = vec![0; index(8 * self.header.bad)];
        let start = HEADER_BYTES + width * self.header.documents;
        self.file.read_exact_at(&mut bytes, start).map_err(Error::io(&self.path))?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    /// Copies the file to `path` with other books in its header.
    ///
    /// # Errors
    /// The system's reason.
    pub fn copy_to(&self, path: &Path, before: Ledger, books: Snapshot) -> Result<()> {
        let temporary = temporary_path(path);
        std::fs::copy(&self.path, &temporary).map_err(Error::io(&temporary))?;
        let header = Header { before, books, ..self.header.clone() }.to_bytes(path)?;
        let file = File::options().write(true).open(&temporary).map_err(Error::io(&temporary))?;
        file.write_all_at(&header, 0).and_then(|()| file.sync_all()).map_err(Error::io(&temporary))?;
        rename_durably(&temporary, path)
    }

    /// The entries of some documents in a row, in place of what `out` holds.
    ///
    /// # Errors
    /// A column that is not there; the system's reason.
    pub fn read(&self, column: Column, first: u64, count: u64, out: &mut Vec<u8>) -> Result<()> {
        let (start, width) = self.column(column)?;
        out.resize(index(width * count), 0);
        self.file.read_exact_at(out, start + width * first).map_err(Error::io(&self.path))
    }
}
