//! The verb `verify`: every hash, size and count of a finished folder, and what should not be there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::thread::scope;

use serde::Serialize;
use serde_json::{Map, Value};

use super::folder::journal::JOURNAL_NAME;
use super::folder::manifest::{MANIFEST_NAME, Manifest, OutputEntry, UNHASHED_KEY, fingerprint};
use super::folder::plan::PARTS_KEY;
use super::verify_parts::{check_parts, part_of};
use crate::error::{Error, Result};
use crate::formats::megatron::{HEADER_BYTES, IndexHeader, with_suffix};
use crate::hash::hash_file;
use crate::io::atomic::{TEMPORARY_SUFFIX, list_files};
use crate::io::compression::Compression;
use crate::io::input::InputReader;
use crate::io::zstd_frames::{FrameEvent, decoder, read_frames};
use crate::progress::Progress;
use crate::token::{TokenDtype, index};

/// What `fetch` leaves in the folder that it brings.
const FETCHED: [&str; 2] = ["fetched.json", ".fetch.lock"];

/// A file that is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Relative to the folder.
    pub path: String,
    /// What was found and what was expected.
    pub reason: String,
}

/// What was checked, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Output files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// All problems; none means that the folder is as it was written.
    pub problems: Vec<Problem>,
}

/// Checks a finished folder. With `without_parts`, files of its parts are not read, since each part is checked apart: only
/// whether they are those that the parts list.
///
/// # Errors
/// A folder without a readable manifest, or an interruption. What is wrong with files is in the result.
pub fn verify(
    folder: &Path,
    num_threads: usize,
    without_parts: bool,
    progress: &Progress,
) -> Result<Verification> {
    let Some(manifest) = Manifest::read(folder)? else {
        let state =
            if folder.join(JOURNAL_NAME).exists() { "a run that has not finished" } else { "something else" };
        return Err(Error::config(
            "folder",
            format!("expected a finished folder with a {MANIFEST_NAME}, got {state}: {}", folder.display()),
        ));
    };
    let problems = Mutex::new(Vec::new());
    let report = |path: &str, reason: String| {
        if let Ok(mut problems) = problems.lock() {
            problems.push(Problem { path: path.to_owned(), reason });
        }
    };
    check_manifest(folder, &manifest, &report);
    if manifest.details.contains_key(PARTS_KEY) {
        check_parts(folder, &manifest, &report);
    }
    let is_read = |output: &&OutputEntry| !without_parts || part_of(output).is_none();
    let queue = Mutex::new(manifest.outputs.iter().filter(is_read));
    let interrupted = scope(|scope| {
        let workers: Vec<_> = (0..num_threads.max(1))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(output) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                        match check_output(folder, &manifest, output, progress) {
                            Err(Error::Interrupted) => return true,
                            Err(error) => report(&output.path, error.to_string()),
                            Ok(()) => {}
                        }
                    }
                    false
                })
            })
            .collect();
        workers.into_iter().any(|worker| worker.join().unwrap_or(true))
    });
    if interrupted {
        return Err(Error::Interrupted);
    }
    let mut problems = problems.into_inner().unwrap_or_default();
    problems.sort();
    let bytes = manifest.outputs.iter().map(|output| output.size).sum();
    Ok(Verification { files: manifest.outputs.len() as u64, bytes, problems })
}

/// Counts of files that are lists of lines: of bad records, of duplicates, of repeated parts, of matches with rows of
/// evaluations, of what was not looked for.
const LISTS: [&str; 5] = ["records", "duplicates", "spans", "matches", "ignored"];

/// Verbs that write no tokens.
const WITHOUT_TOKENS: [&str; 7] =
    ["shard", "prepare", "dedup", "decontaminate", "signatures", "count", "train_tokenizer"];

/// What the manifest says must fit together, and no file may be there that it does not know.
fn check_manifest(folder: &Path, manifest: &Manifest, report: &impl Fn(&str, String)) {
    if let Err(error) = manifest.ledger.balance() {
        report(MANIFEST_NAME, error.to_string());
    }
    if fingerprint(&manifest.outputs) != manifest.fingerprint {
        report(MANIFEST_NAME, "the fingerprint does not fit the list of outputs".into());
    }
    let sum = |key: &str| -> u64 {
        manifest.outputs.iter().filter_map(|output| output.details.get(key)?.as_u64()).sum()
    };
    let ledger = &manifest.ledger;
    let compare = |what: &str, found: u64, expected: u64| {
        if found != expected {
            report(MANIFEST_NAME, format!("{what} of all outputs: {found}, the ledger says {expected}"));
        }
    };
    let is = |option: &str| manifest.config.get(option).is_some_and(|is| *is == true);
    if ["shard", "dedup"].contains(&manifest.verb.as_str()) && !is("report_only") && !is("counting") {
        compare("lines", sum("lines"), ledger.documents_kept);
    }
    // Duplicates that parts leave out are listed beside them.
    if ["dedup", "decide"].contains(&manifest.verb.as_str()) && manifest.config.get("part").is_none() {
        let dropped = ledger.documents_dropped.iter().filter(|(reason, _)| reason.ends_with(" duplicate"));
        compare("duplicates", sum("duplicates"), dropped.map(|(_, count)| count).sum());
    }
    if manifest.verb == "decontaminate" {
        let sets = manifest.details.get("evaluations").and_then(Value::as_array).into_iter().flatten();
        let found = sets.filter_map(|set| set.get("matches")?.as_u64()).sum();
        compare("matches", sum("matches"), found);
    }
    if let Some(lines) = manifest.details.get("lines").and_then(Value::as_u64) {
        compare("lines", sum("lines"), lines);
    }
    if let Some(length) = manifest.config.get("sequence_length").and_then(Value::as_u64) {
        compare("tokens", sum("rows") * length, ledger.tokens_out);
    } else if !WITHOUT_TOKENS.contains(&manifest.verb.as_str()) {
        compare("tokens", sum("tokens"), ledger.tokens_out);
    }
    // A record of several pairs may become several documents; a text becomes one.
    let has_pairs = manifest.outputs.iter().any(|output| output.details.contains_key("token_types"));
    let articles = manifest.details.get("articles").and_then(Value::as_u64).filter(|_| has_pairs);
    let articles = articles.unwrap_or(ledger.documents_kept);
    let documents = |output: &OutputEntry| output.details.get("documents").and_then(Value::as_u64);
    if let Some(parts) = manifest.details.get(PARTS_KEY).and_then(Value::as_u64) {
        // The pairs of a field are in as many files as there are parts.
        let fields = manifest.outputs.iter().filter_map(documents).count() as u64 / parts.max(1);
        compare("documents", manifest.outputs.iter().filter_map(documents).sum(), articles * fields);
    } else {
        for output in &manifest.outputs {
            if let Some(documents) = documents(output) {
                compare(&format!("documents ({})", output.path), documents, articles);
            }
        }
    }
    // The parts that write by decisions set bad records aside.
    if !["merge", "decide"].contains(&manifest.verb.as_str()) {
        compare("records (quarantine)", sum("records"), ledger.quarantined());
    }
    let files = list_files(folder).unwrap_or_else(|error| {
        report(".", error.to_string());
        Vec::new()
    });
    // Files that hold times, in layouts of others.
    let unhashed: Vec<String> = manifest
        .details
        .get(UNHASHED_KEY)
        .and_then(|names| serde_json::from_value(names.clone()).ok())
        .unwrap_or_default();
    let known: BTreeSet<&str> = manifest.outputs.iter().map(|output| output.path.as_str()).collect();
    for path in files {
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        if name.ends_with(TEMPORARY_SUFFIX) {
            report(&name, format!("an unfinished file ({TEMPORARY_SUFFIX}) in a finished folder"));
        } else if name != MANIFEST_NAME
            && !FETCHED.contains(&&*name)
            && !known.contains(name.as_str())
            && !unhashed.contains(&name)
        {
            let inner = format!("{name}/");
            // A split may lie behind a link.
            if known.range(inner.as_str()..).next().is_none_or(|next| !next.starts_with(&inner)) {
                report(&name, "the manifest does not know it".into());
            }
        }
    }
}

fn check_output(folder: &Path, manifest: &Manifest, output: &OutputEntry, progress: &Progress) -> Result<()> {
    let path = folder.join(&output.path);
    let (size, hasher) = hash_file(&path, None, progress)?;
    if size != output.size {
        return Err(Error::mismatch("size in bytes", output.size, size));
    }
    if hasher.hex() != output.hash {
        return Err(Error::mismatch("BLAKE3", &output.hash, hasher.hex()));
    }
    let vocab_size =
        manifest.details.get("tokenizer").and_then(|tokenizer| tokenizer.get("vocab_size")?.as_u64());
    let name = path.to_string_lossy().into_owned();
    if ["lines"].iter().chain(&LISTS).any(|key| output.details.contains_key(*key)) {
        check_lines(&path, output, progress)
    } else if let Some(prefix) = name.strip_suffix(".idx") {
        check_index(Path::new(prefix), &output.details)
    } else if let Some(dtype) = output.details.get("dtype") {
        let dtype: TokenDtype = serde_json::from_value(dtype.clone())
            .map_err(|_| Error::corrupt(&path, 0, format!("token type {dtype}")))?;
        let limit = if dtype == TokenDtype::Uint8 { Some(4) } else { vocab_size };
        check_tokens(&path, 0, size, dtype, limit, progress)
    } else if let Some(datasets) = output.details.get("datasets").and_then(Value::as_object) {
        for (dataset, place) in datasets {
            let offset = place.get("offset").and_then(Value::as_u64).unwrap_or_default();
            let shape = place.get("shape").and_then(Value::as_array).into_iter().flatten();
            let bytes: u64 = shape.filter_map(Value::as_u64).product::<u64>() * 4;
            let limit = match dataset.as_str() {
                "input_ids" => vocab_size,
                "token_type_ids" => Some(4),
                _ => None,
            };
            if offset + bytes > size {
                return Err(Error::corrupt(&path, offset, format!("{dataset} ends after the file does")));
            }
            check_tokens(&path, offset, bytes, TokenDtype::Int32, limit, progress)?;
        }
        Ok(())
    } else {
        Ok(())
    }
}

/// Counts what is in a file of lines, decompressed: a shard, or the quarantine.
fn check_lines(path: &Path, output: &OutputEntry, progress: &Progress) -> Result<()> {
    let (mut lines, mut bytes) = (0, 0);
    let mut count = |content: &[u8]| {
        lines += memchr::memchr_iter(b'\n', content).count() as u64;
        bytes += content.len() as u64;
    };
    match Compression::from_name(&output.path).0 {
        Compression::Zstd => {
            let mut reader = InputReader::open(path, progress)?;
            let mut context = decoder(path)?;
            read_frames(&mut reader, 0, true, |event| {
                match event {
                    FrameEvent::Frames(job) => count(&job.decode(&mut context)?),
                    FrameEvent::Content(_, content) => count(&content),
                }
                Ok(())
            })?;
        }
        compression => {
            let file = File::open(path).map_err(Error::io(path))?;
            let mut reader: Box<dyn Read> = match compression {
                Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
                _ => Box::new(file),
            };
            let mut buffer = vec![0; 1 << 20];
            loop {
                progress.check()?;
                match reader.read(&mut buffer).map_err(Error::io(path))? {
                    0 => break,
                    length => count(&buffer[..length]),
                }
            }
        }
    }
    // A list has one count, a shard has two; none may be missing.
    let counts = match LISTS.iter().find(|key| output.details.contains_key(**key)) {
        Some(key) => vec![(*key, lines)],
        None => vec![("lines", lines), ("content_bytes", bytes)],
    };
    for (key, found) in counts {
        let expected = output.details.get(key).and_then(Value::as_u64).unwrap_or_default();
        if found != expected {
            return Err(Error::mismatch(key, expected, found));
        }
    }
    Ok(())
}

/// Checks that an index tiles its `.bin`: every length, pointer and document.
///
/// # Errors
/// [`Error::Corrupt`] with the offset of what is wrong.
pub fn check_index(prefix: &Path, details: &Map<String, Value>) -> Result<()> {
    let (idx, bin) = (with_suffix(prefix, ".idx"), with_suffix(prefix, ".bin"));
    let header = IndexHeader::read(&idx)?;
    let bin_bytes = std::fs::metadata(&bin).map_err(Error::io(&bin))?.len();
    let file = File::open(&idx).map_err(Error::io(&idx))?;
    let read =
        |offset: u64, size: usize, count: u64, visit: &mut dyn FnMut(u64, u64) -> Result<()>| -> Result<()> {
            let (mut at, per_read) = (0, 1 << 16);
            let mut buffer = vec![0; per_read * size];
            while at < count {
                let items = (count - at).min(per_read as u64);
                let part = &mut buffer[..index(items) * size];
                file.read_exact_at(part, offset + at * size as u64).map_err(Error::io(&idx))?;
                for item in part.chunks_exact(size) {
                    let value = item.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
                    visit(offset + at * size as u64, value)?;
                    at += 1;
                }
            }
            Ok(())
        };
    let sequences = header.num_sequences;
    let mut lengths = Vec::new();
    read(HEADER_BYTES, 4, sequences, &mut |_, length| {
        lengths.push(u32::try_from(length).unwrap_or(u32::MAX));
        Ok(())
    })?;
    let (mut expected, mut next) = (0, 0);
    read(HEADER_BYTES + 4 * sequences, 8, sequences, &mut |offset, pointer| {
        if pointer != expected {
            return Err(Error::corrupt(&idx, offset, format!("pointer {pointer}, expected {expected}")));
        }
        expected += u64::from(lengths[next]) * header.dtype.itemsize() as u64;
        next += 1;
        Ok(())
    })?;
    if expected != bin_bytes {
        let reason = format!("{bin_bytes} bytes, its index says {expected}");
        return Err(Error::corrupt(&bin, bin_bytes.min(expected), reason));
    }
    let mut last = None;
    read(HEADER_BYTES + 12 * sequences, 8, header.document_index_len, &mut |offset, entry| {
        let in_order = last.map_or(entry == 0, |last| entry >= last);
        last = Some(entry);
        if in_order {
            Ok(())
        } else {
            Err(Error::corrupt(&idx, offset, format!("document index {entry} is out of order")))
        }
    })?;
    if last != Some(sequences) {
        let reason = format!("the document index ends with {last:?}, expected {sequences}");
        return Err(Error::corrupt(&idx, HEADER_BYTES + 12 * sequences, reason));
    }
    for (key, found) in [("documents", header.document_index_len - 1), ("sequences", sequences)] {
        let said = details.get(key).and_then(Value::as_u64);
        if said.is_some_and(|said| said != found) {
            return Err(Error::mismatch(key, said.unwrap_or_default(), found));
        }
    }
    Ok(())
}

/// Checks that every token is below `limit`.
fn check_tokens(
    path: &Path,
    start: u64,
    bytes: u64,
    dtype: TokenDtype,
    limit: Option<u64>,
    progress: &Progress,
) -> Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    let file = File::open(path).map_err(Error::io(path))?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        progress.check()?;
        let part = &mut buffer[..index((bytes - at).min(1 << 20))];
        file.read_exact_at(part, start + at).map_err(Error::io(path))?;
        let too_high = |id: u32| u64::from(id) >= limit;
        let found = match dtype {
            TokenDtype::Uint8 => part.iter().position(|&id| too_high(u32::from(id))),
            TokenDtype::Uint16 => {
                part.chunks_exact(2).position(|id| too_high(u32::from(u16::from_le_bytes([id[0], id[1]]))))
            }
            TokenDtype::Int32 => {
                part.chunks_exact(4).position(|id| too_high(u32::from_le_bytes([id[0], id[1], id[2], id[3]])))
            }
        };
        if let Some(found) = found {
            let offset = start + at + (found * dtype.itemsize()) as u64;
            return Err(Error::corrupt(path, offset, format!("a token that is not below {limit}")));
        }
        at += part.len() as u64;
    }
    Ok(())
}
