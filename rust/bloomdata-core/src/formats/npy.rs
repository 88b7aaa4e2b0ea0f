//! Headers of NumPy's `.npy` files, version 1.0: what `numpy.save` writes, byte for byte, and what it can read.
//!
//! Origin: NEP 1 and `numpy/lib/_format_impl.py` of NumPy 2.4. After the magic, the version and the header's length, the
//! header is a Python dictionary, filled up with spaces: first so that the first dimension can grow to 21 characters,
//! then to a multiple of 64 bytes, at least one.

use std::path::Path;

use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";
/// Bytes before the dictionary.
const PRELUDE: usize = 10;

/// Types of elements of index files, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NpyDtype {
    /// `<i4`
    Int32,
    /// `<u4`
    Uint32,
    /// `<i8`
    Int64,
}

impl NpyDtype {
    /// NumPy's name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int32 => "<i4",
            Self::Uint32 => "<u4",
            Self::Int64 => "<i8",
        }
    }

    /// Bytes of one element.
    pub const fn itemsize(self) -> u64 {
        match self {
            Self::Int32 | Self::Uint32 => 4,
            Self::Int64 => 8,
        }
    }
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpyHeader {
    /// Type of the elements.
    pub dtype: NpyDtype,
    /// Dimensions, in C order.
    pub shape: Vec<u64>,
    /// Bytes before the first element.
    pub data_offset: usize,
}

/// The header of an array, as `numpy.save` writes it.
pub fn header_bytes(dtype: NpyDtype, shape: &[u64]) -> Vec<u8> {
    let dimensions: Vec<String> = shape.iter().map(u64::to_string).collect();
    let comma = if dimensions.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        dtype.name(),
        dimensions.join(", ")
    );
    let grows = 21_usize.saturating_sub(dimensions.first().map_or(21, String::len));
    text.extend(std::iter::repeat_n(' ', grows));
    let padding = 64 - (PRELUDE + text.len() + 1) % 64;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [MAGIC.as_slice(), &length.to_le_bytes(), text.as_bytes()].concat()
}

/// Reads the header of a whole file and checks it against the file's size.
///
/// # Errors
/// [`Error::Corrupt`] with the offset of what is wrong; [`Error::Unsupported`] for another type or order.
pub fn parse_header(path: &Path, bytes: &[u8]) -> Result<NpyHeader> {
    let corrupt = |offset: usize, reason: String| Error::corrupt(path, offset as u64, reason);
    if bytes.len() < PRELUDE || !bytes.starts_with(&MAGIC[..6]) {
        return Err(corrupt(0, "not a NumPy array file".into()));
    }
    let unsupported = |found: String| Error::Unsupported {
        path: path.to_owned(),
        found,
        supported: "version 1.0, C order, of <i4, <u4 or <i8".into(),
    };
    if bytes[6..8] != MAGIC[6..] {
        return Err(unsupported(format!("version {}.{}", bytes[6], bytes[7])));
    }
    let data_offset = PRELUDE + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = bytes.get(PRELUDE..data_offset).and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or_else(|| corrupt(8, "the header ends after the file does".into()))?;
    let after = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start());
    let dtype = after("'descr':").and_then(|rest| rest.split('\'').nth(1)).unwrap_or_default();
    let dtype = [NpyDtype::Int32, NpyDtype::Uint32, NpyDtype::Int64]
        .into_iter()
        .find(|known| known.name() == dtype)
        .ok_or_else(|| unsupported(format!("elements of type {dtype:?}")))?;
    if !after("'fortran_order':").is_some_and(|rest| rest.starts_with("False")) {
        return Err(unsupported("Fortran order".into()));
    }
    let shape =
        after("'shape':").and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.split_once(')'));
    let shape: Option<Vec<u64>> = shape.and_then(|(inside, _)| {
        inside
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().ok())
            .collect()
    });
    let shape = shape.ok_or_else(|| corrupt(PRELUDE, "no shape".into()))?;
    let needed = shape
        .iter()
        .try_fold(dtype.itemsize(), |bytes, &size| bytes.checked_mul(size))
        .and_then(|bytes| bytes.checked_add(data_offset as u64));
    if needed != Some(bytes.len() as u64) {
        return Err(corrupt(
            PRELUDE,
            format!("shape {shape:?} does not fit a file of {} bytes", bytes.len()),
        ));
    }
    Ok(NpyHeader { dtype, shape, data_offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for shape in [vec![0], vec![7], vec![4, 2], vec![1 << 40, 2]] {
            let bytes = header_bytes(NpyDtype::Int64, &shape);
            assert_eq!(bytes.len() % 64, 0);
            let fits = shape.iter().product::<u64>() == 0;
            let parsed = parse_header(Path::new("a.npy"), &bytes);
            assert_eq!(parsed.is_ok(), fits);
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let path = Path::new("a.npy");
        let good = [header_bytes(NpyDtype::Int32, &[2]), vec![0; 8]].concat();
        assert_eq!(parse_header(path, &good).unwrap().shape, [2]);
        for cut in 0..good.len() {
            assert!(parse_header(path, &good[..cut]).is_err(), "{cut}");
        }
        for (from, to) in [("<i4", "<f4"), ("False", "True "), ("(2,)", "(9,)"), ("shape", "shope")] {
            let text = String::from_utf8_lossy(&good[10..]).replace(from, to);
            assert!(parse_header(path, &[&good[..10], text.as_bytes()].concat()).is_err(), "{from}");
        }
    }
}
