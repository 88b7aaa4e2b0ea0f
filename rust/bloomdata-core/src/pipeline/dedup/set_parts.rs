//! The second pass in parts: the machine that decides asks for the sets of documents, and each part of the inputs leaves
//! those of its own files in the scratch folder of the decisions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::corpus::{Corpus, Part};
use super::options::{DedupConfig, SCRATCH_FOLDER};
use super::records::{RecordFile, RecordWriter};
use super::shingle_sets::{PLACES_NAME, SETS_NAME, collect, is_collected};
use super::signing::Signing;
use super::sorter::Room;
use crate::dedup::keep::DocumentSet;
use crate::error::{Error, Result};
use crate::hash::{ContentHasher, hash_file};
use crate::io::atomic::{remove_if_present, write_atomically};
use crate::ledger::Ledger;
use crate::pipeline::folder::manifest::{Manifest, VERSION, check_size};
use crate::pipeline::folder::names::OutputNames;
use crate::pipeline::folder::plan::{Plan, part_folder};
use crate::pipeline::folder::run::{CustomReader, Opened, Request, Run, RunOptions, RunResult};
use crate::pipeline::scratch::{create_scratch, keep_file, refuse_tables};
use crate::progress::Progress;
use crate::sources::inputs::InputList;

/// Folder of the inputs' signatures, in the scratch folder.
pub(super) const INPUTS_NAME: &str = "inputs";
/// Folder of the parts there.
const PARTS_NAME: &str = "set-parts";
/// Documents that are wanted: index of the input, and number in it.
const WANTED_NAME: &str = "wanted";
/// What is asked for, see [`Asked`].
const ASKED_NAME: &str = "wanted.json";
/// What the plan of the parts says that they do.
const VERB: &str = "dedup-sets";

/// What parts are asked for. Whoever answers something else is not believed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Asked {
    version: String,
    parts: u64,
    /// Hash of the numbers of the documents.
    wanted: String,
}

/// The sets of parts, for who decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct SetParts<'run> {
    /// The scratch folder.
    pub(super) folder: &'run Path,
    pub(super) corpus: &'run Corpus,
    /// Index in the corpus of the first input that is not only compared with.
    pub(super) first: usize,
    pub(super) wanted: &'run DocumentSet,
}

impl SetParts<'_> {
    /// Leaves what parts are to collect, and removes what they have left for another question.
    pub(super) fn ask(self, parts: u64) -> Result<()> {
        let asked = Asked { version: VERSION.to_owned(), parts, wanted: self.hash() };
        let path = self.folder.join(ASKED_NAME);
        if read_asked(&path).is_ok_and(|before| before == asked) {
            return Ok(());
        }
        remove_if_present(&path)?;
        let answers = self.folder.join(PARTS_NAME);
        if answers.exists() {
            std::fs::remove_dir_all(&answers).map_err(Error::io(&answers))?;
        }
        let mut file = RecordWriter::<2>::create(&self.folder.join(WANTED_NAME))?;
        for document in self.wanted.iter().skip_while(|document| *document < self.corpus.against) {
            let input = self.corpus.input_of(document);
            file.push([(input - self.first) as u64, document - self.corpus.inputs[input].first])?;
        }
        file.seal()?;
        // Last: it says that the list is whole.
        let text = serde_json::to_vec(&asked).map_err(|error| Error::Internal(error.to_string()))?;
        write_atomically(&path, &text).map(drop)
    }

    /// The folders of what all parts have collected, in order; `None` if any of it is missing, damaged, or the answer to
    /// another question.
    ///
    /// # Errors
    /// A file cannot be read; the run was interrupted.
    pub(super) fn collected(self, progress: &Progress) -> Result<Option<Vec<PathBuf>>> {
        let root = self.folder.join(PARTS_NAME);
        let Ok(Some(plan)) = Plan::read(&root) else { return Ok(None) };
        let (wanted, parts) = (self.hash(), plan.sharing.parts);
        let (mut folders, mut sets) = (Vec::new(), 0);
        let mut inputs = self.corpus.inputs[self.first..].iter();
        for number in 0..parts {
            let folder = part_folder(&root, number, parts);
            let Ok(Some(manifest)) = Manifest::read(&folder) else { return Ok(None) };
            let is_asked = manifest.verb == VERB
                && manifest.bloomdata_version == VERSION
                && manifest.config["wanted"] == wanted
                && manifest.outputs.iter().map(|output| &*output.path).eq([PLACES_NAME, SETS_NAME]);
            let is_of = manifest.inputs.iter().all(|read| {
                inputs.next().is_some_and(|signed| {
                    let entry = signed.header.input.as_ref();
                    signed.name == read.path && entry.is_some_and(|entry| entry.hash == read.hash)
                })
            });
            if !is_asked || !is_of {
                return Ok(None);
            }
            for output in &manifest.outputs {
                if check_size(&folder, output).is_err()
                    || hash_file(&folder.join(&output.path), None, progress)?.1.hex() != output.hash
                {
                    return Ok(None);
                }
            }
            sets += RecordFile::<2>::open(&folder.join(PLACES_NAME))?.count;
            folders.push(folder);
        }
        let of_inputs = self.wanted.len() - self.wanted.before(self.corpus.against).len();
        Ok((inputs.next().is_none() && sets == of_inputs).then_some(folders))
    }

    fn hash(self) -> String {
        let mut hasher = ContentHasher::default();
        self.wanted.iter().for_each(|document| hasher.update(&document.to_le_bytes()));
        hasher.hex()
    }
}

fn read_asked(path: &Path) -> Result<Asked> {
    let text = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&text).map_err(|error| Error::corrupt(path, 0, error.to_string()))
}

/// Collects what a decision wants of one part: `inputs` are its own, whole files.
///
/// # Errors
/// A decision that has asked for nothing, or is done; an input that has changed since it was signed; what can be wrong with a
/// disk; an interruption. Whatever happens, the same call does what is missing.
pub fn collect_part(
    config: &DedupConfig,
    options: &RunOptions,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<RunResult> {
    config.validate()?;
    refuse_tables("inputs", inputs)?;
    let (Some(part), Some(near)) = (&inputs.part, &config.near) else {
        return Err(Error::Internal("no part, or nothing near".into()));
    };
    let decision = options.output.ancestors().nth(2).unwrap_or(Path::new("."));
    let asked = read_asked(&decision.join(ASKED_NAME))?;
    let signing = Signing::new(config)?;
    let request = Request {
        verb: VERB,
        output: &options.output,
        config: json!({"signing": signing.config(), "wanted": asked.wanted}),
        inputs,
        overwrite: options.overwrite,
        limits: options.limits,
        names: OutputNames {
            last: vec![PLACES_NAME.into(), SETS_NAME.into()],
            folders: vec![SCRATCH_FOLDER.into()],
            ..OutputNames::default()
        },
    };
    let mut run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let was_resumed = !run.done.checkpoint.is_null();
    let first = part.first_input;
    let own = [Part { folder: decision.join(INPUTS_NAME), first, inputs }];
    let corpus = Corpus::open(&own, 0, &signing)?;
    let scratch = options.output.join(SCRATCH_FOLDER);
    create_scratch(&scratch, &scratch)?;
    if !is_collected(&scratch) && !is_collected(&options.output) {
        let file = RecordFile::<2>::open(&decision.join(WANTED_NAME))?;
        let end = (first + inputs.inputs.len()) as u64;
        let mut wanted = DocumentSet::new(corpus.documents);
        for [input, document] in file.between((0, file.count), first as u64, end)? {
            wanted.insert(corpus.inputs[crate::token::index(input) - first].first + document);
        }
        let how = (&config.field()?, &near.signature);
        let room = Room { folder: &scratch, bytes: 0, num_threads: options.num_threads, progress };
        collect(&corpus, &own, &wanted, how, custom, room)?;
    }
    let mut outputs = Vec::new();
    // In this order: as long as the sets are there, so are their places.
    for name in [PLACES_NAME, SETS_NAME] {
        outputs.push(keep_file(&mut run, &scratch.join(name), progress)?);
    }
    let entries: BTreeMap<_, _> = corpus
        .inputs
        .into_iter()
        .enumerate()
        .filter_map(|(number, signed)| {
            let mut entry = signed.header.input?;
            entry.path = signed.name;
            Some((number, entry))
        })
        .collect();
    let manifest = run.finish(entries, outputs, Ledger::default(), Map::new())?;
    Ok(RunResult { manifest, was_finished: false, was_resumed })
}
