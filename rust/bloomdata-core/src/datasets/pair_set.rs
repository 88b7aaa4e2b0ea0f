//! Any number of token pairs seen as one, in order. Headers are read at once; files are opened when they are needed, and
//! at most a given number stays open.

use std::path::PathBuf;
use std::sync::Arc;

use crate::datasets::open_files::OpenFiles;
use crate::error::{Error, Result};
use crate::formats::token_pair::{PairHeader, ReadMode, TokenPair};
use crate::hash::ContentHasher;
use crate::progress::Progress;
use crate::token::index;

/// Bytes of each end of a `.bin` that identify it.
const SAMPLED_BYTES: u64 = 4096;

/// The pairs.
#[derive(Debug)]
pub struct PairSet {
    headers: Vec<PairHeader>,
    /// Sequences up to the end of each pair.
    sequence_ends: Vec<u64>,
    /// Tokens up to the end of each pair.
    token_ends: Vec<u64>,
    mode: ReadMode,
    open: OpenFiles<TokenPair>,
    /// Where there is but one pair, it stays open: no lock.
    only: Option<Arc<TokenPair>>,
}

impl PairSet {
    /// Reads the headers of all pairs.
    ///
    /// # Errors
    /// No pairs, a damaged header, or the system's reason.
    pub fn open(prefixes: &[PathBuf], mode: ReadMode, max_open: usize) -> Result<Self> {
        let headers = prefixes.iter().map(|prefix| PairHeader::open(prefix)).collect::<Result<Vec<_>>>()?;
        let ends = |count: fn(&PairHeader) -> u64| {
            let sums = headers.iter().scan(0_u64, |sum, header| {
                *sum = sum.saturating_add(count(header));
                Some(*sum)
            });
            sums.collect::<Vec<u64>>()
        };
        let (sequence_ends, token_ends) =
            (ends(|header| header.num_sequences), ends(|header| header.num_tokens));
        let only = match headers.as_slice() {
            [] => return Err(Error::config("path", "no pairs")),
            [header] => Some(Arc::new(TokenPair::open(header, mode)?)),
            _ => None,
        };
        let open = OpenFiles::new(headers.len(), max_open);
        Ok(Self { headers, sequence_ends, token_ends, mode, open, only })
    }

    /// Sequences of all pairs.
    pub fn num_sequences(&self) -> u64 {
        self.sequence_ends.last().copied().unwrap_or_default()
    }

    /// Tokens of all pairs.
    pub fn num_tokens(&self) -> u64 {
        self.token_ends.last().copied().unwrap_or_default()
    }

    /// Headers, in order.
    pub fn headers(&self) -> &[PairHeader] {
        &self.headers
    }

    /// A pair, opened if it is not.
    ///
    /// # Errors
    /// As [`TokenPair::open`].
    pub fn pair(&self, number: usize) -> Result<Arc<TokenPair>> {
        if let Some(only) = &self.only {
            return Ok(only.clone());
        }
        let header = self.headers.get(number).ok_or_else(|| Error::Internal(format!("pair {number}")))?;
        self.open.get(number, || TokenPair::open(header, self.mode))
    }

    /// The pair of a sequence, and the sequence's number in it.
    ///
    /// # Errors
    /// No such sequence, or as [`TokenPair::open`].
    pub fn of_sequence(&self, sequence: u64) -> Result<(Arc<TokenPair>, u64)> {
        let (number, within) = locate(&self.sequence_ends, sequence);
        Ok((self.pair(number)?, within))
    }

    /// The pair of a token, and the token's number in it.
    ///
    /// # Errors
    /// No such token, or as [`TokenPair::open`].
    pub fn of_token(&self, token: u64) -> Result<(Arc<TokenPair>, u64)> {
        let (number, within) = locate(&self.token_ends, token);
        Ok((self.pair(number)?, within))
    }

    /// Tokens before a sequence; all tokens, for the number after the last sequence.
    ///
    /// # Errors
    /// As [`TokenPair::sequence`].
    pub fn token_of_sequence(&self, sequence: u64) -> Result<u64> {
        if sequence >= self.num_sequences() {
            return Ok(self.num_tokens());
        }
        let (number, within) = locate(&self.sequence_ends, sequence);
        let before = if number == 0 { 0 } else { self.token_ends[number - 1] };
        Ok(before + self.pair(number)?.sequence(within)?.0)
    }

    /// Lengths of all sequences, little-endian int32 one after the other.
    ///
    /// # Errors
    /// A damaged index, or the run was interrupted.
    pub fn lengths(&self, progress: &Progress) -> Result<Lengths> {
        if let Some(only) = &self.only
            && only.stored_lengths().is_some()
        {
            return Ok(Lengths::Stored(only.clone()));
        }
        let mut lengths = Vec::new();
        let bytes = index(self.num_sequences()).saturating_mul(4);
        lengths.try_reserve_exact(bytes).map_err(|error| Error::config("path", error.to_string()))?;
        for number in 0..self.headers.len() {
            progress.check()?;
            let pair = self.pair(number)?;
            if let Some(stored) = pair.stored_lengths() {
                lengths.extend_from_slice(stored);
            } else {
                for sequence in 0..pair.header().num_sequences {
                    let length = u32::try_from(pair.sequence(sequence)?.1).unwrap_or(u32::MAX);
                    lengths.extend(length.to_le_bytes());
                }
            }
        }
        Ok(Lengths::Copied(lengths))
    }

    /// What tells this data from other data: sizes, all lengths, and both ends of every `.bin`.
    ///
    /// # Errors
    /// As [`Self::lengths`].
    pub fn fingerprint(&self, progress: &Progress) -> Result<String> {
        let mut hasher = ContentHasher::default();
        for (number, header) in self.headers.iter().enumerate() {
            progress.check()?;
            let pair = self.pair(number)?;
            for size in [header.num_sequences, header.idx_bytes, header.bin_bytes, header.dtype.itemsize()] {
                hasher.update(&size.to_le_bytes());
            }
            match pair.stored_lengths() {
                Some(lengths) => hasher.update(lengths),
                None => {
                    for sequence in 0..header.num_sequences {
                        hasher.update(&pair.sequence(sequence)?.1.to_le_bytes());
                    }
                }
            }
            hasher.update(&pair.ends(SAMPLED_BYTES)?);
        }
        Ok(hasher.hex())
    }
}

/// Which part holds `at`, and where in it; `ends` are running sums.
fn locate(ends: &[u64], at: u64) -> (usize, u64) {
    let number = ends.partition_point(|&end| end <= at);
    let before = if number == 0 { 0 } else { ends[number - 1] };
    (number, at - before)
}

/// Lengths of sequences.
#[derive(Debug)]
pub enum Lengths {
    /// Where the file has them.
    Stored(Arc<TokenPair>),
    /// Copied together, 4 bytes a sequence.
    Copied(Vec<u8>),
}

impl Lengths {
    /// Little-endian int32.
    pub fn bytes(&self) -> &[[u8; 4]] {
        match self {
            Self::Stored(pair) => pair.stored_lengths().unwrap_or_default().as_chunks().0,
            Self::Copied(bytes) => bytes.as_chunks().0,
        }
    }
}
