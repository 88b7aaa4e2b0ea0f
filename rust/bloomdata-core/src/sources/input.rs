//! One input: what its name and the system say of it, and the order of names.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::place::{FileRange, Place};
use crate::error::{Error, Result};
use crate::io::compression::Compression;
use crate::io::input::STDIN;

/// What the records of an input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON value a line.
    Jsonl,
    /// One JSON array, or JSON values one after the other.
    Json,
    /// One document a line.
    Text,
    /// Rows of a Parquet file.
    Parquet,
    /// Rows of an Arrow file, in the form of a stream or of a file.
    Ipc,
    /// Rows that the caller hands over.
    Arrow,
    /// A `.bin` or `.idx` of a Megatron pair, for merges.
    Megatron,
}

impl Format {
    /// Whether records are lines of the file.
    pub fn is_lines(self) -> bool {
        matches!(self, Self::Jsonl | Self::Text)
    }
}

/// One input of a run. There may be a million: what few of them have is in boxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The path as the user named it.
    pub path: PathBuf,
    /// What its records are.
    pub format: Format,
    /// How it is stored.
    pub compression: Compression,
    /// Bytes as stored.
    pub size: u64,
    /// Last change in nanoseconds since 1970: only to notice a change between two runs, never written to outputs.
    pub modified_ns: u64,
    /// BLAKE3 of the content that the folder's own manifest promises, for outputs of `shard`; of the rows, for a table.
    pub promised_hash: Option<Box<str>>,
    /// Whether it is a stream that cannot be read again.
    #[serde(default)]
    pub read_once: bool,
    /// Key of the list of records in a JSON file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Box<str>>,
    /// The share of the file that is read, where that is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Box<FileRange>>,
    /// For an object in a store: what changes with its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Box<str>>,
    /// Where its bytes lie.
    #[serde(skip)]
    pub place: Place,
}

impl Input {
    /// Whether it is a file, which can be opened any number of times.
    pub(super) fn is_file(&self) -> bool {
        self.format != Format::Arrow && !self.read_once
    }

    /// Lines of JSON of which nothing is known.
    pub fn bare(path: PathBuf) -> Self {
        Self {
            path,
            format: Format::Jsonl,
            compression: Compression::None,
            size: 0,
            modified_ns: 0,
            promised_hash: None,
            read_once: false,
            records: None,
            range: None,
            tag: None,
            place: Place::default(),
        }
    }

    /// The standard input: lines of JSON, compressed or not.
    pub(super) fn stdin() -> Self {
        Self { read_once: true, ..Self::bare(STDIN.into()) }
    }

    /// The file that holds its bytes; errors name its path.
    pub fn file(&self) -> &Path {
        self.place.0.as_deref().unwrap_or(&self.path)
    }

    /// Refuses a file whose size is not what it was when the run was planned.
    ///
    /// # Errors
    /// Another size; the system's reason.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let size = std::fs::metadata(self.file()).map_err(Error::io(&self.path))?.len();
        if size == self.size {
            return Ok(());
        }
        let what = format!("{}: size in bytes (changed since the run was planned)", self.path.display());
        Err(Error::mismatch(what, self.size, size))
    }

    /// The share of the file that is read, where that is not all of it.
    pub fn range(&self) -> Option<FileRange> {
        self.range.as_deref().copied()
    }

    /// Bytes as stored that are read of it.
    pub fn stored_bytes(&self) -> u64 {
        self.range().map_or(self.size, |range| range.stored[1] - range.stored[0])
    }

    /// Offset of its content at which it is read from.
    pub fn first_offset(&self) -> u64 {
        self.range().map_or(0, |range| range.content[0])
    }
}

impl Format {
    /// Whether it is records, which lines of text are not.
    pub fn is_records(self) -> bool {
        self != Self::Text
    }
}

pub(super) const SUPPORTED: &str = ".jsonl, .ndjson, .json and .txt, each plain or with .gz, .zst, .bz2, .xz or .lz4, .parquet, .arrow, .feather and .ipc";

/// Suffixes of what others write, and what to do with such files.
const ADVICE: [(&[&str], &str); 8] = [
    (
        &["csv", "tsv", "tab", "xlsx", "xls", "ods"],
        "a table of text (pandas or datasets read it; hand over the table, or write it as .parquet or .jsonl)",
    ),
    (
        &["zip", "7z", "rar", "tar", "tgz", "tbz2", "txz"],
        "an archive of files (unpack it and name the folder)",
    ),
    (&["jsonlines", "jsonl5", "jl"], "a name for lines of JSON that is not known here (rename it to .jsonl)"),
    (
        &["json5", "jsonc", "yaml", "yml", "toml", "xml", "html", "md", "rst", "pdf", "docx"],
        "a document (make .jsonl or .txt of it)",
    ),
    (
        &["npy", "npz", "pt", "pkl", "pickle", "h5", "hdf5", "bin", "idx"],
        "binary data (make .jsonl or .parquet of its texts)",
    ),
    (
        &["gzip", "gz", "zst", "zstd", "bz2", "bzip2", "xz", "lz4", "z", "br"],
        "a compression, but no suffix before it that is read",
    ),
    (&["lzma", "snappy", "lzo"], "a compression that is not read (recompress it, to .zst for one)"),
    (&["model", "safetensors", "gguf"], "a model, which holds no documents"),
];

pub(super) fn unsupported(path: &Path) -> Error {
    let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_ascii_lowercase());
    let found = match &suffix {
        None => "no suffix".to_owned(),
        Some(suffix) => {
            let advice = ADVICE.iter().find(|(suffixes, _)| suffixes.contains(&suffix.as_str()));
            advice.map_or_else(|| suffix.clone(), |(_, advice)| format!("{suffix}, {advice}"))
        }
    };
    Error::Unsupported { path: path.to_owned(), found, supported: SUPPORTED.into() }
}

/// A file as an input; `None` for names of unknown format.
///
/// # Errors
/// As for [`look_at`].
pub fn describe(path: &Path) -> Result<Option<Input>> {
    Ok(look_at(path)?.map(|facts| facts.into_input(path.to_owned())))
}

/// What a file's name and the system say of it.
#[derive(Debug)]
pub(super) struct Facts {
    format: Format,
    compression: Compression,
    size: u64,
    modified_ns: u64,
}

impl Facts {
    /// The input that they are of.
    pub(super) fn into_input(self, path: PathBuf) -> Input {
        let Self { format, compression, size, modified_ns } = self;
        Input { format, compression, size, modified_ns, ..Input::bare(path) }
    }
}

/// Looks at a file; `None` for names of unknown format.
///
/// # Errors
/// A name that is not UTF-8, a path that is not a regular file, or the system's reason.
pub(super) fn look_at(path: &Path) -> Result<Option<Facts>> {
    if path.to_str().is_none() {
        // Manifests and journals are JSON: they could not name it.
        let reason = format!("the name of {} is not UTF-8; rename the file", path.display());
        return Err(Error::config("inputs", reason));
    }
    let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let Some((format, compression)) = named(&name) else { return Ok(None) };
    if !metadata.is_file() {
        let reason =
            format!("{} is not a regular file (- reads lines of JSON of the standard input)", path.display());
        return Err(Error::config("inputs", reason));
    }
    let modified_ns = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|age| u64::try_from(age.as_nanos()).ok())
        .unwrap_or_default();
    Ok(Some(Facts { format, compression, size: metadata.len(), modified_ns }))
}

/// Format and compression of a file by its name in lower case.
pub(super) fn named(name: &str) -> Option<(Format, Compression)> {
    let (compression, stem) = Compression::from_name(name);
    let format = match Path::new(stem).extension().and_then(|suffix| suffix.to_str()) {
        Some("jsonl" | "ndjson") => Format::Jsonl,
        Some("json") => Format::Json,
        Some("txt") => Format::Text,
        Some("parquet") if compression == Compression::None && cfg!(feature = "parquet") => Format::Parquet,
        Some("arrow" | "feather" | "ipc") if compression == Compression::None => Format::Ipc,
        _ => return None,
    };
    Some((format, compression))
}

/// Digits compare as numbers, everything else as bytes; ties by bytes, so that the order is total.
pub fn natural_order(a: &Path, b: &Path) -> Ordering {
    let (a, b) = (a.as_os_str().as_encoded_bytes(), b.as_os_str().as_encoded_bytes());
    let (mut left, mut right) = (a, b);
    while let (Some(&x), Some(&y)) = (left.first(), right.first()) {
        let order;
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, rest_a) = leading_number(left);
            let (number_b, rest_b) = leading_number(right);
            order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
            (left, right) = (rest_a, rest_b);
        } else {
            order = x.cmp(&y);
            (left, right) = (&left[1..], &right[1..]);
        }
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// The digits in front, without leading zeros, and what follows them.
fn leading_number(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    let zeros = bytes[..end].iter().take_while(|&&byte| byte == b'0').count();
    (&bytes[zeros..end], &bytes[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["part-10", "part-9", "part-1-b", "part-1", "part-01", "a"].map(Path::new);
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["a", "part-01", "part-1", "part-1-b", "part-9", "part-10"].map(Path::new));
    }
}
