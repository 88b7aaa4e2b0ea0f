//! What the first pass has left of all inputs of a run: in its scratch folder, or in what was counted before.

use std::path::{Path, PathBuf};

use super::hit_file::read_scanned;
use crate::error::Result;
use crate::io::atomic::temporary_path;
use crate::ledger::Ledger;
use crate::pipeline::folder::books::QUARANTINE_NAME;
use crate::pipeline::folder::manifest::{InputEntry, OutputEntry};
use crate::pipeline::scratch::take_quarantine;
use crate::sources::inputs::InputList;

/// Hits, and the books behind them.
#[derive(Debug, Clone, Default)]
pub struct FirstPass {
    /// Where the hits of each input are.
    pub folder: PathBuf,
    /// The inputs as they were read.
    pub inputs: Vec<InputEntry>,
    /// Records of each.
    pub records: Vec<u64>,
    /// The books of all of them.
    pub ledger: Ledger,
    /// Where bad records were set aside, and how many bytes of it.
    pub quarantine: (PathBuf, u64),
    /// Records of the first input that other parts read.
    pub records_before: u64,
}

impl FirstPass {
    /// As a scan of these inputs has left it.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn read(scratch: &Path, inputs: &InputList) -> Result<Self> {
        let mut first = Self { folder: scratch.to_owned(), ..Self::default() };
        first.quarantine.0 = temporary_path(&scratch.join(QUARANTINE_NAME));
        for (number, input) in inputs.inputs.iter().enumerate() {
            let mut scanned = read_scanned(scratch, number)?;
            scanned.input.path.clone_from(&input.path);
            first.inputs.push(scanned.input);
            first.records.push(scanned.books.ledger.documents_in - first.ledger.documents_in);
            first.ledger = scanned.books.ledger;
            first.quarantine.1 = scanned.books.quarantine_bytes;
        }
        Ok(first)
    }

    /// The bad records as an output of the run's folder.
    ///
    /// # Errors
    /// The system's reason.
    pub fn quarantined(&self, folder: &Path) -> Result<Option<OutputEntry>> {
        let (path, bytes) = &self.quarantine;
        take_quarantine(folder, path, *bytes, self.ledger.quarantined())
    }
}
