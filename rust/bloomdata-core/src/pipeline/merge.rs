//! The verb `merge`: finished Megatron pairs become one, as if their documents had been written one after the other.
//!
//! Pointers and sums are 64-bit throughout. Origin: `IndexedDatasetBuilder.add_index` of Megatron-core.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::folder::counts::InputCounts;
use super::folder::manifest::{InputEntry, Manifest, OutputEntry, UNHASHED_KEY};
use super::folder::names::OutputNames;
use super::folder::plan::{JOINED_KEY, PARTS_KEY, PLAN_KEY, whole_name};
use super::folder::run::{Opened, Request, Run, RunOptions, RunResult};
use super::pack_options::TOKENIZER_PATH;
use super::sinks::megatron::pair_entries;
use super::verify::check_index;
use crate::error::{Error, Result};
use crate::formats::megatron::{HEADER_BYTES, IndexHeader, IndexWriter, with_suffix};
use crate::hash::{ContentHasher, hash_file};
use crate::io::atomic::AtomicFile;
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::sources::{Format, Input};

/// One pair to be merged.
#[derive(Debug, Clone)]
struct Pair {
    prefix: PathBuf,
    header: IndexHeader,
}

/// Merges `prefixes` (paths without `.bin` and `.idx`, or folders written by `pack`) in their order.
///
/// # Errors
/// Pairs of different token types or from different tokenizers, folders with different fields, damaged indices.
pub fn merge(sources: &[String], name: &str, options: &RunOptions, progress: &Progress) -> Result<RunResult> {
    let (groups, manifests, bare) = collect(sources, name)?;
    let mut list = InputList::default();
    for pair in groups.0.values().flatten() {
        for suffix in [".bin", ".idx"] {
            list.inputs.push(describe(&with_suffix(&pair.prefix, suffix))?);
        }
    }
    let names: Vec<&String> = groups.0.keys().collect();
    let config = json!({ "names": names });
    let request = Request {
        verb: "merge",
        output: &options.output,
        config,
        inputs: &list,
        overwrite: options.overwrite,
        limits: options.limits,
        names: OutputNames {
            last: names
                .iter()
                .flat_map(|name| [".bin", ".idx"].map(|suffix| format!("{name}{suffix}")))
                .chain([TOKENIZER_PATH.to_owned()])
                .collect(),
            ..OutputNames::default()
        },
    };
    let run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let folder = run.folder();
    let mut inputs = Vec::new();
    let mut outputs = Vec::new();
    let mut ledger = Ledger::default();
    for manifest in manifests.iter().flatten() {
        ledger.add(&manifest.ledger);
    }
    ledger.add(&bare);
    outputs.extend(groups.merge_into(folder, &mut inputs, progress)?);
    let mut details = Map::new();
    if let Some(Some(first)) = manifests.first() {
        details.clone_from(&first.details);
        // What a folder of parts says of its parts.
        for key in [PARTS_KEY, PLAN_KEY, JOINED_KEY, UNHASHED_KEY] {
            details.remove(key);
        }
        sum_counts(&mut details, &manifests.iter().map(Option::as_ref).collect::<Vec<_>>());
        if let Some(source) = sources.first() {
            outputs.extend(copy_tokenizer(Path::new(source), folder, &mut details)?);
        }
    }
    let inputs: BTreeMap<usize, InputEntry> = inputs.into_iter().enumerate().collect();
    let manifest = run.finish(inputs, outputs, ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed: false })
}

/// Counts of articles are those of all inputs; without them where one does not say.
pub fn sum_counts(details: &mut Map<String, Value>, manifests: &[Option<&Manifest>]) {
    let of = |key: &str| -> Option<Vec<&Value>> {
        manifests.iter().map(|manifest| (*manifest)?.details.get(key)).collect()
    };
    if let Some(all) = of("metrics") {
        let mut sum: Map<String, Value> = Map::new();
        for (name, count) in all.into_iter().filter_map(Value::as_object).flatten() {
            let before = sum.get(name).and_then(Value::as_u64).unwrap_or_default();
            sum.insert(name.clone(), (before + count.as_u64().unwrap_or_default()).into());
        }
        details.insert("metrics".to_owned(), sum.into());
    }
    let sum = |counts: Vec<&Value>| counts.into_iter().filter_map(Value::as_u64).sum::<u64>();
    let (articles, lines) = (of("articles").map(sum), of("lines").map(sum));
    let histogram = of("length_histogram").map(|histograms| {
        let mut sum: Vec<u64> = Vec::new();
        for histogram in histograms.into_iter().filter_map(Value::as_array) {
            sum.resize(sum.len().max(histogram.len()), 0);
            for (total, count) in sum.iter_mut().zip(histogram) {
                *total += count.as_u64().unwrap_or_default();
            }
        }
        sum
    });
    details.remove("articles");
    details.remove("length_histogram");
    details.extend(articles.map(|articles| ("articles".to_owned(), articles.into())));
    details.extend(lines.map(|lines| ("lines".to_owned(), lines.into())));
    details.extend(histogram.map(|histogram| ("length_histogram".to_owned(), histogram.into())));
}

/// Pairs by the name of the pair that they become.
#[derive(Debug, Default)]
pub struct PairGroups(BTreeMap<String, Vec<Pair>>);

impl PairGroups {
    /// Adds the pair at `prefix` to the group `name`.
    ///
    /// # Errors
    /// A damaged index.
    pub fn push(&mut self, name: &str, prefix: &Path) -> Result<()> {
        self.0.entry(name.to_owned()).or_default().push(open_pair(prefix)?);
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes one pair for each group into `folder`. What was read is added to `inputs`.
    ///
    /// # Errors
    /// What is wrong with a pair; the system's reason.
    pub fn merge_into(
        &self,
        folder: &Path,
        inputs: &mut Vec<InputEntry>,
        progress: &Progress,
    ) -> Result<Vec<OutputEntry>> {
        let mut outputs = Vec::new();
        for (name, pairs) in &self.0 {
            outputs.extend(merge_group((folder, name), pairs, inputs, progress)?);
        }
        Ok(outputs)
    }
}

/// Opens all pairs; the last of the three are the books of those that have no manifest.
fn collect(sources: &[String], name: &str) -> Result<(PairGroups, Vec<Option<Manifest>>, Ledger)> {
    let mut bare = Ledger::default();
    let mut groups = PairGroups::default();
    // In how many sources each group is.
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    let mut manifests: Vec<Option<Manifest>> = Vec::new();
    for source in sources {
        let path = Path::new(source);
        let manifest = if path.is_dir() { Manifest::read(path)? } else { None };
        match &manifest {
            Some(manifest) => {
                let indices = manifest.outputs.iter().filter_map(|output| output.path.strip_suffix(".idx"));
                let mut names = BTreeSet::new();
                for stem in indices {
                    // A folder of parts has a pair in each of them.
                    let name = whole_name(stem, &manifest.config);
                    groups.push(&name, &path.join(stem))?;
                    names.insert(name);
                }
                for name in names {
                    *named.entry(name).or_default() += 1;
                }
            }
            None if path.is_dir() => {
                return Err(Error::config(
                    "inputs",
                    format!("expected a finished folder of pack or merge, got {source}"),
                ));
            }
            None => {
                let stem =
                    source.strip_suffix(".idx").or_else(|| source.strip_suffix(".bin")).unwrap_or(source);
                let pair = open_pair(Path::new(stem))?;
                bare.add(&pair.books()?);
                groups.0.entry(name.to_owned()).or_default().push(pair);
                *named.entry(name.to_owned()).or_default() += 1;
            }
        }
        // A bare pair says nothing of its tokenizer; the folders around it still do.
        if let (Some(first), Some(this)) = (manifests.iter().flatten().next(), &manifest) {
            same(source, "tokenizer", first, this)?;
        }
        manifests.push(manifest);
    }
    for (name, pairs) in &groups.0 {
        let holders = named.get(name).copied().unwrap_or_default();
        if holders != sources.len() {
            let reason =
                format!("{name} is in {holders} of {} inputs; all must hold the same fields", sources.len());
            return Err(Error::config("inputs", reason));
        }
        for pair in pairs {
            if pair.header.dtype != pairs[0].header.dtype {
                let what = format!("{}.idx: token type", pair.prefix.display());
                return Err(Error::mismatch(
                    what,
                    format!("{:?}", pairs[0].header.dtype),
                    format!("{:?}", pair.header.dtype),
                ));
            }
        }
    }
    if groups.is_empty() {
        return Err(Error::config("inputs", "no Megatron pairs to merge"));
    }
    Ok((groups, manifests, bare))
}

fn same(source: &str, key: &str, first: &Manifest, this: &Manifest) -> Result<()> {
    let of =
        |manifest: &Manifest| manifest.details.get(key).and_then(|value| value.get("fingerprint")).cloned();
    if of(first) == of(this) {
        return Ok(());
    }
    let text = |value: Option<Value>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
    Err(Error::mismatch(format!("{source}: {key}"), text(of(first)), text(of(this))))
}

fn open_pair(prefix: &Path) -> Result<Pair> {
    check_index(prefix, &Map::new())?;
    let header = IndexHeader::read(&with_suffix(prefix, ".idx"))?;
    Ok(Pair { prefix: prefix.to_owned(), header })
}

fn describe(path: &Path) -> Result<Input> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    Ok(Input { format: Format::Megatron, size, ..Input::bare(path.to_owned()) })
}

fn copy_tokenizer(
    source: &Path,
    folder: &Path,
    details: &mut Map<String, Value>,
) -> Result<Option<OutputEntry>> {
    let place = details.get_mut("tokenizer").and_then(|tokenizer| tokenizer.get_mut("path"));
    let Some(place) = place.filter(|place| place.is_string()) else { return Ok(None) };
    // In a folder of parts it lies in that of the first one.
    let path = std::mem::replace(place, TOKENIZER_PATH.into());
    let from = source.join(path.as_str().unwrap_or_default());
    let bytes = std::fs::read(&from).map_err(Error::io(&from))?;
    let sealed = crate::io::atomic::write_atomically(&folder.join(TOKENIZER_PATH), &bytes)?;
    Ok(Some(OutputEntry {
        path: TOKENIZER_PATH.to_owned(),
        size: sealed.size,
        hash: sealed.hash,
        details: Map::new(),
    }))
}

fn merge_group(
    (folder, name): (&Path, &str),
    pairs: &[Pair],
    inputs: &mut Vec<InputEntry>,
    progress: &Progress,
) -> Result<[OutputEntry; 2]> {
    let prefix = folder.join(name);
    let mut bin = AtomicFile::create(&with_suffix(&prefix, ".bin"))?;
    for pair in pairs {
        let hash = append_bin(pair, &mut bin, progress)?;
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
    /// What a pair without a manifest adds to the books.
    fn books(&self) -> Result<Ledger> {
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
