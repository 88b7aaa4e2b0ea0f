//! The one error type: every variant says what was found, what was expected, and where.

use std::path::{Path, PathBuf};

/// Result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong, split by who must act: the author of the options, the owner of the file, or the system.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that cannot work.
    #[error("{field}: {reason}")]
    Config {
        /// Name of the option, as the user wrote it.
        field: String,
        /// What is wrong and what is accepted.
        reason: String,
    },
    /// A file's bytes break the rules of its format.
    #[error("{}: offset {offset}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Byte offset in the file as stored (compressed, when it is compressed).
        offset: u64,
        /// What was found and what was expected.
        reason: String,
    },
    /// One record of an input cannot become a document.
    #[error("{}: {}offset {offset}: {reason} (on_bad_record=\"quarantine\" sets such records aside)", path.display(), line_place(*line))]
    BadRecord {
        /// The input file.
        path: PathBuf,
        /// Line (or element, or row) counted from 1; none in a share of a file that does not begin at its start.
        line: Option<u64>,
        /// Byte offset of the record in the decompressed file.
        offset: u64,
        /// Why.
        reason: String,
    },
    /// More records are bad than the options allow.
    #[error("max_bad: {reason}")]
    TooManyBad {
        /// How many there are, and why.
        reason: String,
    },
    /// A file is in a format that we do not read here.
    #[error("{}: found {found}; supported: {supported}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What would be accepted.
        supported: String,
    },
    /// Two things that must agree do not.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What was compared.
        what: String,
        /// The value that was required.
        expected: String,
        /// The value that was there.
        found: String,
    },
    /// The books do not balance: a defect of this library, never of the data.
    #[error("the ledger does not balance: {reason} (please report this)")]
    Ledger {
        /// Which sum is off.
        reason: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A callback of the embedding language failed; it keeps its own error.
    #[error("callback failed: {0}")]
    Callback(String),
    /// A promise of this crate was broken.
    #[error("internal error: {0} (please report this)")]
    Internal(String),
}

fn line_place(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

impl Error {
    /// An option that cannot work.
    pub fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { field: field.into(), reason: reason.into() }
    }

    /// Bytes that break a format.
    pub fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, reason: reason.into() }
    }

    /// Wraps an operating system error with its path: `.map_err(Error::io(path))`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// Two things that must agree.
    pub fn mismatch(
        what: impl Into<String>,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Mismatch { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }
}
