//! One pair of `.bin` and `.idx`, read: Megatron's layout (see [`crate::formats::megatron`]) or the older TNTIDX.
//!
//! TNTIDX (fairseq's "lazy" and "cached" data sets; `indexed_dataset.py` of bigscience Megatron-DeepSpeed), little-endian:
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 8 | `TNTIDX\0\0` |
//! | 8 | 8 | version, 1 |
//! | 16 | 16 | code of the token type, bytes of one token |
//! | 32 | 24 | items n, numbers of sizes s, length D of the document index |
//! | 56 | 8 (n + 1) | where each item's sizes start |
//! | .. | 8 (n + 1) | where each item's tokens start, in tokens |
//! | .. | 8 s, 8 D | sizes, document index |

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::formats::megatron::{HEADER_BYTES, with_suffix};
use crate::io::map::FileBytes;
use crate::token::index;

const LEGACY_HEADER_BYTES: u64 = 56;

/// Integer types of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDtype {
    /// One byte.
    Uint8,
    /// One byte, signed.
    Int8,
    /// Two bytes, signed.
    Int16,
    /// Four bytes, signed.
    Int32,
    /// Eight bytes, signed.
    Int64,
    /// Two bytes.
    Uint16,
}

impl StoredDtype {
    /// The type of a code; 6 and 7 are floats of a width that depends on who wrote them.
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::Uint8,
            2 => Self::Int8,
            3 => Self::Int16,
            4 => Self::Int32,
            5 => Self::Int64,
            8 => Self::Uint16,
            _ => return None,
        })
    }

    /// Bytes of one token.
    pub const fn itemsize(self) -> u64 {
        match self {
            Self::Uint8 | Self::Int8 => 1,
            Self::Int16 | Self::Uint16 => 2,
            Self::Int32 => 4,
            Self::Int64 => 8,
        }
    }
}

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadMode {
    /// Files are mapped.
    Mmap,
    /// `.idx` is read whole, `.bin` by `pread`: for file systems that cannot map, or not many files.
    Pread,
}

/// What the headers of a pair say: enough to plan, a few hundred bytes in memory.
#[derive(Debug, Clone)]
pub struct PairHeader {
    prefix: PathBuf,
    /// Type of the tokens.
    pub dtype: StoredDtype,
    /// Sequences.
    pub num_sequences: u64,
    /// Tokens of all sequences.
    pub num_tokens: u64,
    /// Bytes of `.idx`.
    pub idx_bytes: u64,
    /// Bytes of `.bin`.
    pub bin_bytes: u64,
    is_legacy: bool,
}

impl PairHeader {
    /// Reads and checks what stands at the ends of `<prefix>.idx`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the offset of the field that is wrong, or the system's reason.
    pub fn open(prefix: &Path) -> Result<Self> {
        let path = with_suffix(prefix, ".idx");
        let file = File::open(&path).map_err(Error::io(&path))?;
        let idx_bytes = file.metadata().map_err(Error::io(&path))?.len();
        let bin_path = with_suffix(prefix, ".bin");
        let bin_bytes = std::fs::metadata(&bin_path).map_err(Error::io(&bin_path))?.len();
        let words = |at: u64, bytes: &mut [u8]| file.read_exact_at(bytes, at).map_err(Error::io(&path));
        let too_short =
            || Error::corrupt(&path, idx_bytes, format!("{idx_bytes} bytes, too short for an index"));
        let mut head = [0; 56];
        let known = index(idx_bytes.min(LEGACY_HEADER_BYTES));
        words(0, &mut head[..known])?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]));
        let is_legacy = head.starts_with(b"TNTIDX\0\0");
        if !is_legacy && !head.starts_with(b"MMIDIDX\0\0") {
            return Err(Error::corrupt(&path, 0, "not a Megatron index (magic MMIDIDX or TNTIDX expected)"));
        }
        let (version_at, code_at) = if is_legacy { (8, 16) } else { (9, 17) };
        if (known as u64) < if is_legacy { LEGACY_HEADER_BYTES } else { HEADER_BYTES } {
            return Err(too_short());
        }
        if word(version_at) != 1 {
            let reason = format!("version {}, expected 1", word(version_at));
            return Err(Error::corrupt(&path, version_at as u64, reason));
        }
        let code = if is_legacy { word(code_at) } else { u64::from(head[code_at]) };
        let Some(dtype) = StoredDtype::from_code(code) else {
            let reason = format!("token type code {code}, expected one of 1, 2, 3, 4, 5, 8");
            return Err(Error::corrupt(&path, code_at as u64, reason));
        };
        let (num_sequences, fits) = if is_legacy {
            let (items, sizes, documents) = (word(32), word(40), word(48));
            if word(24) != dtype.itemsize() {
                let reason = format!("tokens of {} bytes, expected {}", word(24), dtype.itemsize());
                return Err(Error::corrupt(&path, 24, reason));
            }
            let entries = items.checked_add(1).and_then(|more| more.checked_mul(2));
            let entries = entries.and_then(|sum| sum.checked_add(sizes)?.checked_add(documents));
            let bytes = entries.and_then(|entries| entries.checked_mul(8)?.checked_add(LEGACY_HEADER_BYTES));
            (items, bytes == Some(idx_bytes))
        } else {
            let (sequences, documents) = (word(18), word(26));
            let bytes =
                sequences.checked_mul(12).and_then(|bytes| bytes.checked_add(documents.checked_mul(8)?));
            let bytes = bytes.and_then(|bytes| bytes.checked_add(HEADER_BYTES));
            // Multimodal indices hold one more byte a sequence.
            let modes = bytes.and_then(|bytes| bytes.checked_add(sequences));
            (sequences, bytes == Some(idx_bytes) || modes == Some(idx_bytes))
        };
        if !fits {
            let at = if is_legacy { 32 } else { 18 };
            return Err(Error::corrupt(
                &path,
                at,
                format!("{num_sequences} sequences do not fit {idx_bytes} bytes"),
            ));
        }
        let num_tokens = bin_bytes / dtype.itemsize();
        let header = Self {
            prefix: prefix.to_owned(),
            dtype,
            num_sequences,
            num_tokens,
            idx_bytes,
            bin_bytes,
            is_legacy,
        };
        let mut last = [0; 12];
        let end = if num_sequences == 0 {
            Some(0)
        } else if is_legacy {
            words(header.pointers_at() + 8 * num_sequences, &mut last[..8])?;
            tail(&last, 0).checked_mul(dtype.itemsize())
        } else {
            words(HEADER_BYTES + 4 * (num_sequences - 1), &mut last[8..])?;
            words(header.pointers_at() + 8 * (num_sequences - 1), &mut last[..8])?;
            let length = u64::from(u32::from_le_bytes([last[8], last[9], last[10], last[11]]));
            tail(&last, 0).checked_add(length * dtype.itemsize())
        };
        if end != Some(bin_bytes) {
            let end = end.map_or_else(|| "more than any file holds".into(), |end| end.to_string());
            return Err(Error::corrupt(
                &bin_path,
                bin_bytes,
                format!("{bin_bytes} bytes, its index says {end}"),
            ));
        }
        Ok(header)
    }

    /// The path without suffix.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Where offsets of sequences start in `.idx`.
    fn pointers_at(&self) -> u64 {
        if self.is_legacy {
            LEGACY_HEADER_BYTES + 8 * (self.num_sequences + 1)
        } else {
            HEADER_BYTES + 4 * self.num_sequences
        }
    }
}

fn tail(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]))
}

/// The tokens of a pair.
#[derive(Debug)]
enum Bin {
    Mapped(FileBytes),
    File(File),
}

/// A pair that is open.
#[derive(Debug)]
pub struct TokenPair {
    header: PairHeader,
    idx: FileBytes,
    bin: Bin,
}

impl TokenPair {
    /// Opens the files of a header.
    ///
    /// # Errors
    /// The system's reason; [`Error::Mismatch`] if a file has changed since the header was read.
    pub fn open(header: &PairHeader, mode: ReadMode) -> Result<Self> {
        let idx_path = with_suffix(&header.prefix, ".idx");
        let bin_path = with_suffix(&header.prefix, ".bin");
        let (idx, bin) = match mode {
            ReadMode::Mmap => (FileBytes::map(&idx_path)?, Bin::Mapped(FileBytes::map(&bin_path)?)),
            ReadMode::Pread => {
                (FileBytes::read(&idx_path)?, Bin::File(File::open(&bin_path).map_err(Error::io(&bin_path))?))
            }
        };
        let found = match &bin {
            Bin::Mapped(bytes) => bytes.len() as u64,
            Bin::File(file) => file.metadata().map_err(Error::io(&bin_path))?.len(),
        };
        for (path, expected, found) in
            [(&idx_path, header.idx_bytes, idx.len() as u64), (&bin_path, header.bin_bytes, found)]
        {
            if expected != found {
                return Err(Error::mismatch(format!("{}: size in bytes", path.display()), expected, found));
            }
        }
        Ok(Self { header: header.clone(), idx, bin })
    }

    /// What the headers say.
    pub fn header(&self) -> &PairHeader {
        &self.header
    }

    /// Lengths of all sequences as the file has them, little-endian int32; `None` in the older layout.
    pub fn stored_lengths(&self) -> Option<&[u8]> {
        let bytes = index(4 * self.header.num_sequences);
        if self.header.is_legacy { None } else { self.idx.get(index(HEADER_BYTES)..)?.get(..bytes) }
    }

    /// Token at which a sequence starts, and its length.
    ///
    /// # Errors
    /// No such sequence, or one that is not inside `.bin`.
    pub fn sequence(&self, sequence: u64) -> Result<(u64, u64)> {
        let header = &self.header;
        if sequence >= header.num_sequences {
            return Err(Error::Internal(format!("sequence {sequence} of {}", header.num_sequences)));
        }
        let at = header.pointers_at() + 8 * sequence;
        let (start, length) = if header.is_legacy {
            let start = tail(&self.idx, index(at));
            (start, tail(&self.idx, index(at + 8)).wrapping_sub(start))
        } else {
            let from = index(HEADER_BYTES + 4 * sequence);
            let length = u32::from_le_bytes(std::array::from_fn(|byte| self.idx[from + byte]));
            (tail(&self.idx, index(at)) / header.dtype.itemsize(), u64::from(length))
        };
        if length > i32::MAX.cast_unsigned().into()
            || start.checked_add(length).is_none_or(|end| end > header.num_tokens)
        {
            let path = with_suffix(&header.prefix, ".idx");
            let reason =
                format!("sequence {sequence} of {length} tokens from token {start} is not inside .bin");
            return Err(Error::corrupt(&path, at, reason));
        }
        Ok((start, length))
    }

    /// The last sequence that starts at or before a token: with sequences that tile `.bin`, the one that holds it.
    ///
    /// # Errors
    /// As [`Self::sequence`].
    pub fn sequence_at(&self, token: u64) -> Result<u64> {
        let (mut low, mut high) = (0, self.header.num_sequences);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.sequence(middle)?.0 <= token {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// Decodes tokens from `start` on until `out` is full.
    ///
    /// # Errors
    /// A range that is not inside `.bin`, a token that the target cannot hold, or the system's reason.
    pub fn read<T: Token>(&self, start: u64, out: &mut [T]) -> Result<()> {
        let itemsize = self.header.dtype.itemsize();
        let count = out.len() as u64 * itemsize;
        let path = || with_suffix(&self.header.prefix, ".bin");
        let outside = |at| Error::corrupt(&path(), at, format!("{count} bytes needed, the file is shorter"));
        let offset = start.checked_mul(itemsize).ok_or_else(|| outside(u64::MAX))?;
        let heap;
        let bytes = match &self.bin {
            Bin::Mapped(bytes) => {
                let rest = bytes.get(index(offset)..).ok_or_else(|| outside(offset))?;
                rest.get(..index(count)).ok_or_else(|| outside(offset))?
            }
            Bin::File(file) => {
                let mut buffer = vec![0; index(count)];
                file.read_exact_at(&mut buffer, offset).map_err(Error::io(&path()))?;
                heap = buffer;
                &heap
            }
        };
        decode(self.header.dtype, bytes, out).map_err(|at| {
            let reason = "a token that does not fit 32 bits".to_owned();
            Error::corrupt(&path(), offset + at as u64 * itemsize, reason)
        })
    }

    /// The first and the last bytes of `.bin`, at most `count` each.
    ///
    /// # Errors
    /// The system's reason.
    pub fn ends(&self, count: u64) -> Result<Vec<u8>> {
        let size = self.header.bin_bytes;
        let mut bytes = vec![0; index(2 * count.min(size))];
        let (first, last) = bytes.split_at_mut(index(count.min(size)));
        for (at, part) in [(0, first), (size.saturating_sub(count), last)] {
            match &self.bin {
                Bin::Mapped(map) => part.copy_from_slice(&map[index(at)..index(at) + part.len()]),
                Bin::File(file) => {
                    let path = with_suffix(&self.header.prefix, ".bin");
                    file.read_exact_at(part, at).map_err(Error::io(&path))?;
                }
            }
        }
        Ok(bytes)
    }
}

/// What tokens are decoded to.
pub trait Token:
    Copy + Default + PartialEq + From<u8> + From<i8> + From<u16> + From<i16> + From<i32> + TryFrom<i64>
{
}
impl Token for i32 {}
impl Token for i64 {}

/// Decodes; the error is the number of a token that does not fit.
fn decode<T: Token>(dtype: StoredDtype, bytes: &[u8], out: &mut [T]) -> std::result::Result<(), usize> {
    fn each<const N: usize, T>(bytes: &[u8], out: &mut [T], value: impl Fn([u8; N]) -> T) {
        for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
            *out = value(*bytes);
        }
    }
    match dtype {
        StoredDtype::Uint8 => each(bytes, out, |[byte]| byte.into()),
        StoredDtype::Int8 => each(bytes, out, |byte| i8::from_le_bytes(byte).into()),
        StoredDtype::Uint16 => each(bytes, out, |bytes| u16::from_le_bytes(bytes).into()),
        StoredDtype::Int16 => each(bytes, out, |bytes| i16::from_le_bytes(bytes).into()),
        StoredDtype::Int32 => each(bytes, out, |bytes| i32::from_le_bytes(bytes).into()),
        StoredDtype::Int64 => {
            for (at, (out, bytes)) in out.iter_mut().zip(bytes.as_chunks::<8>().0).enumerate() {
                *out = i64::from_le_bytes(*bytes).try_into().map_err(|_| at)?;
            }
        }
    }
    Ok(())
}
