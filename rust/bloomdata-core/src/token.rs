//! Token widths and the only places where integers are narrowed.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("bloomdata needs a 64-bit target: offsets are u64 and are used as indices");

/// `u64` as an index. Lossless: the crate compiles on 64-bit targets only.
#[allow(clippy::cast_possible_truncation, reason = "64-bit targets only, checked above")]
pub const fn index(value: u64) -> usize {
    value as usize
}

/// The lowest 32 bits of an index.
#[allow(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub(crate) const fn narrow(value: usize) -> u32 {
    value as u32
}

/// The lower half of a hash.
#[allow(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub(crate) const fn low_half(value: u64) -> u32 {
    value as u32
}

/// The upper and the lower half of a key.
#[allow(clippy::cast_possible_truncation, reason = "both halves are kept")]
pub(crate) const fn halves(key: u128) -> (u64, u64) {
    ((key >> 64) as u64, key as u64)
}

/// The whole part of a number that is not negative; what does not fit becomes the nearest bound.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "that is what it is for")]
pub(crate) const fn whole(value: f64) -> u64 {
    value as u64
}

/// A count as a double, rounded to the nearest, as Python and C++ do.
#[allow(clippy::cast_precision_loss, reason = "that is what it is for")]
pub(crate) const fn double(value: u64) -> f64 {
    value as f64
}

/// The lowest byte of an index.
#[allow(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub(crate) const fn low_byte(value: usize) -> u8 {
    value as u8
}

/// A place in a batch as int32; the size of batches is checked before.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "below 2^31, checked before")]
pub(crate) const fn signed(value: usize) -> i32 {
    value as i32
}

/// Integer type of the tokens in a Megatron `.bin` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenDtype {
    /// One byte, for token types.
    Uint8,
    /// Two bytes, for vocabularies below 65,500 (Megatron's limit, not 65,536).
    Uint16,
    /// Four bytes, signed.
    Int32,
}

impl TokenDtype {
    /// Megatron-core's choice: `uint16` below a vocabulary of 65,500, else `int32`.
    ///
    /// Origin: `megatron/core/datasets/indexed_dataset.py`, `DType.optimal_dtype`.
    pub fn for_vocab_size(vocab_size: u64) -> Self {
        if vocab_size < 65_500 { Self::Uint16 } else { Self::Int32 }
    }

    /// Bytes of one token.
    pub const fn itemsize(self) -> usize {
        match self {
            Self::Uint8 => 1,
            Self::Uint16 => 2,
            Self::Int32 => 4,
        }
    }

    /// Megatron's code of the type in the `.idx` header.
    pub const fn code(self) -> u8 {
        match self {
            Self::Uint8 => 1,
            Self::Uint16 => 8,
            Self::Int32 => 4,
        }
    }

    /// The type that a code stands for; of the codes, only those that we write.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Uint8),
            8 => Some(Self::Uint16),
            4 => Some(Self::Int32),
            _ => None,
        }
    }

    /// Appends `ids` little-endian.
    ///
    /// # Errors
    /// An id that does not fit the width: the tokenizer's vocabulary size was wrong.
    pub fn encode(self, ids: &[u32], out: &mut Vec<u8>) -> Result<()> {
        let mut highest = 0;
        match self {
            Self::Uint8 => out.extend(ids.iter().map(|&id| {
                highest |= id;
                id.to_le_bytes()[0]
            })),
            Self::Uint16 => out.extend(ids.iter().flat_map(|&id| {
                highest |= id;
                let [low, high, ..] = id.to_le_bytes();
                [low, high]
            })),
            Self::Int32 => out.extend(ids.iter().flat_map(|&id| {
                highest |= id;
                id.to_le_bytes()
            })),
        }
        let limit = match self {
            Self::Uint8 => u32::from(u8::MAX),
            Self::Uint16 => u32::from(u16::MAX),
            Self::Int32 => i32::MAX.cast_unsigned(),
        };
        if highest > limit {
            return Err(Error::Internal(format!("a token id does not fit {self:?}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_follows_megatrons_limit() {
        assert_eq!(TokenDtype::for_vocab_size(65_499), TokenDtype::Uint16);
        assert_eq!(TokenDtype::for_vocab_size(65_500), TokenDtype::Int32);
    }

    #[test]
    fn an_id_that_does_not_fit_is_refused() {
        let mut out = Vec::new();
        assert!(TokenDtype::Uint16.encode(&[65_536], &mut out).is_err());
        assert!(TokenDtype::Int32.encode(&[u32::MAX], &mut out).is_err());
    }

    #[test]
    fn tokens_are_little_endian() {
        let mut out = Vec::new();
        TokenDtype::Uint16.encode(&[0x0102, 3], &mut out).unwrap();
        assert_eq!(out, [2, 1, 3, 0]);
    }
}
