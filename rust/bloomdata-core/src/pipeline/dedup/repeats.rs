//! Parts of documents that occurred before: windows of words, paragraphs, lines.
//!
//! Two passes: the first counts keys in a table of two bits a slot (none, once, more), the second sorts the full keys of
//! those parts alone whose slot says more. A table that is too small lets more of them through; the answer stays the same.

use std::path::Path;

use super::corpus::{Corpus, Lookup, Part as CorpusPart};
use super::records::RecordWriter;
use super::sorter::{Room, Sorter};
use crate::dedup::keep::DocumentSet;
use crate::dedup::segments::{Part, Segment, Segments};
use crate::document::Block;
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::pipeline::articles::texts::{TextReader, Texts};
use crate::pipeline::feed::{Item, Reading};
use crate::pipeline::folder::run::CustomReader;
use crate::sources::Format;
use crate::sources::inputs::InputList;
use crate::token::{halves, index};

/// Slots of the table for each byte of text.
const SLOTS_PER_BYTE: u64 = 2;
/// Slots of a word of the table.
const SLOTS: u64 = 32;

/// A later part of the corpus, and its first occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repeat {
    /// The document, and the number of the part's first unit in it.
    pub document: u64,
    /// That number.
    pub unit: u64,
    /// Where it is in the text, in bytes.
    pub bytes: (u64, u64),
    /// The document of the first occurrence.
    pub first_document: u64,
    /// Where it is in that one's text.
    pub first_bytes: (u64, u64),
}

impl Repeat {
    /// As a record.
    pub fn record(&self) -> [u64; 7] {
        let Self { document, unit, bytes, first_document, first_bytes } = *self;
        [document, unit, bytes.0, bytes.1, first_document, first_bytes.0, first_bytes.1]
    }

    /// From a record.
    pub fn from_record([document, unit, start, end, first_document, first, last]: [u64; 7]) -> Self {
        Self { document, unit, bytes: (start, end), first_document, first_bytes: (first, last) }
    }
}

/// Counts by key, up to two.
#[derive(Debug)]
struct Counts {
    words: Vec<u64>,
    shift: u32,
}

impl Counts {
    /// Room for the keys of so many bytes of text, in no more than `most` bytes.
    fn new(text_bytes: u64, most: u64) -> Self {
        let slots = (text_bytes.saturating_mul(SLOTS_PER_BYTE)).min(most.saturating_mul(4)).max(1 << 12);
        // A power of two that is not above.
        let bits = slots.ilog2();
        Self { words: vec![0; index((1_u64 << bits) / SLOTS)], shift: 64 - bits }
    }

    fn add(&mut self, key: u64) {
        let slot = key >> self.shift;
        let (word, at) = (&mut self.words[index(slot / SLOTS)], 2 * (slot % SLOTS));
        // 0 becomes 1, all else 2 or more.
        let count = *word >> at & 3;
        *word |= (count.min(1) + 1) << at;
    }

    fn may_repeat(&self, key: u64) -> bool {
        let slot = key >> self.shift;
        self.words[index(slot / SLOTS)] >> (2 * (slot % SLOTS)) & 2 != 0
    }
}

/// What both passes read.
pub struct Scan<'run> {
    /// All documents.
    pub corpus: &'run Corpus,
    /// Their inputs.
    pub parts: &'run [CorpusPart<'run>],
    /// Documents that are dropped already: they take no part.
    pub dropped: &'run DocumentSet,
    /// Where the text is.
    pub field: &'run FieldPath,
    /// What is compared.
    pub part: Part,
    /// Reads inputs that are tables.
    pub custom: &'run CustomReader<'run>,
    /// Memory, threads, and what stops the run.
    pub room: Room<'run>,
}

impl Scan<'_> {
    /// Finds all later parts. Writes them in order to `path`, and the units of every document to `units_path`.
    ///
    /// # Errors
    /// An input that has changed since the first pass; the system's reason.
    pub fn find(&self, path: &Path, units_path: &Path) -> Result<()> {
        let text_bytes = self.corpus.inputs.iter().filter_map(|input| input.header.input.as_ref());
        let text_bytes = text_bytes.map(|input| input.content_bytes.max(input.size)).sum();
        let mut counts = Counts::new(text_bytes, self.room.bytes);
        let mut units = RecordWriter::<1>::create(units_path)?;
        self.read(
            |segments, text, (keys, counts): &mut (Vec<u64>, Vec<u64>)| {
                counts.push(text.map_or(0, |(_, text)| segments.keys(text, keys)));
            },
            |(keys, found)| {
                for key in keys {
                    counts.add(key);
                }
                found.into_iter().try_for_each(|count| units.push([count]))
            },
        )?;
        units.seal()?;
        let mut keys: Sorter<'_, 6> = Sorter::new(self.room, "parts");
        self.read(
            |segments, text, out: &mut Vec<[u64; 6]>| {
                let Some((document, text)) = text else { return };
                segments.repeated(
                    text,
                    |key| counts.may_repeat(key),
                    |key, Segment { unit, start, end }| {
                        let (high, low) = halves(key);
                        out.push([high, low, document, unit, start, end]);
                    },
                );
            },
            |found| found.into_iter().try_for_each(|record| keys.push(record)),
        )?;
        drop(counts);
        let mut later: Sorter<'_, 7> = Sorter::new(self.room, "later");
        let mut first: Option<[u64; 6]> = None;
        for record in keys.finish()? {
            let record = record?;
            match first {
                Some(first) if first[..2] == record[..2] => {
                    later.push([record[2], record[3], record[4], record[5], first[2], first[4], first[5]])?;
                }
                _ => first = Some(record),
            }
        }
        let mut file = RecordWriter::<7>::create(path)?;
        for record in later.finish()? {
            let record = record?;
            if record[0] >= self.corpus.against {
                file.push(record)?;
            }
        }
        file.seal()
    }

    /// Reads all documents in order: `work` sees each one's number and text, none of those that are dropped.
    fn read<Out: Default + Send>(
        &self,
        work: impl Fn(&mut Segments, Option<(u64, &str)>, &mut Out) + Send + Sync,
        mut settle: impl FnMut(Out) -> Result<()>,
    ) -> Result<()> {
        let mut list = InputList::default();
        list.inputs.extend(self.parts.iter().flat_map(|part| part.inputs.inputs.iter().cloned()));
        let formats: Vec<Format> = list.inputs.iter().map(|input| input.format).collect();
        let reader = TextReader { fields: std::slice::from_ref(self.field), formats, source: None };
        let reading = Reading {
            inputs: &list,
            custom: self.custom,
            num_threads: self.room.num_threads,
            progress: self.room.progress,
            first_input: 0,
        };
        reading.run(
            || (Segments::new(self.part), Lookup::new(self.corpus)),
            |(segments, lookup), block| {
                let work = &work;
                let segments = segments.as_mut().map_err(|error| Error::Internal(error.to_string()))?;
                let mut out = Out::default();
                self.each_document(lookup, &reader, &block, |document, text| {
                    let is_left = !self.dropped.contains(document);
                    work(segments, is_left.then_some((document, text)), &mut out);
                })?;
                Ok(Item::Block(out))
            },
            |results| {
                for item in results {
                    self.room.progress.check()?;
                    match item? {
                        Item::Block(out) => settle(out)?,
                        Item::End { file, hash, .. } => self.corpus.check_same(file, &hash)?,
                    }
                }
                Ok(())
            },
        )
    }

    fn each_document(
        &self,
        lookup: &mut Lookup<'_>,
        reader: &TextReader<'_>,
        block: &Block,
        mut visit: impl FnMut(u64, &str),
    ) -> Result<()> {
        let documents = lookup.between(block.file, block.offset, block.end_offset())?;
        let mut documents = documents.into_iter().peekable();
        block.for_each(|record| {
            let Some((_, document)) = documents.next_if(|(offset, _)| *offset == record.offset) else {
                return Ok(());
            };
            match reader.read(block.file, record) {
                Ok(Texts::Found(texts)) => {
                    visit(document, texts.first().map_or("", |text| text));
                    Ok(())
                }
                _ => Err(self.corpus.changed(block.file)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_twice_may_repeat_whatever_the_size_of_the_table() {
        for most in [0, 1 << 12, 1 << 20] {
            let mut counts = Counts::new(1 << 16, most);
            let key = |at: u64| crate::rng::key(5, 6, at);
            for at in 0..1000 {
                counts.add(key(at));
            }
            let alone = (0..1000).filter(|&at| !counts.may_repeat(key(at))).count();
            assert!(alone > 700, "{alone} of 1000 are alone");
            for at in (0..1000).step_by(2) {
                counts.add(key(at));
            }
            assert!((0..1000).step_by(2).all(|at| counts.may_repeat(key(at))));
        }
    }
}
