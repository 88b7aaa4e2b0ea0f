//! The second pass: the sets of shingles of those documents that are to be compared, on disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::corpus::{Corpus, Lookup, Part};
use super::options::SignatureConfig;
use super::records::{RecordFile, RecordWriter};
use super::sorter::Room;
use crate::dedup::jaccard::to_set;
use crate::dedup::keep::DocumentSet;
use crate::dedup::units::Units;
use crate::dedup::windows::Windows;
use crate::document::Block;
use crate::error::{Error, Result};
use crate::io::atomic::{rename_durably, temporary_path};
use crate::json_fields::FieldPath;
use crate::pipeline::articles::texts::{TextReader, Texts};
use crate::pipeline::feed::{Item, Reading};
use crate::pipeline::folder::run::CustomReader;
use crate::sources::Format;
use crate::sources::inputs::InputList;
use crate::token::index;

/// Sets by document, in one folder, or in several that follow each other.
#[derive(Debug)]
pub struct ShingleSets {
    documents: DocumentSet,
    /// For each word of the set, how many documents come before it.
    ranks: Vec<u64>,
    pieces: Vec<Piece>,
}

/// The sets in a folder: a file of them, and one that says where each is.
#[derive(Debug)]
struct Piece {
    /// How many there are in those before.
    first: u64,
    sets: (PathBuf, File),
    /// Of each set, its first shingle's number, and how many it has.
    places: RecordFile<2>,
}

pub(super) const SETS_NAME: &str = "sets";
pub(super) const PLACES_NAME: &str = "set-places";

impl ShingleSets {
    /// Opens what [`collect`] has written for `documents` into these folders, in order.
    ///
    /// # Errors
    /// As many sets as there are documents are not there; the system's reason.
    pub fn open(folders: &[PathBuf], documents: DocumentSet) -> Result<Self> {
        let (mut pieces, mut first) = (Vec::new(), 0);
        for folder in folders {
            let path = folder.join(SETS_NAME);
            let sets = File::open(&path).map_err(Error::io(&path))?;
            let places = RecordFile::open(&folder.join(PLACES_NAME))?;
            let count = places.count;
            pieces.push(Piece { first, sets: (path, sets), places });
            first += count;
        }
        if first != documents.len() {
            let reason = format!("expected sets of {} documents, found {first}", documents.len());
            return Err(Error::corrupt(&pieces[0].sets.0, 0, reason));
        }
        let ranks = documents.ranks();
        Ok(Self { documents, ranks, pieces })
    }

    /// The sorted set of a document, in place of what `out` holds.
    ///
    /// # Errors
    /// A document that was not collected; the system's reason.
    pub fn read(&self, document: u64, out: &mut Vec<u64>) -> Result<()> {
        let rank = self.documents.rank(&self.ranks, document);
        // Of pieces that begin at one place, all but the last are empty.
        let at = self.pieces.partition_point(|piece| piece.first <= rank).saturating_sub(1);
        let Piece { first: before, sets: (path, sets), places } = &self.pieces[at];
        let [first, count] = places.read(rank - before, 1)?[0];
        let mut bytes = vec![0; index(8 * count)];
        sets.read_exact_at(&mut bytes, 8 * first).map_err(Error::io(path))?;
        out.clear();
        out.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        Ok(())
    }
}

/// How texts become sets.
#[derive(Debug, Clone)]
pub struct SetMaker {
    units: Units,
    windows: Windows,
    hashes: Vec<u64>,
    shingles: Vec<u64>,
}

impl SetMaker {
    /// By these options.
    ///
    /// # Errors
    /// Never, see [`Units::new`].
    pub fn new(config: &SignatureConfig) -> Result<Self> {
        let units = Units::new(config.unit, config.normalize)?;
        let windows = Windows::new(config.shingle_size);
        Ok(Self { units, windows, hashes: Vec::new(), shingles: Vec::new() })
    }

    /// The sorted set of a text's shingles.
    pub fn set(&mut self, text: &str) -> &[u64] {
        self.units.hashes(text, &mut self.hashes);
        self.windows.shingles(&self.hashes, &mut self.shingles);
        to_set(&mut self.shingles);
        &self.shingles
    }
}

/// Reads the inputs of all documents that are wanted once more, and writes the sets of these.
///
/// # Errors
/// An input that has changed since the first pass; the system's reason.
pub fn collect(
    corpus: &Corpus,
    parts: &[Part<'_>],
    wanted: &DocumentSet,
    (field, config): (&FieldPath, &SignatureConfig),
    custom: &CustomReader<'_>,
    room: Room<'_>,
) -> Result<()> {
    let (inputs, numbers) = inputs_with(corpus, parts, wanted);
    let formats: Vec<Format> = inputs.inputs.iter().map(|input| input.format).collect();
    let reader = TextReader { fields: std::slice::from_ref(field), formats, source: None };
    let reading = Reading {
        inputs: &inputs,
        custom,
        num_threads: room.num_threads,
        progress: room.progress,
        first_input: 0,
    };
    let (path, places_path) = (room.folder.join(SETS_NAME), room.folder.join(PLACES_NAME));
    let temporary = temporary_path(&path);
    let file = File::create(&temporary).map_err(Error::io(&temporary))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut places = RecordWriter::<2>::create(&places_path)?;
    let mut written = 0_u64;
    reading.run(
        || (SetMaker::new(config), Lookup::new(corpus)),
        |(maker, lookup), block| {
            let maker = maker.as_mut().map_err(|error| Error::Internal(error.to_string()))?;
            let place = (corpus, numbers[block.file]);
            sets_of(maker, lookup, place, wanted, &reader, &block).map(Item::Block)
        },
        |results| {
            for item in results {
                room.progress.check()?;
                match item? {
                    Item::Block((lengths, bytes)) => {
                        for length in lengths {
                            places.push([written, length])?;
                            written += length;
                        }
                        file.write_all(&bytes).map_err(Error::io(&temporary))?;
                    }
                    Item::End { file, hash, .. } => corpus.check_same(numbers[file], &hash)?,
                }
            }
            Ok(())
        },
    )?;
    let file = file.into_inner().map_err(|error| Error::io(&temporary)(error.into_error()))?;
    file.sync_all().map_err(Error::io(&temporary))?;
    places.seal()?;
    // Last: it says that the pass is done.
    rename_durably(&temporary, &path)
}

/// Whether the sets are there.
pub fn is_collected(folder: &Path) -> bool {
    folder.join(SETS_NAME).exists()
}

/// The inputs that hold a wanted document, and the number of each in the corpus.
fn inputs_with(corpus: &Corpus, parts: &[Part<'_>], wanted: &DocumentSet) -> (InputList, Vec<usize>) {
    let mut list = InputList::default();
    let mut numbers = Vec::new();
    let all = parts.iter().flat_map(|part| &part.inputs.inputs);
    for (number, (input, signed)) in all.zip(&corpus.inputs).enumerate() {
        if wanted.has_between(signed.first, signed.first + signed.header.documents) {
            list.inputs.push(input.clone());
            numbers.push(number);
        }
    }
    (list, numbers)
}

/// The sets of a block's wanted documents: sizes, and bytes.
fn sets_of(
    maker: &mut SetMaker,
    lookup: &mut Lookup<'_>,
    (corpus, number): (&Corpus, usize),
    wanted: &DocumentSet,
    reader: &TextReader<'_>,
    block: &Block,
) -> Result<(Vec<u64>, Vec<u8>)> {
    let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
    let documents = lookup.between(number, block.offset, block.end_offset())?;
    let mut wanted = documents.into_iter().filter(|(_, document)| wanted.contains(*document)).peekable();
    block.for_each(|record| {
        let Some((offset, _)) = wanted.peek() else { return Ok(()) };
        if *offset != record.offset {
            return Ok(());
        }
        wanted.next();
        let Ok(Texts::Found(texts)) = reader.read(block.file, record) else {
            return Err(corpus.changed(number));
        };
        let set = maker.set(texts.first().map_or("", |text| text));
        lengths.push(set.len() as u64);
        bytes.extend(set.iter().flat_map(|shingle| shingle.to_le_bytes()));
        Ok(())
    })?;
    Ok((lengths, bytes))
}
