//! What the first pass has left of all inputs of a run: in its scratch folder, or in what was counted before.

use std::path::{Path, PathBuf};

use super::hit_file::read_scanned;
use super::scan::{Scanning, scan};
use super::search::Search;
use crate::error::Result;
use crate::io::atomic::temporary_path;
use crate::ledger::Ledger;
use crate::pipeline::feed::Reading;
use crate::pipeline::folder::books::QUARANTINE_NAME;
use crate::pipeline::folder::manifest::{InputEntry, OutputEntry};
use crate::pipeline::folder::run::Run;
use crate::pipeline::scratch::{create_scratch, take_quarantine};
use crate::pipeline::sharding::engine::first_step;
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
    /// Scans all inputs of a run, or what an earlier attempt has left of them.
    ///
    /// # Errors
    /// As [`scan`].
    pub fn scan(
        search: &Search<'_>,
        run: &mut Run<'_>,
        scratch: &Path,
        reading: Reading<'_>,
    ) -> Result<Self> {
        create_scratch(scratch, scratch)?;
        let mut is_new = run.done.checkpoint.is_null();
        let scanning = Scanning {
            table: &search.table,
            field: &search.field,
            common: search.config.common,
            on_bad_record: search.config.shards.on_bad_record,
            limits: run.limits(),
            folder: scratch,
        };
        scan(&scanning, reading, || {
            if std::mem::take(&mut is_new) {
                // From here on there is something to resume.
                run.journal.append(&first_step(Vec::new())?)?;
            }
            Ok(())
        })?;
        Self::read(scratch, reading.inputs)
    }

    fn read(scratch: &Path, inputs: &InputList) -> Result<Self> {
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
