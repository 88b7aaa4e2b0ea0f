//! The verb `signatures`: the first pass of `dedup` alone, one `.sig` for each input.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, json};

use super::options::DedupConfig;
use super::sign::{Notes, sign};
use super::signature_file::{SIGNATURE_SUFFIXES, SignatureFile};
use super::signing::{Signing, signature_path};
use super::sorter::Room;
use crate::error::Result;
use crate::hash::hash_file;
use crate::io::atomic::{AtomicFile, temporary_path};
use crate::pipeline::feed::Reading;
use crate::pipeline::folder::books::QUARANTINE_NAME;
use crate::pipeline::folder::journal::Entry;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::names::{NumberedName, OutputNames};
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::scratch::refuse_tables;
use crate::pipeline::sharding::engine::first_step;
use crate::progress::Progress;
use crate::sources::inputs::InputList;

/// Signs all inputs.
///
/// # Errors
/// As [`dedup`](super::run::dedup).
pub fn signatures(
    config: &DedupConfig,
    options: &RunOptions,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    config.validate()?;
    refuse_tables("inputs", inputs)?;
    let signing = Signing::new(config)?;
    let mut names = OutputNames { last: vec![QUARANTINE_NAME.into()], ..OutputNames::default() };
    for after in SIGNATURE_SUFFIXES {
        names.numbered.push(NumberedName { before: String::new(), after: after.into() });
    }
    let request = Request {
        verb: "signatures",
        output: &options.output,
        config: json!({"signing": signing.config(), "on_bad_record": config.shards.on_bad_record}),
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names,
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let was_resumed = !run.done.checkpoint.is_null();
    let folder = run.folder();
    let room = Room { folder, bytes: 0, num_threads: options.num_threads, progress };
    let reading = Reading { inputs, custom, num_threads: options.num_threads, progress, first_input: 0 };
    let mut outputs = std::mem::take(&mut run.done.outputs);
    let mut notes = Steps { run: &mut run, outputs: &mut outputs, progress };
    let bad = (config.shards.on_bad_record, options.limits);
    sign(&signing, reading, bad, room, None, &mut notes)?;
    let mut entries = BTreeMap::new();
    let (mut ledger, mut quarantine_bytes) = (crate::ledger::Ledger::default(), 0);
    for (number, input) in inputs.inputs.iter().enumerate() {
        let path = signature_path(folder, number);
        let header = SignatureFile::open(&path)?.header;
        if !outputs.iter().any(|output| folder.join(&output.path) == path) {
            // Killed between its name and its step.
            outputs.push(entry_of(folder, number, progress)?);
        }
        (ledger, quarantine_bytes) = (header.books.ledger, header.books.quarantine_bytes);
        entries.extend(header.input.map(|mut entry| {
            entry.path.clone_from(&input.path);
            (number, entry)
        }));
    }
    outputs.sort_by(|a, b| a.path.cmp(&b.path));
    let quarantine = folder.join(QUARANTINE_NAME);
    if quarantine_bytes > 0 && temporary_path(&quarantine).exists() {
        let sealed = AtomicFile::resume(&quarantine, quarantine_bytes)?.seal()?;
        let details = Map::from_iter([("records".to_owned(), ledger.quarantined().into())]);
        outputs.push(OutputEntry {
            path: QUARANTINE_NAME.into(),
            size: sealed.size,
            hash: sealed.hash,
            details,
        });
    }
    let manifest = run.finish(entries, outputs, ledger, Map::new())?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}

/// Makes a step of every input.
struct Steps<'run, 'folder> {
    run: &'run mut Run<'folder>,
    outputs: &'run mut Vec<OutputEntry>,
    progress: &'run Progress,
}

impl Notes for Steps<'_, '_> {
    fn sealing(&mut self, input: usize) -> Result<()> {
        self.run.journal.append(&Entry::Sealing { path: name_of(input) })
    }

    fn sealed(&mut self, input: usize) -> Result<()> {
        let entry = entry_of(self.run.folder(), input, self.progress)?;
        self.outputs.push(entry.clone());
        self.run.journal.append(&first_step(vec![entry])?)
    }
}

fn name_of(input: usize) -> String {
    signature_path(Path::new(""), input).to_string_lossy().into_owned()
}

fn entry_of(folder: &Path, input: usize, progress: &Progress) -> Result<OutputEntry> {
    let path = signature_path(folder, input);
    let documents = SignatureFile::open(&path)?.header.documents;
    let (size, hasher) = hash_file(&path, None, progress)?;
    let details = Map::from_iter([("signatures".to_owned(), documents.into())]);
    Ok(OutputEntry { path: name_of(input), size, hash: hasher.hex(), details })
}
