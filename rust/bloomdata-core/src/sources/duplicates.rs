//! Documents that would be read twice: one content under two names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use super::asking::ask_all;
use super::columns::Columns;
use super::folders::Promises;
use super::input::{Format, Input};
use super::inputs::InputList;
use super::stream::{Event, Source, SourceOptions};
use super::tables::TableReader;
use crate::document::{Position, Record};
use crate::error::{Error, Result};
use crate::hash::{content_key, hash_file};
use crate::io::compression::Compression;
use crate::progress::Progress;

/// Bytes that are compared before files of one size are hashed.
const FIRST_BYTES: u64 = 1 << 16;

/// Refuses two files of one folder whose names differ in format or compression alone (`a.jsonl` beside `a.jsonl.gz`),
/// and two files with the same bytes. Files without any record may be as many as they like.
///
/// # Errors
/// Two such files; the system's reason.
pub fn refuse_duplicates(list: &InputList, progress: &Progress) -> Result<()> {
    let mut names: BTreeMap<u128, &Path> = BTreeMap::new();
    let mut tags: BTreeMap<(u64, &str), &Path> = BTreeMap::new();
    let mut sizes: BTreeMap<u64, Vec<&Input>> = BTreeMap::new();
    for input in list.inputs.iter().filter(|input| input.is_file()) {
        if let Some(first) = names.insert(bare_name(input), &input.path) {
            return Err(twice(first, &input.path, "have one name in two formats"));
        }
        if let Some(tag) = &input.tag {
            // Objects of a store are not read for this.
            if let Some(first) = tags.insert((input.size, tag), &input.path).filter(|_| input.size > 0) {
                return Err(twice(first, &input.path, "have the same size and ETag"));
            }
            continue;
        }
        sizes.entry(input.size).or_default().push(input);
    }
    for inputs in sizes.into_values().filter(|inputs| inputs.len() > 1) {
        let keys = ask_all(&inputs, |input| {
            progress.check()?;
            key_of_first_bytes(&input.path)
        })?;
        let mut sorted: Vec<(u128, &Input)> = keys.into_iter().zip(inputs).collect();
        sorted.sort_by_key(|(key, _)| *key);
        for alike in sorted.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            let mut contents: BTreeMap<String, &Path> = BTreeMap::new();
            for (_, input) in alike {
                if is_empty(input)? {
                    continue;
                }
                let (_, hasher) = hash_file(&input.path, None, progress)?;
                if let Some(first) = contents.insert(hasher.hex(), &input.path) {
                    return Err(twice(first, &input.path, "have the same content"));
                }
            }
        }
    }
    Ok(())
}

/// Refuses the output of an earlier run beside what it was made of, as in a folder that holds both.
///
/// # Errors
/// Such an output.
pub fn refuse_derived(list: &InputList) -> Result<()> {
    let files = list.inputs.iter().filter(|input| input.is_file() && input.tag.is_none());
    let paths: Vec<&Path> = files.map(|input| input.path.as_path()).collect();
    // A shard lies in the folder of its manifest, or in that of its split.
    let folders: BTreeSet<&OsStr> =
        paths.iter().flat_map(|path| path.ancestors().skip(1).take(2)).map(Path::as_os_str).collect();
    let made: Vec<(&OsStr, Promises)> =
        folders.into_iter().filter_map(|folder| Some((folder, Promises::read(Path::new(folder))?))).collect();
    if made.is_empty() {
        return Ok(());
    }
    let key = |path: &Path| {
        Ok(path.canonicalize().ok().map(|path| content_key(path.as_os_str().as_encoded_bytes())))
    };
    let read: BTreeSet<u128> = ask_all(&paths, |path| key(path))?.into_iter().flatten().collect();
    for (folder, promises) in made {
        let keys = ask_all(&promises.inputs, |input| key(&input.path))?;
        let found =
            promises.inputs.iter().zip(keys).find(|(_, key)| key.is_some_and(|key| read.contains(&key)));
        if let Some((input, _)) = found {
            let (folder, input) = (Path::new(folder).display(), input.path.display());
            let reason = format!(
                "{folder} was made of {input}, which is read, too: documents would be read twice; name one of them \
                 (allow_duplicate_inputs=True reads both)"
            );
            return Err(Error::config("inputs", reason));
        }
    }
    Ok(())
}

fn twice(first: &Path, second: &Path, what: &str) -> Error {
    let (first, second) = (first.display(), second.display());
    let reason = format!(
        "{first} and {second} {what}: their documents would be read twice; remove or name one of them \
         (allow_duplicate_inputs=True reads both)"
    );
    Error::config("inputs", reason)
}

/// Key of a path without the suffixes of compression and format, and of whether it is text: `a.txt` is no copy of
/// `a.jsonl`.
fn bare_name(input: &Input) -> u128 {
    let name = input.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let (_, stem) = Compression::from_name(&lower);
    let path = input.path.with_file_name(name.get(..stem.len()).unwrap_or(&name));
    let mut bare = path.with_extension("").into_os_string();
    bare.push(if input.format == Format::Text { "/text" } else { "/records" });
    content_key(bare.as_encoded_bytes())
}

fn key_of_first_bytes(path: &Path) -> Result<u128> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    file.take(FIRST_BYTES).read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(content_key(&bytes))
}

/// Whether a small file holds no record, as the parts without rows that many tools write.
fn is_empty(input: &Input) -> Result<bool> {
    if input.size > FIRST_BYTES {
        return Ok(false);
    }
    let (inputs, progress) = (vec![input.clone()], Progress::default());
    let tables = TableReader::new(&mut Vec::new(), Vec::new(), Columns::default(), &progress)?;
    let options = SourceOptions { num_threads: 1, start: Position::default() };
    Ok(std::thread::scope(|scope| {
        let read = |a, b: &_, c, d: &_, e: &_| tables.read(a, b, c, d, e);
        // What cannot be read is an error where the run reads it.
        Source::start(scope, &inputs, options, &progress, read).all(|event| match event {
            Ok(Event::Block(block)) => {
                let is_blank = |record: Record<'_>| record.bytes.trim_ascii().is_empty();
                block.for_each(|record| if is_blank(record) { Ok(()) } else { Err(()) }).is_ok()
            }
            Ok(Event::End { .. }) => true,
            Err(_) => false,
        })
    }))
}
