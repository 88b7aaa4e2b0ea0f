//! Opening an output folder: new, to be resumed, or finished already; and finishing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::claim::Claim;
use super::journal::{Entry, JOURNAL_NAME, Journal, Step};
use super::leftovers::{discard, sweep};
use super::limits::Limits;
use super::manifest::{
    FORMAT_VERSION, InputEntry, MANIFEST_NAME, Manifest, OutputEntry, VERSION, check_same_input, check_size,
    differs, fingerprint,
};
use super::names::OutputNames;
use super::part_leftovers::discard_parts;
use super::plan::{PLAN_KEY, Plan};
use crate::error::{Error, Result};
use crate::hash::hash_file;
use crate::io::input::{InputReader, READ_BYTES};
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::sources::read::PieceSender;
use crate::sources::{Format, Input};

/// How to run, which never changes what is written.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The folder to write.
    pub output: PathBuf,
    /// Worker threads.
    pub num_threads: usize,
    /// Discard what an earlier run left.
    pub overwrite: bool,
    /// Seconds between checkpoints of files that grow for long.
    pub checkpoint_seconds: f64,
    /// What it must not end with.
    pub limits: Limits,
}

/// What a run of a verb returns.
#[derive(Debug)]
pub struct RunResult {
    /// The manifest as written.
    pub manifest: Manifest,
    /// Whether the folder was finished before, so that nothing was done.
    pub was_finished: bool,
    /// Whether an earlier attempt was resumed.
    pub was_resumed: bool,
}

impl RunResult {
    fn finished(manifest: Manifest) -> Box<Self> {
        Box::new(Self { manifest, was_finished: true, was_resumed: false })
    }
}

/// Reads the inputs that `read_input` does not know.
pub type CustomReader<'run> =
    dyn Fn(usize, &Input, u64, &PieceSender, &Progress) -> Result<bool> + Send + Sync + 'run;

/// What a run is asked to do.
#[derive(Debug)]
pub struct Request<'run> {
    /// The verb.
    pub verb: &'static str,
    /// The folder to write.
    pub output: &'run Path,
    /// Options that decide output bytes.
    pub config: Value,
    /// What to read.
    pub inputs: &'run InputList,
    /// Whether to discard what an earlier run left in the folder.
    pub overwrite: bool,
    /// What the run must not end with.
    pub limits: Limits,
    /// Names of the files that it will write.
    pub names: OutputNames,
}

/// An output folder at work.
#[derive(Debug)]
pub struct Run<'run> {
    /// Dropped first: it is given back under the journal's lock.
    claim: Claim,
    request: Request<'run>,
    /// Hash of the plan that the run is a part of.
    plan: Option<String>,
    /// The journal, for the sealer.
    pub journal: Journal,
    /// Everything done for good by earlier attempts: all inputs and outputs, and the last checkpoint.
    pub done: Step,
}

/// How a folder was found.
#[derive(Debug)]
pub enum Opened<'run> {
    /// The same run has finished before; there is nothing to do.
    Finished(Box<RunResult>),
    /// There is work to do.
    Ready(Box<Run<'run>>),
}

impl<'run> Run<'run> {
    /// Opens the folder, which is made if needed.
    ///
    /// # Errors
    /// A folder that is not empty and not ours, or belongs to a run with other options or inputs.
    pub fn open(mut request: Request<'run>, progress: &Progress) -> Result<Opened<'run>> {
        let folder = request.output;
        let plan = match &request.inputs.part {
            None => None,
            Some(part) => {
                let plan = Plan::agree(folder, request.verb, &request.config, part)?;
                request.config["part"] = part.number.into();
                request.config["parts"] = part.sharing.parts.into();
                // That is decided by all of them together.
                request.limits.allow_empty = true;
                Some(plan)
            }
        };
        let mut claim = Claim::new(folder)?;
        check_apart(folder, &request.inputs.inputs)?;
        // In this order: a run that starts at the same moment makes its journal first, and removes it last.
        let is_empty = is_empty(folder)?;
        let has_journal = folder.join(JOURNAL_NAME).exists();
        if !has_journal
            && !request.overwrite
            && let Some(manifest) = Manifest::read(folder)?
        {
            // Finished long ago, perhaps on a disk that cannot be written any more.
            check_finished(&request, &manifest, progress)?;
            return Ok(Opened::Finished(RunResult::finished(manifest)));
        }
        if !has_journal && !folder.join(MANIFEST_NAME).exists() && !is_empty {
            let reason = format!(
                "expected a new or empty folder, or an output of bloomdata, got {}",
                folder.display()
            );
            return Err(Error::config("output", reason));
        }
        let (mut journal, entries) = claim.lock()?;
        match Self::examine(request, &mut journal, &entries, progress)? {
            Examined::Finished(manifest) => {
                sweep(folder, &manifest.outputs, &entries)?;
                journal.remove()?;
                claim.keep();
                Ok(Opened::Finished(RunResult::finished(*manifest)))
            }
            Examined::Ready(ready) => {
                let (request, done) = *ready;
                Ok(Opened::Ready(Box::new(Self { claim, request, plan, journal, done })))
            }
        }
    }

    fn examine(
        request: Request<'run>,
        journal: &mut Journal,
        entries: &[Entry],
        progress: &Progress,
    ) -> Result<Examined<'run>> {
        let folder = request.output;
        let manifest = Manifest::read(folder)?;
        if request.overwrite {
            if request.inputs.part.is_none() {
                // An earlier run may have been one in parts.
                discard_parts(folder)?;
            }
            let outputs = manifest.map(|manifest| manifest.outputs);
            discard(folder, &outputs.unwrap_or_default(), entries)?;
            journal.clear()?;
        } else if let Some(manifest) = manifest {
            check_finished(&request, &manifest, progress)?;
            return Ok(Examined::Finished(Box::new(manifest)));
        } else if !entries.iter().any(|entry| matches!(entry, Entry::Step(_))) {
            // Killed before anything was done for good: it does not stand in the way of other options.
            discard(folder, &[], entries)?;
            journal.clear()?;
        } else if let Some((Entry::Start { verb, version, config, inputs, .. }, steps)) =
            entries.split_first()
        {
            check_resumable(&request, verb, version, config, inputs)?;
            let done = collect(steps);
            for output in &done.outputs {
                check_size(folder, output)?;
            }
            return Ok(Examined::Ready(Box::new((request, done))));
        }
        journal.append(&Entry::Start {
            verb: request.verb.to_owned(),
            version: VERSION.to_owned(),
            config: request.config.clone(),
            inputs: request.inputs.inputs.clone(),
            names: request.names.clone(),
        })?;
        Ok(Examined::Ready(Box::new((request, Step::default()))))
    }

    /// The verb's state after the last step; the start when there was none. And whether there was one.
    ///
    /// # Errors
    /// A journal that was tampered with.
    pub fn checkpoint<State: DeserializeOwned + Default>(&self) -> Result<(State, bool)> {
        if self.done.checkpoint.is_null() {
            return Ok((State::default(), false));
        }
        let state = State::deserialize(&self.done.checkpoint);
        state.map(|state| (state, true)).map_err(|error| Error::Internal(format!("checkpoint: {error}")))
    }

    /// The folder.
    pub fn folder(&self) -> &'run Path {
        self.request.output
    }

    /// What the run must not end with.
    pub fn limits(&self) -> Limits {
        self.request.limits
    }

    /// Checks the books, writes the manifest, removes the journal.
    ///
    /// # Errors
    /// Books that do not balance, inputs without a hash, or the system's reason.
    pub fn finish(
        self,
        inputs: BTreeMap<usize, InputEntry>,
        outputs: Vec<OutputEntry>,
        ledger: Ledger,
        details: Map<String, Value>,
    ) -> Result<Manifest> {
        ledger.balance()?;
        self.request.limits.check(&ledger)?;
        if inputs.len() != self.request.inputs.inputs.len() {
            let reason = format!("{} of {} inputs were read", inputs.len(), self.request.inputs.inputs.len());
            return Err(Error::Ledger { reason });
        }
        let Self { claim, request, journal, plan, .. } = self;
        let mut details = details;
        details.extend(plan.map(|hash| (PLAN_KEY.to_owned(), hash.into())));
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            bloomdata_version: VERSION.to_owned(),
            verb: request.verb.to_owned(),
            config: request.config,
            inputs: inputs.into_values().collect(),
            ignored_inputs: request.inputs.ignored.iter().map(|ignored| ignored.path.clone()).collect(),
            ignored_reasons: request.inputs.ignored_reasons(),
            fingerprint: fingerprint(&outputs),
            outputs,
            ledger,
            details,
        };
        manifest.write(request.output)?;
        sweep(request.output, &manifest.outputs, &Journal::read(request.output)?)?;
        journal.remove()?;
        claim.keep();
        Ok(manifest)
    }
}

enum Examined<'run> {
    Finished(Box<Manifest>),
    Ready(Box<(Request<'run>, Step)>),
}

/// An output folder that holds an input could overwrite or discard it.
fn check_apart(folder: &Path, inputs: &[Input]) -> Result<()> {
    let Ok(real) = folder.canonicalize() else { return Ok(()) };
    for input in inputs {
        if input.path.canonicalize().is_ok_and(|path| path.starts_with(&real)) {
            let reason = format!("{} holds the input {}", folder.display(), input.path.display());
            return Err(Error::config("output", reason));
        }
    }
    Ok(())
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(std::fs::read_dir(folder).map_err(Error::io(folder))?.next().is_none())
}

/// Sums up all steps: everything that was done, and the last state.
fn collect(steps: &[Entry]) -> Step {
    let mut done = Step::default();
    for entry in steps {
        if let Entry::Step(step) = entry {
            done.inputs.extend(step.inputs.iter().cloned());
            done.outputs.extend(step.outputs.iter().cloned());
            done.checkpoint = step.checkpoint.clone();
        }
    }
    done
}

fn check_resumable(
    request: &Request<'_>,
    verb: &str,
    version: &str,
    config: &Value,
    inputs: &[Input],
) -> Result<()> {
    if version != VERSION {
        return Err(Error::mismatch(differs("version of bloomdata"), version, VERSION));
    }
    Manifest::check_same_run(request.verb, (verb, config), &request.config)?;
    let found = &request.inputs.inputs;
    if inputs.len() != found.len() {
        return Err(Error::mismatch(differs("number of inputs"), inputs.len(), found.len()));
    }
    if let Some(input) = found.iter().find(|input| input.read_once) {
        let reason = format!(
            "{} is a stream, which can be read once only: an interrupted run over it cannot be resumed \
             (overwrite=True starts anew; a table, a file or a datasets.Dataset can be read again)",
            input.path.display()
        );
        return Err(Error::config("inputs", reason));
    }
    inputs.iter().zip(found).try_for_each(|(then, now)| check_same_input(then, now))
}

/// Reads the standard input to its end: as a stream, it is compared with what was read before by reading it.
fn hash_stdin(progress: &Progress) -> Result<String> {
    let mut reader = InputReader::stdin(progress)?;
    let mut bytes = Vec::new();
    while reader.fill(&mut bytes, READ_BYTES)? > 0 {
        bytes.clear();
    }
    reader.finish(0)
}

/// A finished folder answers for the same options and the same content of the same inputs.
fn check_finished(request: &Request<'_>, manifest: &Manifest, progress: &Progress) -> Result<()> {
    request.limits.check(&manifest.ledger)?;
    Manifest::check_same_run(request.verb, (&manifest.verb, &manifest.config), &request.config)?;
    let found = &request.inputs.inputs;
    if manifest.inputs.len() != found.len() {
        return Err(Error::mismatch(differs("number of inputs"), manifest.inputs.len(), found.len()));
    }
    for (old, new) in manifest.inputs.iter().zip(found) {
        if old.path != new.path {
            return Err(Error::mismatch(differs("input"), old.path.display(), new.path.display()));
        }
        if new.format == Format::Arrow {
            // What is known of its rows: their hash, or all that its name says.
            if let Some(hash) = new.promised_hash.as_ref().filter(|hash| ***hash != *old.hash) {
                let what = differs(&format!("rows of input {}", new.path.display()));
                return Err(Error::mismatch(what, &old.hash, hash));
            }
            continue;
        }
        if request.inputs.part.is_some() || new.tag.is_some() {
            // Sizes and times of all inputs were compared with the plan. Objects of a store would have to be brought.
            if old.size != new.stored_bytes() {
                let what = differs(&format!("size of input {}", new.path.display()));
                return Err(Error::mismatch(what, old.size, new.stored_bytes()));
            }
            continue;
        }
        let (size, hash) = if new.read_once {
            (old.size, hash_stdin(progress)?)
        } else {
            let (size, hasher) = hash_file(&new.path, None, progress)?;
            (size, hasher.hex())
        };
        if (old.size, &old.hash) != (size, &hash) {
            let what = differs(&format!("content of input {}", new.path.display()));
            return Err(Error::mismatch(what, &old.hash, hash));
        }
    }
    for output in &manifest.outputs {
        check_size(request.output, output)?;
    }
    Ok(())
}
