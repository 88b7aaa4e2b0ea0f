//! Which bytes of an input are read, and where they lie.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A share of a file of lines, or of row groups. Both pairs of offsets are of the same places: frames of zstd start there, or any byte of a
/// file that is not compressed; content of tables is counted in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRange {
    /// Start and end in the file as stored.
    pub stored: [u64; 2],
    /// Start and end in what it holds.
    pub content: [u64; 2],
}

impl FileRange {
    /// Whether it is the last one of a file of so many bytes.
    pub fn is_last(&self, size: u64) -> bool {
        self.stored[1] >= size
    }

    /// Whether lines are skipped at its start: one that starts before it.
    pub fn starts_inside(&self) -> bool {
        self.content[0] > 0
    }
}

/// Where the bytes of an input lie, if not under its own name. That says nothing of what they are: any two are equal.
#[derive(Debug, Clone, Default)]
pub struct Place(pub Option<PathBuf>);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}
