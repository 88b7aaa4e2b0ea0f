//! The first pass: every document's place, keys and signature, in a `.sig` for each input.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::options::{DedupConfig, SignatureConfig};
use super::signature_file::{Column, Header, SignatureFile, SignatureWriter};
use super::sorter::Room;
use crate::dedup::exact_key::{ExactKeys, TextForm};
use crate::dedup::minhash::MinHasher;
use crate::dedup::units::Units;
use crate::dedup::windows::Windows;
use crate::document::Block;
use crate::error::{Error, Result};
use crate::io::atomic::AtomicFile;
use crate::json_fields::FieldPath;
use crate::pipeline::articles::texts::{EMPTY, TextReader, Texts};
use crate::pipeline::feed::{Item, Reading};
use crate::pipeline::folder::books::{Books, Fate, OnBadRecord, Outcome, Snapshot};
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::manifest::InputEntry;
use crate::progress::Progress;
use crate::sources::{Format, Input};

/// What is wanted of each document.
#[derive(Debug, Clone)]
pub struct Signing {
    fields: Vec<FieldPath>,
    /// Whether records without any text are no documents.
    skips_empty: bool,
    signature: Option<SignatureConfig>,
    exact: Option<TextForm>,
    columns: Vec<(Column, u64)>,
    config: Value,
}

impl Signing {
    /// Of the options of a run.
    ///
    /// # Errors
    /// A field without a name.
    pub fn new(config: &DedupConfig) -> Result<Self> {
        let signature = config.near.as_ref().map(|near| near.signature.clone());
        let exact = config.exact.as_ref().map(|exact| exact.normalize);
        let mut columns = Vec::new();
        if let Some(signature) = &signature {
            columns.push((Column::Signature, signature.signature_bytes() as u64));
            columns.push((Column::Units, 16));
        }
        if exact.is_some() {
            columns.push((Column::Exact, 16));
        }
        columns.push((Column::Position, 24));
        let config = serde_json::json!({
            "text_field": config.text_field, "signature": &signature, "exact": exact,
        });
        Ok(Self {
            fields: vec![config_field(&config)?],
            skips_empty: false,
            signature,
            exact,
            columns,
            config,
        })
    }

    /// Of equal texts alone: those of one field, or of several together. Records without any text are left out.
    pub fn of_equal_texts(fields: Vec<FieldPath>, form: TextForm) -> Self {
        // The names of fields may be longer than the header.
        let config = serde_json::json!({"text_fields": fields.len(), "exact": form});
        let columns = vec![(Column::Exact, 16), (Column::Position, 24)];
        Self { fields, skips_empty: true, signature: None, exact: Some(form), columns, config }
    }

    /// What the `.sig` of an input says, which an earlier attempt may have left.
    ///
    /// # Errors
    /// A file that is damaged, or is that of other options or of another input.
    pub fn header_of(&self, folder: &Path, number: usize, input: &Input) -> Result<Header> {
        let path = signature_path(folder, number);
        let header = SignatureFile::open(&path)?.header;
        let differs = |what: &str| format!("{}: {what}", path.display());
        if header.config != self.config || header.columns != self.columns {
            return Err(Error::mismatch(differs("options"), &self.config, &header.config));
        }
        let size = header.input.as_ref().map_or(0, |input| input.size);
        if size != input.size {
            return Err(Error::mismatch(differs("bytes of its input"), input.size, size));
        }
        let position = header.books.position.file;
        if position != number + 1 {
            return Err(Error::mismatch(differs("inputs read so far"), number + 1, position));
        }
        Ok(header)
    }
}

fn config_field(config: &Value) -> Result<FieldPath> {
    FieldPath::parse(config["text_field"].as_str().unwrap_or_default())
}

/// The `.sig` of an input.
pub fn signature_path(folder: &Path, input: usize) -> PathBuf {
    folder.join(format!("{input:05}.sig"))
}

/// The offsets of an input's bad records.
pub fn bad_path(folder: &Path, input: usize) -> PathBuf {
    folder.join(format!("{input:05}.bad"))
}

/// What a thread needs.
struct Worker {
    units: Option<(Units, Windows, MinHasher)>,
    exact: Option<ExactKeys>,
    hashes: Vec<u64>,
    shingles: Vec<u64>,
    key_bytes: Vec<u8>,
}

impl Worker {
    fn new(signing: &Signing) -> Result<Self> {
        let units = match &signing.signature {
            Some(config) => Some((
                Units::new(config.unit, config.normalize)?,
                Windows::new(config.shingle_size),
                MinHasher::new(config.num_perm),
            )),
            None => None,
        };
        let exact = signing.exact.map(ExactKeys::new).transpose()?;
        let (hashes, shingles, key_bytes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { units, exact, hashes, shingles, key_bytes })
    }

    /// Appends what is to be known of a document, but its place. Signatures are of its first text, keys of all.
    fn sign(&mut self, texts: &[Cow<'_, str>], entries: &mut [Vec<u8>]) {
        let mut at = 0;
        if let Some((units, windows, hasher)) = &mut self.units {
            units.hashes(texts.first().map_or("", |text| text), &mut self.hashes);
            windows.shingles(&self.hashes, &mut self.shingles);
            hasher.append(&self.shingles, &mut entries[0]);
            self.key_bytes.clear();
            self.key_bytes.extend(self.hashes.iter().flat_map(|hash| hash.to_le_bytes()));
            let key = if self.hashes.is_empty() { 0 } else { xxh3_128(&self.key_bytes) };
            entries[1].extend(key.to_le_bytes());
            at = 2;
        }
        if let Some(keys) = &mut self.exact {
            let key = match texts {
                [text] => keys.key(text),
                texts => {
                    self.key_bytes.clear();
                    self.key_bytes.extend(texts.iter().flat_map(|text| keys.key(text).to_le_bytes()));
                    xxh3_128(&self.key_bytes)
                }
            };
            entries[at].extend(key.to_le_bytes());
        }
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
}

/// Signs all inputs; those with a `.sig` already are not read. `on_sealed` is called when one more is done.
///
/// # Errors
/// What can be wrong with an input; a bad record, unless those are set aside; the system's reason.
pub fn sign(
    signing: &Signing,
    reading: Reading<'_>,
    on_bad_record: OnBadRecord,
    room: Room<'_>,
    mut on_sealed: impl FnMut() -> Result<()>,
) -> Result<()> {
    let inputs = &reading.inputs.inputs;
    let done = (0..inputs.len()).take_while(|&input| signature_path(room.folder, input).exists()).count();
    let mut state = Snapshot::default();
    for (number, input) in inputs[..done].iter().enumerate() {
        state = signing.header_of(room.folder, number, input)?.books;
    }
    let mut books = Books::open(inputs, room.folder, on_bad_record, state)?;
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
                        for outcome in &signed.outcomes {
                            books.settle(signed.file, outcome)?;
                        }
                        Progress::add(&room.progress.documents, Outcome::count(&signed.outcomes));
                        add_lines(signed.entries.last_mut(), line);
                        let file = Open::get(&mut open, signing, room.folder, signed.file)?;
                        file.signatures.append(signed.documents, &signed.entries)?;
                        file.bad.extend(signed.bad);
                    }
                    Item::End { file, hash, content_bytes } => {
                        books.end_input(file, hash, content_bytes)?;
                        books.sync()?;
                        let entry = books.take_finished().into_iter().next().map(|(_, entry)| entry);
                        Open::get(&mut open, signing, room.folder, file)?;
                        if let Some(open) = open.take() {
                            open.seal(signing, room.folder, file, entry, &books)?;
                        }
                        on_sealed()?;
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
    bad: Vec<u64>,
}

impl Open {
    fn get<'open>(
        open: &'open mut Option<Self>,
        signing: &Signing,
        folder: &Path,
        input: usize,
    ) -> Result<&'open mut Self> {
        match open {
            Some(open) => Ok(open),
            none => {
                let signatures = SignatureWriter::create(&signature_path(folder, input), &signing.columns)?;
                Ok(none.insert(Self { signatures, bad: Vec::new() }))
            }
        }
    }

    fn seal(
        self,
        signing: &Signing,
        folder: &Path,
        input: usize,
        entry: Option<InputEntry>,
        books: &Books<'_>,
    ) -> Result<()> {
        if !self.bad.is_empty() {
            let mut file = AtomicFile::create(&bad_path(folder, input))?;
            let bytes: Vec<u8> = self.bad.iter().flat_map(|offset| offset.to_le_bytes()).collect();
            file.write(&bytes)?;
            file.seal()?;
        }
        // The path is the user's; it may be as long as the header.
        let entry = entry.map(|entry| InputEntry { path: PathBuf::new(), ..entry });
        self.signatures.seal(signing.config.clone(), entry, books.snapshot().clone())
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
                Fate::Kept { text_bytes: bytes, articles: 1, chats: ChatCounts::default() }
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
    match visited {
        Ok(()) => signed,
        Err(never) => match never {},
    }
}
