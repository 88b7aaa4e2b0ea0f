//! The first pass: every document's place, keys and signature, in a `.sig` for each input.

use std::path::{Path, PathBuf};

use super::bloom_index::BloomIndex;
use super::signature_file::{Origin, SignatureWriter};
use super::signing::{Signing, Worker, signature_path};
use super::sorter::Room;
use crate::document::Block;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::pipeline::articles::texts::{EMPTY, TextReader, Texts};
use crate::pipeline::feed::{Item, Reading};
use crate::pipeline::folder::books::{Books, OnBadRecord, Snapshot};
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::journal::{Entry, Journal};
use crate::pipeline::folder::limits::Limits;
use crate::pipeline::folder::manifest::InputEntry;
use crate::pipeline::folder::outcome::{Fate, Outcome};
use crate::progress::Progress;
use crate::sources::Format;
use crate::unread_keys::KeySet;

/// Hears of each input that is done.
pub trait Notes {
    /// The `.sig` of an input is about to get its name.
    ///
    /// # Errors
    /// What stops the run.
    fn sealing(&mut self, input: usize) -> Result<()>;

    /// It has its name.
    ///
    /// # Errors
    /// What stops the run.
    fn sealed(&mut self, input: usize) -> Result<()>;
}

/// Notes once that there is something to resume.
#[derive(Debug)]
pub struct FirstStep<'run> {
    /// The journal of the run.
    pub journal: &'run mut Journal,
    /// Whether it has no step yet.
    pub is_new: bool,
    /// The step.
    pub step: Entry,
}

impl Notes for FirstStep<'_> {
    fn sealing(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn sealed(&mut self, _: usize) -> Result<()> {
        if std::mem::take(&mut self.is_new) { self.journal.append(&self.step) } else { Ok(()) }
    }
}

/// What the pool makes of a block.
struct Signed {
    file: usize,
    documents: u64,
    /// For each column; lines of positions count from the start of the block.
    entries: Vec<Vec<u8>>,
    bad: Vec<u64>,
    outcomes: Vec<Outcome>,
    has_units: Vec<bool>,
    band_keys: Vec<u64>,
}

/// Signs all inputs; those with a `.sig` already are not read.
///
/// # Errors
/// What can be wrong with an input; a bad record, unless those are set aside, or too many of them; the system's reason.
pub fn sign(
    signing: &Signing,
    reading: Reading<'_>,
    (on_bad_record, limits): (OnBadRecord, Limits),
    room: Room<'_>,
    mut bloom: Option<&mut BloomIndex>,
    notes: &mut impl Notes,
) -> Result<()> {
    let inputs = &reading.inputs.inputs;
    let done = (0..inputs.len()).take_while(|&input| signature_path(room.folder, input).exists()).count();
    let mut state = Snapshot::default();
    for (number, input) in inputs[..done].iter().enumerate() {
        state = signing.header_of(room.folder, number, input)?.books;
    }
    let mut books = Books::open(inputs, room.folder, on_bad_record, state)?.within(limits);
    if done == inputs.len() {
        return books.sync();
    }
    let formats: Vec<Format> = inputs.iter().map(|input| input.format).collect();
    let reader = TextReader { fields: &signing.fields, formats, source: None };
    let keeps_raw = on_bad_record == OnBadRecord::Quarantine;
    let reading = Reading { first_input: done, ..reading };
    reading.run(
        || Worker::new(signing),
        |worker, block| {
            let worker = worker.as_mut().map_err(|error| Error::Internal(error.to_string()))?;
            Ok(Item::Block(sign_block(signing, worker, &reader, keeps_raw, &block)))
        },
        |results| {
            let mut open: Option<Open> = None;
            for item in results {
                room.progress.check()?;
                match item? {
                    Item::Block(mut signed) => {
                        let line = books.snapshot().position.line;
                        let before = &books.snapshot().ledger;
                        let file = Open::get(&mut open, signing, room.folder, signed.file, before)?;
                        for outcome in &signed.outcomes {
                            books.settle(signed.file, outcome)?;
                        }
                        Progress::add(&room.progress.documents, Outcome::count(&signed.outcomes));
                        add_lines(signed.entries.last_mut(), line);
                        if let Some(bloom) = &mut bloom {
                            bloom.take(&signed.has_units, &signed.band_keys)?;
                        }
                        file.signatures.append(signed.documents, &signed.entries)?;
                        file.signatures.note_bad(&signed.bad);
                    }
                    Item::End { file, hash, content_bytes } => {
                        let before = &books.snapshot().ledger;
                        Open::get(&mut open, signing, room.folder, file, before)?;
                        books.end_input(file, hash, content_bytes)?;
                        books.sync()?;
                        let entry = books.take_finished().into_iter().next().map(|(_, entry)| entry);
                        notes.sealing(file)?;
                        if let Some(Open { signatures, before }) = open.take() {
                            let (config, books) = (signing.config.clone(), books.snapshot().clone());
                            // The path is the user's; it may be as long as the header.
                            let input = entry.map(|entry| InputEntry { path: PathBuf::new(), ..entry });
                            signatures.seal(Origin { config, input, before, books })?;
                        }
                        notes.sealed(file)?;
                    }
                }
            }
            Ok(())
        },
    )
}

/// Lines of a block become lines of the input.
fn add_lines(positions: Option<&mut Vec<u8>>, before: u64) {
    let Some(positions) = positions else { return };
    for entry in positions.chunks_exact_mut(24) {
        let line = entry[..8].try_into().map_or(0, u64::from_le_bytes) + before;
        entry[..8].copy_from_slice(&line.to_le_bytes());
    }
}

/// The input that is being signed.
struct Open {
    signatures: SignatureWriter,
    /// The ledger before it.
    before: Ledger,
}

impl Open {
    fn get<'open>(
        open: &'open mut Option<Self>,
        signing: &Signing,
        folder: &Path,
        input: usize,
        before: &Ledger,
    ) -> Result<&'open mut Self> {
        match open {
            Some(open) => Ok(open),
            none => {
                let signatures = SignatureWriter::create(&signature_path(folder, input), &signing.columns)?;
                Ok(none.insert(Self { signatures, before: before.clone() }))
            }
        }
    }
}

fn sign_block(
    signing: &Signing,
    worker: &mut Worker,
    reader: &TextReader<'_>,
    keeps_raw: bool,
    block: &Block,
) -> Signed {
    let mut signed = Signed {
        file: block.file,
        documents: 0,
        entries: vec![Vec::new(); signing.columns.len()],
        bad: Vec::new(),
        outcomes: Vec::new(),
        has_units: Vec::new(),
        band_keys: Vec::new(),
    };
    let (position, mut line) = (signing.columns.len() - 1, 0_u64);
    let visited = block.for_each(|record| {
        line += 1;
        let fate = match reader.read(block.file, record) {
            Ok(Texts::Dropped(reason)) => Fate::Dropped(reason),
            Ok(Texts::Found(texts)) if signing.skips_empty && texts.iter().all(|text| text.is_empty()) => {
                Fate::Dropped(EMPTY)
            }
            Ok(Texts::Found(texts)) => {
                worker.sign(&texts, &mut signed.entries);
                signed.documents += 1;
                let bytes = record.bytes.len() as u64;
                let place = [line, record.offset, bytes];
                signed.entries[position].extend(place.into_iter().flat_map(u64::to_le_bytes));
                Fate::Kept {
                    text_bytes: bytes,
                    articles: 1,
                    chats: ChatCounts::default(),
                    unread: KeySet::default(),
                }
            }
            Err(reason) => {
                signed.bad.push(record.offset);
                let raw = if keeps_raw { record.bytes.to_vec() } else { Vec::new() };
                Fate::Bad(reason, record.offset, raw)
            }
        };
        Outcome::push(&mut signed.outcomes, record.next_offset, fate);
        Ok::<(), std::convert::Infallible>(())
    });
    signed.has_units = std::mem::take(&mut worker.has_units);
    signed.band_keys = std::mem::take(&mut worker.band_keys);
    match visited {
        Ok(()) => signed,
        Err(never) => match never {},
    }
}
