//! Inputs in their order, and what of a folder is none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::input::{Format, Input};
use super::parts::{Part, Sharing, share_out};
use crate::error::{Error, Result};

/// Why a file of a folder or of a pattern is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its name begins with a dot, or it is a folder that begins with `_`.
    Hidden,
    /// What our own commands leave beside their outputs.
    Books,
    /// A link to a folder that is read under another name.
    Linked,
    /// A folder that a pattern matches.
    Folder,
    /// No suffix of data.
    UnknownFormat,
    /// A licence, checksums and the like, by its name.
    Metadata,
    /// Lines of text beside or above files of records.
    TextBesideRecords,
    /// A file in a folder of `save_to_disk` that its `state.json` does not name.
    NotOfDataset,
}

impl Reason {
    /// In the words of reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Books => "written by bloomdata",
            Self::Linked => "linked twice",
            Self::Folder => "folder",
            Self::UnknownFormat => "unknown format",
            Self::Metadata => "metadata by its name",
            Self::TextBesideRecords => "text beside records",
            Self::NotOfDataset => "not named by state.json",
        }
    }
}

/// A file that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Inputs in order, and the files of folders that are none of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputList {
    /// What will be read.
    pub inputs: Vec<Input>,
    /// For each input that was expanded, the index of the pattern that it came from.
    pub patterns: Vec<usize>,
    /// What a folder or a pattern holds and is not read. Named in reports.
    pub ignored: Vec<Ignored>,
    /// For objects in a store, the last bytes of each.
    pub ends: Vec<Vec<u8>>,
    /// The part of all that the inputs are, where they were shared out.
    pub part: Option<Box<Part>>,
}

impl InputList {
    /// Says under which key JSON files have their records.
    ///
    /// # Errors
    /// There is no JSON file.
    pub fn set_records(&mut self, key: Option<&str>) -> Result<()> {
        let Some(key) = key else { return Ok(()) };
        let json = self.inputs.iter_mut().filter(|input| input.format == Format::Json);
        if json.map(|input| input.records = Some(key.into())).count() == 0 {
            let reason = format!("{key:?} is a key of .json files, and none is among the inputs");
            return Err(Error::config("records", reason));
        }
        Ok(())
    }

    /// Keeps what one part reads.
    ///
    /// # Errors
    /// As [`super::parts::share_out`].
    pub fn restrict(&mut self, number: u64, sharing: Sharing) -> Result<()> {
        if number >= sharing.parts {
            let reason = format!("expected 0 to {}, got {number}", sharing.parts.saturating_sub(1));
            return Err(Error::config("part", reason));
        }
        let shared = share_out(std::mem::take(&mut self.inputs), &self.ends, sharing)?;
        let shares = shared.iter().enumerate();
        let shares: Vec<(usize, Input)> =
            shares.filter_map(|(at, input)| Some((at, input.share(number)?))).collect();
        let first_input = shares.first().map_or(shared.len(), |(at, _)| *at);
        self.patterns = shares.iter().map(|(at, _)| self.argument(*at)).collect();
        self.inputs = shares.into_iter().map(|(_, input)| input).collect();
        self.part = Some(Box::new(Part { number, sharing, shared, first_input }));
        Ok(())
    }

    /// Notes a file that is not read.
    pub(super) fn ignore(&mut self, path: PathBuf, reason: Reason) {
        self.ignored.push(Ignored { path, reason });
    }

    /// How many files are not read, by reason.
    pub fn ignored_reasons(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for ignored in &self.ignored {
            *counts.entry(ignored.reason.name().to_owned()).or_default() += 1;
        }
        counts
    }

    /// The index of the argument that an input came from; tables are arguments of their own.
    pub fn argument(&self, input: usize) -> usize {
        self.patterns.get(input).copied().unwrap_or(input)
    }
}
