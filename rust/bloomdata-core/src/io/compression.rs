//! Which compression a file name means, and what its first bytes say.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Compression of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As is.
    None,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Compressions that we recognise only to name them in an error.
const FOREIGN: [(&[u8], &str); 4] = [
    (b"BZh91AY&", "bzip2 data"),
    (b"\xfd7zXZ\0", "xz data"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x04\x22\x4d\x18", "lz4 data"),
];

impl Compression {
    /// The compression that a name's last suffix stands for, and the name without that suffix.
    pub fn from_name(name: &str) -> (Self, &str) {
        for (suffix, compression) in [(".gz", Self::Gzip), (".zst", Self::Zstd)] {
            if let Some(stem) = name.strip_suffix(suffix) {
                return (compression, stem);
            }
        }
        (Self::None, name)
    }

    /// The suffix that the compression adds to a file name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// Compares the name's promise with a file's first bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for plain names over compressed bytes and for UTF-16 text, [`Error::Corrupt`] for
    /// compressed names over other bytes. Reading either as text would yield garbage or nothing.
    pub fn check_magic(self, path: &Path, first: &[u8]) -> Result<()> {
        let promised: &[u8] = match self {
            Self::Gzip => &GZIP_MAGIC,
            // Skippable frames may come first; the frame reader knows them.
            Self::Zstd if first.len() >= 4 && first[1..4] == [0x2a, 0x4d, 0x18] => return Ok(()),
            Self::Zstd => &ZSTD_MAGIC,
            Self::None => return Self::check_plain(path, first),
        };
        if first.starts_with(promised) {
            return Ok(());
        }
        let reason = if first.is_empty() {
            "the file is empty: truncated, since even no data compresses to some bytes".to_owned()
        } else {
            format!("found first bytes {:02x?}, expected {promised:02x?}", &first[..first.len().min(4)])
        };
        Err(Error::corrupt(path, 0, reason))
    }

    fn check_plain(path: &Path, first: &[u8]) -> Result<()> {
        let found = if first.starts_with(&GZIP_MAGIC) {
            "gzip data under a name without .gz"
        } else if first.starts_with(&ZSTD_MAGIC) {
            "zstd data under a name without .zst"
        } else if first.starts_with(&[0xff, 0xfe]) || first.starts_with(&[0xfe, 0xff]) {
            "UTF-16 text"
        } else if let Some((_, name)) = FOREIGN.iter().find(|(magic, _)| first.starts_with(magic)) {
            name
        } else {
            return Ok(());
        };
        Err(Error::Unsupported {
            path: path.to_owned(),
            found: found.to_owned(),
            supported: "UTF-8 text, plain or as .gz or .zst".to_owned(),
        })
    }
}
