//! The phases of a run of `dedup` that find out who is dropped. Each leaves its result under `.dedup/` of the output, so
//! that a run that was killed does not do it again.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bloom_index::{BloomCounts, BloomIndex};
use super::candidates::{JoinCounts, add_documents_without_units, find_candidates};
use super::corpus::{Corpus, Part};
use super::decisions::{Decided, Why, read_decisions};
use super::edges::{Comparison, EdgeCounts, decide_near};
use super::equal::{add_later, decide_equal, find_equal};
use super::honesty::{Honesty, Samples};
use super::import::import;
use super::options::{DedupConfig, NearConfig};
use super::records::RecordReader;
use super::repeats::Scan;
use super::set_parts::SetParts;
use super::shingle_sets::{ShingleSets, collect, is_collected};
use super::sign::{FirstStep, Notes, sign};
use super::signature_file::Column;
use super::signing::Signing;
use super::sorter::Room;
use crate::dedup::keep::DocumentSet;
use crate::dedup::segments;
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::pipeline::feed::Reading;
use crate::pipeline::folder::limits::Limits;
use crate::pipeline::folder::run::{CustomReader, Run};
use crate::pipeline::scratch::{create_scratch, once};
use crate::pipeline::sharding::engine::first_step;
use crate::token::{double, whole};

/// What the phases found out, beside who is dropped.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) join: JoinCounts,
    pub(super) edges: EdgeCounts,
    pub(super) honesty: Honesty,
    pub(super) bloom: Option<BloomCounts>,
}

/// A run at work.
pub(super) struct Phases<'run> {
    pub(super) config: &'run DedupConfig,
    pub(super) near: Option<&'run NearConfig>,
    pub(super) signing: Signing,
    pub(super) field: FieldPath,
    pub(super) custom: &'run CustomReader<'run>,
    pub(super) room: Room<'run>,
    /// Folders of signatures that were made before, of the inputs.
    pub(super) signatures: &'run [PathBuf],
    /// Whether this run compares the content of inputs with them, or who writes by what it decides.
    pub(super) checks_signatures: bool,
    /// Number of parts that the second pass is left to, if to any.
    pub(super) sets_of_parts: Option<u64>,
    /// What is compared with, and the inputs.
    pub(super) parts: [Part<'run>; 2],
}

impl Phases<'_> {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.room.folder.join(name)
    }

    /// The first pass.
    pub(super) fn sign(&self, run: &mut Run<'_>) -> Result<Corpus> {
        create_scratch(self.room.folder, self.room.folder)?;
        let (is_new, limits) = (run.done.checkpoint.is_null(), run.limits());
        let mut notes = FirstStep { journal: &mut run.journal, is_new, step: first_step(Vec::new())? };
        let near = self.near.and_then(|near| Some((near, near.bloom.as_ref()?)));
        let mut bloom = match near {
            Some((near, config)) if !self.path("bloom.json").exists() => {
                // Filters are in memory alone: a run that was killed starts again.
                for part in &self.parts {
                    remove_folder(&part.folder)?;
                }
                Some(BloomIndex::new(near, config, &self.path("near"))?)
            }
            _ => None,
        };
        for (number, part) in self.parts.iter().enumerate() {
            create_scratch(self.room.folder, &part.folder)?;
            if number == 1 && !self.signatures.is_empty() {
                let (checks, progress) = (self.checks_signatures, self.room.progress);
                import(self.signatures, &self.signing, part, self.config, checks, progress)?;
                // From here on, there is something to resume.
                notes.sealed(0)?;
            }
            let room = Room { folder: &part.folder, ..self.room };
            let reading = Reading {
                inputs: part.inputs,
                custom: self.custom,
                num_threads: room.num_threads,
                progress: room.progress,
                first_input: 0,
            };
            let limits = if number == 1 { limits } else { Limits::default() };
            let bad = (self.config.shards.on_bad_record, limits);
            sign(&self.signing, reading, bad, room, bloom.as_mut(), &mut notes)?;
            if let Some(bloom) = &mut bloom {
                bloom.end_against();
            }
        }
        if let Some(bloom) = bloom {
            self.once("bloom.json", || bloom.finish())?;
        }
        Corpus::open(&self.parts, 1, &self.signing)
    }

    /// Who is dropped, in the file `decisions`; `None` if parts are to collect sets before.
    pub(super) fn decide(&self, corpus: &Corpus) -> Result<Option<Facts>> {
        let mut facts = Facts::default();
        let mut taken = DocumentSet::new(corpus.documents);
        if self.config.exact.is_some() {
            self.equal(corpus, Column::Exact, "equal-texts", &mut taken)?;
        }
        if self.near.is_some_and(|near| near.bloom.is_some()) {
            facts.bloom = Some(self.once("bloom.json", || Err(Error::Internal("no filters".into())))?);
        } else if let Some(near) = self.near {
            self.equal(corpus, Column::Units, "equal-units", &mut taken)?;
            add_documents_without_units(corpus, &mut taken)?;
            let candidates = self.path("candidates");
            facts.join =
                self.once("join.json", || find_candidates(corpus, near, &taken, self.room, &candidates))?;
            let least = whole((near.threshold * double(near.signature.num_perm as u64)).ceil());
            let samples = Samples::choose(corpus, &taken, &candidates, least)?;
            let Some(sets) = self.sets(corpus, near, &samples, &candidates)? else { return Ok(None) };
            let path = self.path("near");
            facts.edges = self.once("edges.json", || {
                let slots = near.signature.num_perm;
                let comparison =
                    if near.verify { Comparison::Exact(&sets) } else { Comparison::Estimate(slots) };
                let mut decided = Decided::new(self.room);
                let candidates = RecordReader::open(&candidates)?;
                let counts = decide_near(
                    corpus,
                    near,
                    self.config.keep,
                    comparison,
                    candidates,
                    &mut decided,
                    self.room,
                )?;
                decided.write(&path)?;
                Ok(counts)
            })?;
            facts.honesty = self.once("honesty.json", || {
                samples.judge(corpus, near.threshold, &sets, &candidates, self.room.progress)
            })?;
        }
        self.once("decided.json", || self.all_decisions(corpus))?;
        if let Some(repeated) = &self.config.repeated {
            self.once("repeats.json", || self.find_repeats(corpus, repeated.part))?;
        }
        Ok(Some(facts))
    }

    /// Repeated parts of the documents that are left, in the files `repeats` and `units`.
    fn find_repeats(&self, corpus: &Corpus, part: segments::Part) -> Result<()> {
        let mut dropped = DocumentSet::new(corpus.documents);
        for decision in read_decisions(&self.path("decisions"))? {
            dropped.insert(decision?.document);
        }
        let scan = Scan {
            corpus,
            parts: &self.parts,
            dropped: &dropped,
            field: &self.field,
            part,
            custom: self.custom,
            room: self.room,
        };
        scan.find(&self.path("repeats"), &self.path("units"))
    }

    /// Similar documents, those that equal them in words, and those that equal any of them in text.
    fn all_decisions(&self, corpus: &Corpus) -> Result<()> {
        let (near, by_units) = (self.path("near"), self.path("near-and-equal"));
        if self.near.is_some() {
            let mut decided = Decided::new(self.room);
            let earlier = read_decisions(&near)?;
            let equal = self.path("equal-units");
            if equal.exists() {
                decide_equal(&equal, Why::Near, corpus.against, earlier, |decision| decided.push(decision))?;
            }
            read_decisions(&near)?.try_for_each(|decision| decided.push(decision?))?;
            decided.write(&by_units)?;
        } else {
            Decided::new(self.room).write(&by_units)?;
        }
        let mut decided = Decided::new(self.room);
        if self.config.exact.is_some() {
            let earlier = read_decisions(&by_units)?;
            let equal = self.path("equal-texts");
            decide_equal(&equal, Why::Exact, corpus.against, earlier, |decision| decided.push(decision))?;
        }
        read_decisions(&by_units)?.try_for_each(|decision| decided.push(decision?))?;
        decided.write(&self.path("decisions"))
    }

    fn equal(&self, corpus: &Corpus, column: Column, name: &str, taken: &mut DocumentSet) -> Result<()> {
        let path = self.path(name);
        if path.exists() {
            return add_later(&path, taken);
        }
        find_equal(corpus, column, taken, self.room, &path)
    }

    /// The second pass: sets of all candidates, or of the samples alone; `None` if parts are to collect them.
    fn sets(
        &self,
        corpus: &Corpus,
        near: &NearConfig,
        samples: &Samples,
        candidates: &Path,
    ) -> Result<Option<ShingleSets>> {
        let mut wanted = DocumentSet::new(corpus.documents);
        samples.add_to(&mut wanted);
        if near.verify {
            for record in RecordReader::<3>::open(candidates)? {
                let [later, earlier, _] = record?;
                wanted.insert(later);
                wanted.insert(earlier);
            }
        }
        let collect_into = |folder: &Path, wanted: &DocumentSet| {
            let (how, room) = ((&self.field, &near.signature), Room { folder, ..self.room });
            collect(corpus, &self.parts, wanted, how, self.custom, room)
        };
        let mut folders = vec![self.room.folder.to_owned()];
        if !is_collected(self.room.folder) {
            let of_parts =
                SetParts { folder: self.room.folder, corpus, first: self.first_input(), wanted: &wanted };
            if let Some(found) = of_parts.collected(self.room.progress)? {
                // No part reads what inputs are only compared with.
                let against = &self.parts[0].folder;
                if !is_collected(against) {
                    collect_into(against, &wanted.before(corpus.against))?;
                }
                folders = [vec![against.clone()], found].concat();
            } else if let Some(parts) =
                self.sets_of_parts.filter(|_| wanted.has_between(corpus.against, corpus.documents))
            {
                return of_parts.ask(parts).map(|()| None);
            } else {
                collect_into(self.room.folder, &wanted)?;
            }
        }
        ShingleSets::open(&folders, wanted).map(Some)
    }

    /// The result of a phase, see [`once`].
    pub(super) fn once<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        find: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        once(&self.path(name), find)
    }

    /// Index in the corpus of the first input that is not only compared with.
    pub(super) fn first_input(&self) -> usize {
        self.parts[0].inputs.inputs.len()
    }
}

/// Removes a folder of scratch files; that it is not there is fine.
fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder)(error)),
        _ => Ok(()),
    }
}
