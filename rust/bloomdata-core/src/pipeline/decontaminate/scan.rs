//! The first pass: all n-grams of the table in all documents, written down for each input.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hashbrown::HashMap;

use super::hit_file::{Found, HitWriter, Scanned, is_scanned, read_scanned};
use crate::decontaminate::scanner::{Hit, Scanner};
use crate::decontaminate::table::NgramTable;
use crate::document::Block;
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::pipeline::articles::texts::{TextReader, Texts};
use crate::pipeline::feed::{Item, Reading};
use crate::pipeline::folder::books::{Books, OnBadRecord, Snapshot};
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::limits::Limits;
use crate::pipeline::folder::outcome::{Fate, Outcome};
use crate::progress::Progress;
use crate::sources::Format;
use crate::unread_keys::KeySet;

/// What is looked for, and where.
#[derive(Debug)]
pub struct Scanning<'run> {
    /// The n-grams.
    pub table: &'run NgramTable,
    /// Where the text of a record is.
    pub field: &'run FieldPath,
    /// An n-gram in more documents than this counts for no row.
    pub common: u64,
    /// What to do with bad records.
    pub on_bad_record: OnBadRecord,
    /// How many of them there may be.
    pub limits: Limits,
    /// Where to write.
    pub folder: &'run Path,
}

/// What the pool makes of a block.
struct Scan {
    file: usize,
    outcomes: Vec<Outcome>,
    /// Lines count from the start of the block; then how many of the hits are its own.
    found: Vec<(Found, usize)>,
    hits: Vec<Hit>,
}

/// What a thread needs.
struct Worker<'run> {
    scanner: Scanner<'run>,
    hits: Vec<Hit>,
    /// For each n-gram of a document, whether it is written down.
    is_wanted: HashMap<u32, bool>,
}

/// Scans all inputs; those that were scanned already are not read. `on_sealed` is called when one more is done.
///
/// # Errors
/// What can be wrong with an input; a bad record, unless those are set aside; the system's reason.
pub fn scan(
    scanning: &Scanning<'_>,
    reading: Reading<'_>,
    mut on_sealed: impl FnMut() -> Result<()>,
) -> Result<()> {
    let (folder, inputs, progress) = (scanning.folder, &reading.inputs.inputs, reading.progress);
    let done = (0..inputs.len()).take_while(|&input| is_scanned(folder, input)).count();
    let state = match done.checked_sub(1) {
        Some(last) => read_scanned(folder, last)?.books,
        None => Snapshot::default(),
    };
    let mut books = Books::open(inputs, folder, scanning.on_bad_record, state)?.within(scanning.limits);
    if done == inputs.len() {
        return books.sync();
    }
    let formats: Vec<Format> = inputs.iter().map(|input| input.format).collect();
    let reader = TextReader { fields: std::slice::from_ref(scanning.field), formats, source: None };
    let keeps_raw = scanning.on_bad_record == OnBadRecord::Quarantine;
    // An n-gram that is known to be common needs no more disk. Which of its hits are left out depends on threads, but
    // `common` + 1 documents with it are always written down.
    let seen: Vec<AtomicU64> = scanning.table.first.iter().map(|_| AtomicU64::new(0)).collect();
    Reading { first_input: done, ..reading }.run(
        || {
            Scanner::new(scanning.table).map(|scanner| Worker {
                scanner,
                hits: Vec::new(),
                is_wanted: HashMap::new(),
            })
        },
        |worker, block| {
            let worker = worker.as_mut().map_err(|error| Error::Internal(error.to_string()))?;
            Ok(Item::Block(worker.scan(&reader, keeps_raw, (&seen, scanning.common), &block)))
        },
        |results| {
            let mut open: Option<HitWriter> = None;
            for item in results {
                progress.check()?;
                match item? {
                    Item::Block(scan) => {
                        let line = books.snapshot().position.line;
                        for outcome in &scan.outcomes {
                            books.settle(scan.file, outcome)?;
                        }
                        Progress::add(&progress.documents, Outcome::count(&scan.outcomes));
                        let writer = opened(&mut open, folder, scan.file)?;
                        let mut rest = &scan.hits[..];
                        for (mut found, count) in scan.found {
                            let own;
                            (own, rest) = rest.split_at(count);
                            found.line += line;
                            writer.push(&found, own)?;
                        }
                    }
                    Item::End { file, hash, content_bytes } => {
                        books.end_input(file, hash, content_bytes)?;
                        books.sync()?;
                        opened(&mut open, folder, file)?;
                        let entry = books.take_finished().into_iter().next();
                        if let (Some(writer), Some((_, mut input))) = (open.take(), entry) {
                            // The path is the user's.
                            input.path = std::path::PathBuf::new();
                            writer.seal(&Scanned { input, books: books.snapshot().clone() })?;
                        }
                        on_sealed()?;
                    }
                }
            }
            Ok(())
        },
    )
}

fn opened<'open>(
    open: &'open mut Option<HitWriter>,
    folder: &Path,
    input: usize,
) -> Result<&'open mut HitWriter> {
    match open {
        Some(writer) => Ok(writer),
        none => Ok(none.insert(HitWriter::create(folder, input)?)),
    }
}

impl Worker<'_> {
    fn scan(
        &mut self,
        reader: &TextReader<'_>,
        keeps_raw: bool,
        (seen, common): (&[AtomicU64], u64),
        block: &Block,
    ) -> Scan {
        let mut scan = Scan { file: block.file, outcomes: Vec::new(), found: Vec::new(), hits: Vec::new() };
        let mut line = 0;
        let visited = block.for_each(|record| {
            line += 1;
            let bytes = record.bytes.len() as u64;
            let found = Found { offset: record.offset, line, bytes, is_bad: false };
            let fate = match reader.read(block.file, record) {
                Ok(Texts::Dropped(reason)) => Fate::Dropped(reason),
                Ok(Texts::Found(texts)) => {
                    self.scanner.scan(texts.first().map_or("", |text| text), &mut self.hits);
                    let before = scan.hits.len();
                    self.keep_wanted(seen, common, &mut scan.hits);
                    if scan.hits.len() > before {
                        scan.found.push((found, scan.hits.len() - before));
                    }
                    Fate::Kept {
                        text_bytes: bytes,
                        articles: 1,
                        chats: ChatCounts::default(),
                        unread: KeySet::default(),
                    }
                }
                Err(reason) => {
                    scan.found.push((Found { is_bad: true, ..found }, 0));
                    let raw = if keeps_raw { record.bytes.to_vec() } else { Vec::new() };
                    Fate::Bad(reason, record.offset, raw)
                }
            };
            Outcome::push(&mut scan.outcomes, record.next_offset, fate);
            Ok::<(), std::convert::Infallible>(())
        });
        match visited {
            Ok(()) => scan,
            Err(never) => match never {},
        }
    }

    /// Appends the hits of a document, but those of n-grams that are known to be common.
    fn keep_wanted(&mut self, seen: &[AtomicU64], common: u64, out: &mut Vec<Hit>) {
        self.is_wanted.clear();
        for hit in &self.hits {
            let is_wanted = *self.is_wanted.entry(hit.ngram).or_insert_with(|| {
                let count = &seen[hit.ngram as usize];
                count.load(Relaxed) <= common && count.fetch_add(1, Relaxed) <= common
            });
            if is_wanted {
                out.push(*hit);
            }
        }
    }
}
