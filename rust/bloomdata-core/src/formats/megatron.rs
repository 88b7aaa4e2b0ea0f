//! Megatron's indexed dataset: `.bin` holds tokens, `.idx` says where each document is.
//!
//! Origin: `megatron/core/datasets/indexed_dataset.py` of Megatron-core 0.16. All integers little-endian:
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 9 | `MMIDIDX\0\0` |
//! | 9 | 8 | version, 1 |
//! | 17 | 1 | code of the token type |
//! | 18 | 8 | number of sequences S |
//! | 26 | 8 | length D of the document index |
//! | 34 | 4 S | tokens of each sequence, int32 |
//! | 34 + 4 S | 8 S | byte offset of each sequence in `.bin`, int64 |
//! | 34 + 12 S | 8 D | document index, int64: 0, then the first sequence behind each document |
//!
//! Lengths wait in a spool file while `.bin` grows, so memory does not depend on the number of documents.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::atomic::{AtomicFile, Sealed, temporary_path};
use crate::token::{TokenDtype, index};

const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
const VERSION: u64 = 1;
/// Bytes before the lengths.
pub const HEADER_BYTES: u64 = 34;
/// Spooled length of a document without any sequence.
const NO_SEQUENCE: u32 = u32::MAX;
/// Added to the spooled length of a sequence that continues its document: lengths have 31 bits.
const CONTINUES: u32 = 1 << 31;

/// How far a writer has come; enough to resume after a kill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MegatronState {
    /// Bytes of `.bin`.
    pub bin_bytes: u64,
    /// Bytes of the spool.
    pub spool_bytes: u64,
}

/// Writes `<prefix>.bin` and `<prefix>.idx`.
#[derive(Debug)]
pub struct MegatronWriter {
    prefix: PathBuf,
    dtype: TokenDtype,
    bin: AtomicFile,
    spool: AtomicFile,
    buffer: Vec<u8>,
}

/// Suffix of the lengths of all documents, which only ever have a temporary name.
pub const LENGTHS_SUFFIX: &str = ".lengths";

/// A path with `suffix` appended to its whole name (`with_extension` would cut at a dot of the name).
pub fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl MegatronWriter {
    /// Starts the pair anew, or resumes from `state`.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open(prefix: &Path, dtype: TokenDtype, state: Option<MegatronState>) -> Result<Self> {
        let (bin_path, spool_path) = (with_suffix(prefix, ".bin"), with_suffix(prefix, LENGTHS_SUFFIX));
        let (bin, spool) = match state {
            None => (AtomicFile::create(&bin_path)?, AtomicFile::create(&spool_path)?),
            Some(state) => (
                AtomicFile::resume(&bin_path, state.bin_bytes)?,
                AtomicFile::resume(&spool_path, state.spool_bytes)?,
            ),
        };
        Ok(Self { prefix: prefix.to_owned(), dtype, bin, spool, buffer: Vec::new() })
    }

    /// Appends documents of one sequence each: their tokens, already in `dtype`, and each one's length in tokens.
    /// A length of zero makes a document without a sequence, as Megatron's builder does for empty text.
    ///
    /// # Errors
    /// A document over 2^31 tokens, or the system's reason.
    pub fn append(&mut self, tokens: &[u8], lengths: &[u32]) -> Result<()> {
        lengths.iter().try_for_each(|&length| self.spool_length(length, 0))?;
        self.write(tokens)
    }

    /// Appends documents of any number of sequences: their tokens, the length of each sequence, which is not zero, and how
    /// many sequences each document has.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_documents(&mut self, tokens: &[u8], lengths: &[u32], num_sequences: &[u32]) -> Result<()> {
        let mut rest = lengths;
        for &count in num_sequences {
            let Some((own, behind)) = rest.split_at_checked(count as usize) else {
                return Err(Error::Internal("documents of more sequences than there are".into()));
            };
            rest = behind;
            match own {
                [] => self.spool_length(0, 0)?,
                [first, others @ ..] => {
                    self.spool_length(*first, 0)?;
                    others.iter().try_for_each(|&length| self.spool_length(length, CONTINUES))?;
                }
            }
        }
        self.write(tokens)
    }

    fn spool_length(&mut self, length: u32, flag: u32) -> Result<()> {
        // With the flag, the greatest length would be that of no sequence.
        if length > i32::MAX.cast_unsigned() || (length | flag) == NO_SEQUENCE {
            return Err(Error::config(
                "inputs",
                "a document has over 2^31 tokens, more than the format holds",
            ));
        }
        let spooled = if length == 0 { NO_SEQUENCE } else { length | flag };
        self.buffer.extend(spooled.to_le_bytes());
        Ok(())
    }

    fn write(&mut self, tokens: &[u8]) -> Result<()> {
        if self.buffer.len() >= 1 << 16 {
            self.spool.write(&self.buffer)?;
            self.buffer.clear();
        }
        self.bin.write(tokens)
    }

    /// Type of the tokens.
    pub fn dtype(&self) -> TokenDtype {
        self.dtype
    }

    /// Tokens written so far.
    pub fn num_tokens(&self) -> u64 {
        self.bin.size() / self.dtype.itemsize() as u64
    }

    /// Makes everything so far survive a crash, and says how far that is.
    ///
    /// # Errors
    /// The system's reason.
    pub fn checkpoint(&mut self) -> Result<MegatronState> {
        self.spool.write(&self.buffer)?;
        self.buffer.clear();
        self.bin.sync()?;
        self.spool.sync()?;
        Ok(MegatronState { bin_bytes: self.bin.size(), spool_bytes: self.spool.size() })
    }

    /// Writes the index and seals both files.
    ///
    /// # Errors
    /// The system's reason.
    pub fn finish(mut self) -> Result<MegatronPair> {
        self.spool.write(&self.buffer)?;
        let spool_path = temporary_path(self.spool.path());
        let bin = self.bin.seal()?;
        let mut idx = IndexWriter::create(&with_suffix(&self.prefix, ".idx"))?;
        let lengths = || -> Result<SpoolReader> { SpoolReader::open(&spool_path) };
        let (mut num_documents, mut num_sequences) = (0_u64, 0_u64);
        for spooled in lengths()? {
            let Spooled { length, starts_document } = spooled?;
            num_documents += u64::from(starts_document);
            num_sequences += u64::from(length.is_some());
        }
        idx.header(self.dtype, num_sequences, num_documents + 1)?;
        for spooled in lengths()? {
            if let Some(length) = spooled?.length {
                idx.put(&length.to_le_bytes())?;
            }
        }
        let mut pointer = 0_u64;
        for spooled in lengths()? {
            if let Some(length) = spooled?.length {
                idx.put(&pointer.to_le_bytes())?;
                pointer += u64::from(length) * self.dtype.itemsize() as u64;
            }
        }
        let mut sequence = 0_u64;
        for spooled in lengths()? {
            let Spooled { length, starts_document } = spooled?;
            if starts_document {
                idx.put(&sequence.to_le_bytes())?;
            }
            sequence += u64::from(length.is_some());
        }
        idx.put(&sequence.to_le_bytes())?;
        if pointer != bin.size {
            return Err(Error::Internal(format!("lengths sum up to {pointer} bytes, .bin has {}", bin.size)));
        }
        // The spool stays until the folder is finished: a run that is killed before that resumes with it.
        let idx = idx.seal()?;
        Ok(MegatronPair { bin, idx, num_documents, num_sequences })
    }
}

/// A sealed pair.
#[derive(Debug, Clone)]
pub struct MegatronPair {
    /// The tokens.
    pub bin: Sealed,
    /// The index.
    pub idx: Sealed,
    /// Documents.
    pub num_documents: u64,
    /// Sequences: documents that are not empty, or their sentences.
    pub num_sequences: u64,
}

/// A buffered `.idx` being written.
#[derive(Debug)]
pub struct IndexWriter {
    file: AtomicFile,
    buffer: Vec<u8>,
}

impl IndexWriter {
    /// Starts the file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self { file: AtomicFile::create(path)?, buffer: Vec::with_capacity(1 << 16) })
    }

    /// Writes the first 34 bytes.
    ///
    /// # Errors
    /// The system's reason.
    pub fn header(&mut self, dtype: TokenDtype, num_sequences: u64, document_index_len: u64) -> Result<()> {
        self.put(MAGIC)?;
        self.put(&VERSION.to_le_bytes())?;
        self.put(&[dtype.code()])?;
        self.put(&num_sequences.to_le_bytes())?;
        self.put(&document_index_len.to_le_bytes())
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The system's reason.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 1 << 16 {
            self.file.write(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Seals the file.
    ///
    /// # Errors
    /// The system's reason.
    pub fn seal(mut self) -> Result<Sealed> {
        self.file.write(&self.buffer)?;
        self.file.seal()
    }
}

/// An entry of the spool.
struct Spooled {
    /// Tokens of a sequence; `None` for a document without any.
    length: Option<u32>,
    /// Whether it is the first one of a document.
    starts_document: bool,
}

/// The spooled lengths.
struct SpoolReader {
    path: PathBuf,
    reader: BufReader<File>,
}

impl SpoolReader {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), reader: BufReader::with_capacity(1 << 16, file) })
    }
}

impl Iterator for SpoolReader {
    type Item = Result<Spooled>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = [0; 4];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => {
                let entry = u32::from_le_bytes(bytes);
                let length = (entry != NO_SEQUENCE).then_some(entry & !CONTINUES);
                Some(Ok(Spooled { length, starts_document: length.is_none() || entry & CONTINUES == 0 }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(Error::io(&self.path)(error))),
        }
    }
}

/// What an `.idx` says, checked against its own size and its `.bin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexHeader {
    /// Type of the tokens.
    pub dtype: TokenDtype,
    /// Sequences.
    pub num_sequences: u64,
    /// Entries of the document index.
    pub document_index_len: u64,
}

impl IndexHeader {
    /// Reads and checks the header of `<prefix>.idx`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the offset of the field that is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        file.take(HEADER_BYTES).read_to_end(&mut bytes).map_err(Error::io(path))?;
        let Ok(bytes) = <[u8; index(HEADER_BYTES)]>::try_from(bytes) else {
            return Err(Error::corrupt(
                path,
                size,
                format!("{size} bytes, expected at least {HEADER_BYTES}"),
            ));
        };
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        if !bytes.starts_with(MAGIC) {
            return Err(Error::corrupt(path, 0, "not a Megatron index (magic MMIDIDX expected)"));
        }
        if word(9) != VERSION {
            return Err(Error::corrupt(path, 9, format!("version {}, expected {VERSION}", word(9))));
        }
        let Some(dtype) = TokenDtype::from_code(bytes[17]) else {
            return Err(Error::corrupt(path, 17, format!("token type code {}, expected 4 or 8", bytes[17])));
        };
        let header = Self { dtype, num_sequences: word(18), document_index_len: word(26) };
        let expected = header
            .num_sequences
            .checked_mul(12)
            .and_then(|bytes| bytes.checked_add(header.document_index_len.checked_mul(8)?))
            .and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        if expected != Some(size) {
            let reason = format!(
                "{} sequences and {} document index entries do not fit {size} bytes",
                header.num_sequences, header.document_index_len
            );
            return Err(Error::corrupt(path, 18, reason));
        }
        Ok(header)
    }
}
