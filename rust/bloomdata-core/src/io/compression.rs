//! Which compression a file name means, and what first bytes say.

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
    /// bzip2, any number of streams.
    Bzip2,
    /// xz, any number of streams.
    Xz,
    /// The frame format of LZ4, any number of frames.
    Lz4,
}

/// What is no text and no input, by its first bytes; and what to do with it.
const FOREIGN: [(&[u8], &str); 12] = [
    (b"\0\0\xfe\xff", "UTF-32 text (iconv -f UTF-32 -t UTF-8 converts it)"),
    (b"\xff\xfe\0\0", "UTF-32 text (iconv -f UTF-32 -t UTF-8 converts it)"),
    (b"\xff\xfe", "UTF-16 text (iconv -f UTF-16 -t UTF-8 converts it)"),
    (b"\xfe\xff", "UTF-16 text (iconv -f UTF-16 -t UTF-8 converts it)"),
    (b"PK\x03\x04", "a zip archive, or a document that is one (unzip unpacks it)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive (7z x unpacks it)"),
    (b"PAR1", "a Parquet file (name it .parquet)"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "a document of Microsoft Office"),
];
/// First bytes that [`Compression::check_magic`] and [`Compression::of_content`] want to see.
pub const MAGIC_BYTES: usize = 16;

impl Compression {
    /// All but `None`.
    pub const ALL: [Self; 5] = [Self::Gzip, Self::Zstd, Self::Bzip2, Self::Xz, Self::Lz4];

    /// The compression that a name's last suffix stands for, and the name without that suffix.
    pub fn from_name(name: &str) -> (Self, &str) {
        let found = Self::ALL.into_iter().find_map(|one| Some((one, name.strip_suffix(one.suffix())?)));
        found.unwrap_or((Self::None, name))
    }

    /// The suffix that the compression adds to a file name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
            Self::Xz => ".xz",
            Self::Lz4 => ".lz4",
        }
    }

    /// Its name in sentences.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
        }
    }

    /// What its files begin with.
    const fn magic(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Gzip => b"\x1f\x8b",
            Self::Zstd => b"\x28\xb5\x2f\xfd",
            Self::Bzip2 => b"BZh",
            Self::Xz => b"\xfd7zXZ\0",
            Self::Lz4 => b"\x04\x22\x4d\x18",
        }
    }

    /// The compression of content that begins like this.
    pub fn of_content(first: &[u8]) -> Self {
        let begins = |one: &Self| match one {
            // The magic alone might be text.
            Self::Bzip2 => {
                first.starts_with(one.magic())
                    && first.get(4..10).is_some_and(|block| {
                        [b"1AY&SY", b"\x17rE8P\x90"].contains(&block.try_into().unwrap_or(b"      "))
                    })
            }
            // Frames that are to be skipped may come first.
            Self::Zstd => first.starts_with(one.magic()) || is_skippable(first),
            _ => first.starts_with(one.magic()),
        };
        Self::ALL.into_iter().find(begins).unwrap_or(Self::None)
    }

    /// Compares the name's promise with a file's first bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for plain names over compressed bytes and for what is no UTF-8, [`Error::Corrupt`] for
    /// compressed names over other bytes. Reading either as text would yield garbage or nothing.
    pub fn check_magic(self, path: &Path, first: &[u8]) -> Result<()> {
        if self == Self::None {
            return check_content(path, first);
        }
        let can_skip = matches!(self, Self::Zstd | Self::Lz4) && is_skippable(first);
        if first.starts_with(self.magic()) || can_skip {
            return Ok(());
        }
        let found = match Self::of_content(first) {
            _ if first.is_empty() => {
                return Err(Error::corrupt(
                    path,
                    0,
                    "the file is empty: truncated, since even no data compresses to some bytes",
                ));
            }
            Self::None => {
                let shown = &first[..first.len().min(4)];
                let is_text = matches!(first[0], b'{' | b'[' | b'"') && first.is_ascii();
                let words = if is_text { ", which look like text that is not compressed" } else { "" };
                format!("found first bytes {shown:02x?}{words}")
            }
            other => format!("found {} data (name it {})", other.name(), other.suffix()),
        };
        Err(Error::corrupt(path, 0, format!("{found}, expected {} data as its name says", self.name())))
    }
}

/// Whether a frame begins here that zstd and lz4 skip.
pub(super) fn is_skippable(first: &[u8]) -> bool {
    matches!(first, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Whether eight characters begin the text that are ASCII in UTF-16. Fewer may be damage of a line.
fn is_every_other_zero(first: &[u8]) -> bool {
    let zeros = first.iter().take(16).map(|&byte| byte == 0);
    let alternates =
        |offset: usize| zeros.clone().enumerate().all(|(at, is_zero)| is_zero == (at % 2 == offset));
    first.len() >= 16 && (alternates(0) || alternates(1))
}

/// Refuses content, decompressed if its name says so, that cannot be text in UTF-8.
///
/// # Errors
/// [`Error::Unsupported`] with what it is and what to do.
pub fn check_content(path: &Path, first: &[u8]) -> Result<()> {
    let foreign = FOREIGN.iter().find(|(magic, _)| first.starts_with(magic));
    let found = match Compression::of_content(first) {
        Compression::None if foreign.is_some() => foreign.map(|(_, name)| (*name).to_owned()),
        // ASCII in UTF-16 without a byte order mark.
        Compression::None if is_every_other_zero(first) => Some(
            "bytes with every other one zero, as UTF-16 has them (iconv -f UTF-16LE -t UTF-8 converts it)"
                .to_owned(),
        ),
        Compression::None => None,
        found => Some(format!("{} data under a name without {}", found.name(), found.suffix())),
    };
    let Some(found) = found else { return Ok(()) };
    let suffixes = Compression::ALL.map(Compression::suffix).join(", ");
    let supported = format!("UTF-8 text, plain or compressed as its name says ({suffixes})");
    Err(Error::Unsupported { path: path.to_owned(), found, supported })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_first_bytes_agree_or_are_refused_with_the_right_name() {
        let starts: [(Compression, &[u8]); 6] = [
            (Compression::None, b"{\"a\":1}"),
            (Compression::Gzip, b"\x1f\x8b\x08"),
            (Compression::Zstd, b"\x28\xb5\x2f\xfd\0"),
            (Compression::Bzip2, b"BZh91AY&SY"),
            (Compression::Xz, b"\xfd7zXZ\0\0\x04"),
            (Compression::Lz4, b"\x04\x22\x4d\x18d@"),
        ];
        let path = Path::new("a");
        for (named, _) in starts {
            for (stored, first) in starts {
                let checked = named.check_magic(path, first);
                assert_eq!(Compression::of_content(first), stored);
                assert_eq!(checked.is_ok(), named == stored, "{named:?} {stored:?}");
                if let (Err(error), true) = (checked, stored != Compression::None) {
                    assert!(error.to_string().contains(stored.suffix()), "{error}");
                }
            }
        }
        assert_eq!(Compression::from_name("a.jsonl.bz2"), (Compression::Bzip2, "a.jsonl"));
        assert_eq!(Compression::from_name("a.jsonl"), (Compression::None, "a.jsonl"));
        for text in ["BZh is no magic", "PAR", "%PD"] {
            assert!(check_content(path, text.as_bytes()).is_ok());
        }
        let (little, big) = (b"{\0\"\0t\0e\0x\0t\0\"\0:\0", b"\0{\0\"\0t\0e\0x\0t\0\"\0:");
        assert!(check_content(path, little).is_err() && check_content(path, big).is_err());
        assert!(check_content(path, &big[..15]).is_ok());
    }
}
