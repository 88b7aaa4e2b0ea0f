//! A folder that a run has taken. It is given back if the run ends before anything in it is done for good, so that the
//! corrected call just works.

use std::path::{Path, PathBuf};

use super::journal::{Entry, JOURNAL_NAME, Journal};
use super::leftovers::{create_folders, discard};
use super::manifest::MANIFEST_NAME;
use crate::error::Result;
use crate::io::atomic::remove_if_present;

/// Taken when made; given back when dropped, unless kept.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    /// Folders that were not there before, the outermost first.
    created: Vec<PathBuf>,
    /// Whether the journal in the folder is ours: not before it is locked.
    has_journal: bool,
}

impl Claim {
    /// Makes the folder if needed.
    ///
    /// # Errors
    /// The system's reason.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self { folder: folder.to_owned(), created: create_folders(folder)?, has_journal: false })
    }

    /// Opens the journal, whose lock keeps other runs out.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn lock(&mut self) -> Result<(Journal, Vec<Entry>)> {
        let opened = Journal::open(&self.folder)?;
        self.has_journal = true;
        Ok(opened)
    }

    /// Leaves the folder as it is.
    pub fn keep(mut self) {
        self.has_journal = false;
        self.created.clear();
    }

    /// Removes what a run without a step has written. What cannot be removed stays: the run has an error already.
    fn give_back(&self) -> Result<()> {
        let entries = Journal::read(&self.folder)?;
        if entries.iter().any(|entry| matches!(entry, Entry::Step(_))) {
            return Ok(());
        }
        if !self.folder.join(MANIFEST_NAME).exists() {
            discard(&self.folder, &[], &entries)?;
        }
        remove_if_present(&self.folder.join(JOURNAL_NAME))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.has_journal {
            let _ = self.give_back();
        }
        for folder in self.created.iter().rev() {
            // One that holds something stays.
            let _ = std::fs::remove_dir(folder);
        }
    }
}
