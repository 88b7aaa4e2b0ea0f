//! All signed documents of a run, by number: first those that are only compared with, then those of the inputs.

use std::path::PathBuf;

use super::records::partition_point;
use super::signature_file::{Column, Header, SignatureFile};
use super::signing::{Signing, signature_path};
use crate::error::{Error, Result};
use crate::pipeline::scratch::{check_same, records_changed};
use crate::sources::inputs::InputList;
use crate::token::index;

/// Documents whose entries are read at once.
const SCANNED: u64 = 4096;
/// Files of signatures that are kept open.
const OPEN_FILES: usize = 64;

/// A list of signed inputs.
#[derive(Debug)]
pub struct Part<'run> {
    /// The folder of their `.sig` files.
    pub folder: PathBuf,
    /// Number of the first one in that folder.
    pub first: usize,
    /// The inputs.
    pub inputs: &'run InputList,
}

/// Where the documents of an input are.
#[derive(Debug, Clone)]
pub struct SignedInput {
    /// The `.sig`.
    path: PathBuf,
    /// The input, as the user named it.
    pub name: PathBuf,
    /// Number of its first document.
    pub first: u64,
    /// What the `.sig` says.
    pub header: Header,
}

/// All documents.
#[derive(Debug)]
pub struct Corpus {
    /// In order.
    pub inputs: Vec<SignedInput>,
    /// Documents that are only compared with.
    pub against: u64,
    /// All documents.
    pub documents: u64,
}

/// Where a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of its input in the corpus.
    pub input: usize,
    /// Its line, from 1.
    pub line: u64,
    /// Its offset.
    pub offset: u64,
    /// Bytes of its record.
    pub bytes: u64,
}

impl Corpus {
    /// Opens all `.sig` files of the parts; the first `against` parts are only compared with.
    ///
    /// # Errors
    /// A file that is damaged, or is that of other options or of another input.
    pub fn open(parts: &[Part<'_>], against: usize, signing: &Signing) -> Result<Self> {
        let mut corpus = Self { inputs: Vec::new(), against: 0, documents: 0 };
        for (at, part) in parts.iter().enumerate() {
            for (number, input) in (part.first..).zip(&part.inputs.inputs) {
                let path = signature_path(&part.folder, number);
                let header = signing.header_of(&part.folder, number, input)?;
                let (first, name) = (corpus.documents, input.path.clone());
                corpus.documents += header.documents;
                corpus.inputs.push(SignedInput { path, name, first, header });
            }
            if at + 1 == against {
                corpus.against = corpus.documents;
            }
        }
        Ok(corpus)
    }

    /// Checks that an input is what it was in the first pass.
    ///
    /// # Errors
    /// It has another hash.
    pub fn check_same(&self, input: usize, hash: &str) -> Result<()> {
        let SignedInput { name, header, .. } = &self.inputs[input];
        header.input.as_ref().map_or(Ok(()), |first| check_same(name, &first.hash, hash))
    }

    /// An input is not what it was in the first pass.
    pub fn changed(&self, input: usize) -> Error {
        records_changed(&self.inputs[input].name)
    }

    /// The input of a document.
    pub fn input_of(&self, document: u64) -> usize {
        self.inputs.partition_point(|input| input.first <= document).saturating_sub(1)
    }

    /// Calls `visit` with the number of every document and its entry of a column, in order.
    ///
    /// # Errors
    /// The system's reason; what `visit` returns.
    pub fn scan(&self, column: Column, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let mut entries = Vec::new();
        for input in &self.inputs {
            let file = SignatureFile::open(&input.path)?;
            let mut at = 0;
            while at < input.header.documents {
                let count = SCANNED.min(input.header.documents - at);
                file.read(column, at, count, &mut entries)?;
                let width = entries.len() / index(count);
                for (document, entry) in (input.first + at..).zip(entries.chunks_exact(width)) {
                    visit(document, entry)?;
                }
                at += count;
            }
        }
        Ok(())
    }
}

/// Reads single entries; each thread has its own.
#[derive(Debug)]
pub struct Lookup<'run> {
    corpus: &'run Corpus,
    /// By input, those that are open.
    open: Vec<(usize, SignatureFile)>,
    /// Which one is closed next.
    next: usize,
}

impl<'run> Lookup<'run> {
    /// Nothing is open yet.
    pub fn new(corpus: &'run Corpus) -> Self {
        Self { corpus, open: Vec::new(), next: 0 }
    }

    /// A document's entry of a column, in place of what `out` holds.
    ///
    /// # Errors
    /// The system's reason.
    pub fn read(&mut self, column: Column, document: u64, out: &mut Vec<u8>) -> Result<()> {
        let input = self.corpus.input_of(document);
        let first = self.corpus.inputs[input].first;
        self.file(input)?.read(column, document - first, 1, out)
    }

    /// Where a document is.
    ///
    /// # Errors
    /// The system's reason.
    pub fn place(&mut self, document: u64) -> Result<Place> {
        let mut entry = Vec::new();
        self.read(Column::Position, document, &mut entry)?;
        let number = |at: usize| entry[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        Ok(Place {
            input: self.corpus.input_of(document),
            line: number(0),
            offset: number(8),
            bytes: number(16),
        })
    }

    /// The documents of an input whose records start from one offset to another, as (offset, document).
    ///
    /// # Errors
    /// The system's reason.
    pub fn between(&mut self, input: usize, start: u64, end: u64) -> Result<Vec<(u64, u64)>> {
        let SignedInput { first, header, .. } = &self.corpus.inputs[input];
        let (first, documents) = (*first, header.documents);
        let file = self.file(input)?;
        let mut entry = Vec::new();
        let mut offset_of = |at: u64| -> Result<u64> {
            file.read(Column::Position, at, 1, &mut entry)?;
            Ok(entry[8..16].try_into().map_or(0, u64::from_le_bytes))
        };
        let mut lowest = |wanted| partition_point((0, documents), |at| Ok(offset_of(at)? < wanted));
        let (from, to) = (lowest(start)?, lowest(end)?);
        let mut entries = Vec::new();
        file.read(Column::Position, from, to - from, &mut entries)?;
        let offsets =
            entries.chunks_exact(24).map(|entry| entry[8..16].try_into().map_or(0, u64::from_le_bytes));
        Ok(offsets.zip(first + from..).collect())
    }

    fn file(&mut self, input: usize) -> Result<&SignatureFile> {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == input) {
            return Ok(&self.open[at].1);
        }
        let file = SignatureFile::open(&self.corpus.inputs[input].path)?;
        let at = if self.open.len() < OPEN_FILES {
            self.open.push((input, file));
            self.open.len() - 1
        } else {
            let at = self.next;
            self.next = (at + 1) % OPEN_FILES;
            self.open[at] = (input, file);
            at
        };
        Ok(&self.open[at].1)
    }
}
