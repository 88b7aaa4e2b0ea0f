//! Groups of Megatron pairs, each of which becomes one, as if their documents had been written one after the other.
//!
//! Pointers and sums are 64-bit throughout. Origin: `IndexedDatasetBuilder.add_index` of Megatron-core.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Map;

use super::folder::counts::InputCounts;
use super::folder::manifest::{InputEntry, OutputEntry};
use super::sinks::megatron::pair_entries;
use super::verify::check_index;
use crate::error::{Error, Result};
use crate::formats::megatron::{HEADER_BYTES, IndexHeader, IndexWriter, with_suffix};
use crate::hash::{ContentHasher, hash_file};
use crate::io::atomic::AtomicFile;
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::sources::remote::{Share, Store, wait_for};
use crate::sources::{Format, Input};

/// One pair to be merged.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// Its path without `.bin` and `.idx`.
    pub(super) prefix: PathBuf,
    pub(super) header: IndexHeader,
    /// What a manifest says of its files.
    promised: Vec<OutputEntry>,
}

/// Pairs by the name of the pair that they become.
#[derive(Debug, Default)]
pub(super) struct PairGroups(pub(super) BTreeMap<String, Vec<Pair>>);

impl PairGroups {
    /// Adds the pair `stem` of a folder to the group `name`; `outputs` is what the manifest of the folder says.
    ///
    /// # Errors
    /// A damaged index.
    pub(super) fn push(
        &mut self,
        name: &str,
        folder: &Path,
        stem: &str,
        outputs: &[OutputEntry],
    ) -> Result<()> {
        let is_of_pair = |output: &&OutputEntry| {
            output.path.strip_prefix(stem).is_some_and(|suffix| [".bin", ".idx"].contains(&suffix))
        };
        let promised = outputs.iter().filter(is_of_pair).cloned().collect();
        self.0.entry(name.to_owned()).or_default().push(Pair { promised, ..open_pair(&folder.join(stem))? });
        Ok(())
    }

    /// Tells `store`, which holds `root` at `address`, which tokens will be read, in order.
    ///
    /// # Errors
    /// What the store reports.
    pub(super) fn begin(&self, store: &dyn Store, address: &str, root: &Path) -> Result<()> {
        let share = |pair: &Pair| {
            let local = with_suffix(&pair.prefix, ".bin");
            let size = describe(&local)?.size;
            let address = format!("{address}/{}", local.strip_prefix(root).unwrap_or(&local).display());
            Ok(Share { address, size, range: [0, size], local })
        };
        store.begin(self.0.values().flatten().map(share).collect::<Result<_>>()?)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes one pair for each group into `folder`. What was read is added to `inputs`. Tokens that a store brings
    /// are released as soon as they are read.
    ///
    /// # Errors
    /// What is wrong with a pair, also by its manifest; the system's reason.
    pub(super) fn merge_into(
        &self,
        folder: &Path,
        inputs: &mut Vec<InputEntry>,
        store: Option<&dyn Store>,
        progress: &Progress,
    ) -> Result<Vec<OutputEntry>> {
        let mut outputs = Vec::new();
        for (name, pairs) in &self.0 {
            outputs.extend(merge_group((folder, name), pairs, inputs, store, progress)?);
        }
        Ok(outputs)
    }
}

/// Opens the pair at `prefix`, of which no manifest is known.
///
/// # Errors
/// A damaged index.
pub(super) fn open_pair(prefix: &Path) -> Result<Pair> {
    check_index(prefix, &Map::new())?;
    let header = IndexHeader::read(&with_suffix(prefix, ".idx"))?;
    Ok(Pair { prefix: prefix.to_owned(), header, promised: Vec::new() })
}

/// A file of a pair as an input.
///
/// # Errors
/// The system's reason.
pub(super) fn describe(path: &Path) -> Result<Input> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    Ok(Input { format: Format::Megatron, size, ..Input::bare(path.to_owned()) })
}

fn merge_group(
    (folder, name): (&Path, &str),
    pairs: &[Pair],
    inputs: &mut Vec<InputEntry>,
    store: Option<&dyn Store>,
    progress: &Progress,
) -> Result<[OutputEntry; 2]> {
    let prefix = folder.join(name);
    let mut bin = AtomicFile::create(&with_suffix(&prefix, ".bin"))?;
    for pair in pairs {
        // Two files of each pair were read before: their number is that of the share.
        let share = inputs.len() / 2;
        store.map_or(Ok(()), |store| wait_for(store, share, progress))?;
        let hash = append_bin(pair, &mut bin, progress)?;
        store.map_or(Ok(()), |store| store.release(share))?;
        let path = with_suffix(&pair.prefix, ".idx");
        let (size, hasher) = hash_file(&path, None, progress)?;
        let entry = |path: PathBuf, size: u64, hash: String| InputEntry {
            path,
            format: Format::Megatron,
            size,
            hash,
            content_bytes: size,
            range: None,
            counts: InputCounts::default(),
        };
        inputs.push(entry(with_suffix(&pair.prefix, ".bin"), hash.0, hash.1));
        inputs.push(entry(path, size, hasher.hex()));
        inputs[2 * share..].iter().try_for_each(|read| pair.check_promised(read))?;
    }
    let dtype = pairs[0].header.dtype;
    let num_tokens = bin.size() / dtype.itemsize() as u64;
    let num_sequences = pairs.iter().map(|pair| pair.header.num_sequences).sum();
    // Each index starts with a 0 of its own, of which only the first stays.
    let num_documents = pairs.iter().map(|pair| pair.header.document_index_len - 1).sum::<u64>();
    let mut index = IndexWriter::create(&with_suffix(&prefix, ".idx"))?;
    index.header(dtype, num_sequences, num_documents + 1)?;
    for pair in pairs {
        pair.each(HEADER_BYTES, pair.header.num_sequences, 4, |length| index.put(&length[..4]))?;
    }
    let mut pointer = 0_u64;
    for pair in pairs {
        pair.each(HEADER_BYTES, pair.header.num_sequences, 4, |length| {
            index.put(&pointer.to_le_bytes())?;
            pointer += word(length) * dtype.itemsize() as u64;
            Ok(())
        })?;
    }
    if pointer != bin.size() {
        let reason = format!("lengths of all sequences sum up to {pointer} bytes, tokens to {}", bin.size());
        return Err(Error::corrupt(&with_suffix(&pairs[0].prefix, ".idx"), HEADER_BYTES, reason));
    }
    index.put(&0_u64.to_le_bytes())?;
    let mut before = 0;
    for pair in pairs {
        let start = HEADER_BYTES + 12 * pair.header.num_sequences;
        let mut first = true;
        pair.each(start, pair.header.document_index_len, 8, |entry| {
            if std::mem::take(&mut first) { Ok(()) } else { index.put(&(before + word(entry)).to_le_bytes()) }
        })?;
        before += pair.header.num_sequences;
    }
    let (bin, idx) = (bin.seal()?, index.seal()?);
    Ok(pair_entries(name, dtype, num_tokens, &bin, (&idx, num_documents, num_sequences)))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn append_bin(pair: &Pair, out: &mut AtomicFile, progress: &Progress) -> Result<(u64, String)> {
    let path = with_suffix(&pair.prefix, ".bin");
    let mut file = File::open(&path).map_err(Error::io(&path))?;
    let (mut buffer, mut hasher, mut size) = (vec![0; 1 << 20], ContentHasher::default(), 0);
    loop {
        progress.check()?;
        let count = file.read(&mut buffer).map_err(Error::io(&path))?;
        if count == 0 {
            return Ok((size, hasher.hex()));
        }
        hasher.update(&buffer[..count]);
        out.write(&buffer[..count])?;
        Progress::add(&progress.read_bytes, count as u64);
        size += count as u64;
    }
}

impl Pair {
    /// Compares a file of the pair, as it was read, with what the manifest beside it says.
    fn check_promised(&self, read: &InputEntry) -> Result<()> {
        match self.promised.iter().find(|output| read.path.ends_with(&output.path)) {
            Some(output) if output.hash != read.hash => {
                let what =
                    format!("expected the hash {} of its manifest.json, found {}", output.hash, read.hash);
                Err(Error::corrupt(&read.path, 0, what))
            }
            _ => Ok(()),
        }
    }

    /// What a pair without a manifest adds to the books.
    pub(super) fn books(&self) -> Result<Ledger> {
        let tokens = describe(&with_suffix(&self.prefix, ".bin"))?.size / self.header.dtype.itemsize() as u64;
        let documents = self.header.document_index_len - 1;
        Ok(Ledger {
            documents_in: documents,
            documents_kept: documents,
            tokens_in: tokens,
            tokens_out: tokens,
            ..Ledger::default()
        })
    }

    /// Visits `count` items of `size` bytes from offset `start` of the index.
    fn each(
        &self,
        start: u64,
        count: u64,
        size: usize,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let path = with_suffix(&self.prefix, ".idx");
        let mut file = File::open(&path).map_err(Error::io(&path))?;
        file.seek(SeekFrom::Start(start)).map_err(Error::io(&path))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut item = [0; 8];
        for _ in 0..count {
            reader.read_exact(&mut item[..size]).map_err(Error::io(&path))?;
            visit(&item[..size])?;
        }
        Ok(())
    }
}
