//! `journal.jsonl`: what an unfinished folder says, one line for every step that will not be done again.
//!
//! A line is written only after the files that it names are synced. A kill can cut the last line; it then never
//! happened. The journal is locked while a run is at work, so that two runs cannot share a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::manifest::{IndexedInputs, OutputEntry};
use super::names::{OutputNames, check_inside};
use crate::error::{Error, Result};
use crate::sources::Input;
use crate::sources::folders::JOURNAL_START;

/// Name in every unfinished folder.
pub const JOURNAL_NAME: &str = "journal.jsonl";

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// What the run was asked to do.
    Start {
        /// The verb.
        verb: String,
        /// Version of the library; another version may cut differently, so it does not resume.
        version: String,
        /// Options that decide output bytes.
        config: Value,
        /// Inputs as the system described them.
        inputs: Vec<Input>,
        /// Names of the files that the run writes.
        #[serde(default)]
        names: OutputNames,
    },
    /// An output is about to get its final name: the next step, if a kill does not come first.
    Sealing {
        /// Relative to the folder.
        path: String,
    },
    /// Something is done for good.
    Step(Step),
}

impl Entry {
    fn check_inside(&self, folder: &Path, journal: &Path) -> Result<()> {
        match self {
            Self::Start { names, .. } => names.check_inside(folder, journal),
            Self::Sealing { path } => check_inside(folder, path, journal),
            Self::Step(step) => {
                step.outputs.iter().try_for_each(|output| check_inside(folder, &output.path, journal))
            }
        }
    }
}

/// Outputs that are sealed, inputs that were read to their end, and where to go on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Inputs read to their end since the last step.
    pub inputs: IndexedInputs,
    /// Outputs sealed by this step.
    pub outputs: Vec<OutputEntry>,
    /// The verb's own state, from which it can go on.
    pub checkpoint: Value,
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens and locks the journal of `folder`, and reads what is in it.
    ///
    /// # Errors
    /// Another run is at work there, a journal that is damaged or names a path outside the folder, or the system's
    /// reason.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Entry>)> {
        let path = folder.join(JOURNAL_NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::config(
                    "output",
                    format!("another run is at work in {}", folder.display()),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
        }
        let (entries, good) = Self::parse(folder, &path, &mut file)?;
        file.set_len(good as u64).map_err(Error::io(&path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io(&path))?;
        Ok((Self { path, file }, entries))
    }

    /// All whole lines, and how many bytes they are.
    fn parse(folder: &Path, path: &Path, file: &mut File) -> Result<(Vec<Entry>, usize)> {
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(Error::io(path))?;
        let compared = text.len().min(JOURNAL_START.len());
        if text[..compared] != JOURNAL_START[..compared] {
            let reason =
                format!("expected an output of bloomdata: {} is not a journal of it", path.display());
            return Err(Error::config("output", reason));
        }
        let (mut entries, mut good) = (Vec::new(), 0);
        while let Some(length) = memchr::memchr(b'\n', &text[good..]) {
            let entry: Entry = serde_json::from_slice(&text[good..good + length]).map_err(|error| {
                Error::corrupt(path, good as u64, format!("{error} (delete the folder to start anew)"))
            })?;
            entry.check_inside(folder, path)?;
            entries.push(entry);
            good += length + 1;
        }
        Ok((entries, good))
    }

    /// What the journal of `folder` says, which this process has locked.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(folder: &Path) -> Result<Vec<Entry>> {
        let path = folder.join(JOURNAL_NAME);
        let mut file = File::open(&path).map_err(Error::io(&path))?;
        Self::parse(folder, &path, &mut file).map(|(entries, _)| entries)
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// The system's reason.
    pub fn clear(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(Error::io(&self.path))?;
        Ok(())
    }

    /// Adds a line that survives a crash.
    ///
    /// # Errors
    /// The system's reason.
    pub fn append(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(|error| Error::Internal(error.to_string()))?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.sync_data()).map_err(Error::io(&self.path))
    }

    /// Removes the journal: the run is finished.
    ///
    /// # Errors
    /// The system's reason.
    pub fn remove(&self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(Error::io(&self.path))
    }
}
