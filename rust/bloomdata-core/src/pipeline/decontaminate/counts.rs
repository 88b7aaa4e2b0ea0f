//! What was counted in all parts, as each of them goes by it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::counting::{NGRAMS_NAME, RECORDS_KEY, counted_config};
use super::first_pass::FirstPass;
use super::hit_file::HITS_SUFFIX;
use super::ngram_counts::NgramCounts;
use super::options::DECONTAMINATE;
use crate::error::{Error, Result};
use crate::hash::{ContentHasher, hash_file};
use crate::pipeline::folder::books::QUARANTINE_NAME;
use crate::pipeline::folder::counting::read_counts;
use crate::pipeline::folder::manifest::{MANIFEST_NAME, Manifest, OutputEntry, check_size};
use crate::pipeline::folder::plan::{COUNTS_NAME, PLAN_NAME, Plan, part_folder, part_name};
use crate::progress::Progress;
use crate::sources::parts::Part;

/// The counts of all parts.
#[derive(Debug)]
pub struct Counts {
    folder: PathBuf,
    parts: Vec<Manifest>,
    /// BLAKE3 of their manifests, and so of all that was counted and read.
    pub hash: String,
}

impl Counts {
    /// Opens the counts beside `folder`, that of a part of a run with these options.
    ///
    /// # Errors
    /// As [`read_counts`]; files that have changed since.
    pub fn open(folder: &Path, config: &Value, part: &Part) -> Result<Self> {
        let number = part.sharing.parts;
        let parts = read_counts(folder, DECONTAMINATE, &counted_config(config), part, 0..number)?;
        let folder = folder.parent().unwrap_or(Path::new(".")).join(COUNTS_NAME);
        let mut hasher = ContentHasher::default();
        for (at, manifest) in (0..).zip(&parts) {
            let own = part_folder(&folder, at, number);
            manifest.outputs.iter().try_for_each(|output| check_size(&own, output))?;
            hasher.update(manifest.to_json()?.as_bytes());
        }
        Ok(Self { folder, parts, hash: hasher.hex() })
    }

    /// Compares the counts in `root` with what all parts have gone by. Their files, by their names in `root`.
    ///
    /// # Errors
    /// They are gone, or others.
    pub fn of_parts(root: &Path, plan: &Plan<'_>, used: &Value) -> Result<Vec<String>> {
        let (sharing, shared) = (plan.sharing, plan.inputs.to_vec());
        let part = Part { number: 0, sharing, shared, first_input: 0 };
        let counts = Self::open(&part_folder(root, 0, sharing.parts), &plan.config, &part)?;
        if counts.hash != *used {
            let what = format!("{}: hash of what parts have gone by", counts.folder.display());
            return Err(Error::mismatch(what, used, counts.hash));
        }
        let names = (0..).zip(&counts.parts).flat_map(|(number, manifest)| {
            let name = part_name(number, sharing.parts);
            let outputs = manifest.outputs.iter().map(|output| &*output.path);
            outputs.chain([MANIFEST_NAME]).map(move |inner| format!("{COUNTS_NAME}/{name}/{inner}"))
        });
        Ok(names.chain([format!("{COUNTS_NAME}/{PLAN_NAME}")]).collect())
    }

    /// The n-grams in more documents than `most`, of `num_ngrams`.
    ///
    /// # Errors
    /// A file that is damaged; the system's reason.
    pub fn common(&self, num_ngrams: usize, most: u64, progress: &Progress) -> Result<Vec<u32>> {
        let mut sum = NgramCounts::new(num_ngrams);
        for (number, manifest) in (0..).zip(&self.parts) {
            let folder = self.folder_of(number);
            check_content(&folder, manifest, |name| name == NGRAMS_NAME, progress)?;
            sum.add(&folder.join(NGRAMS_NAME))?;
        }
        Ok(sum.common(most))
    }

    /// What was found in a part.
    ///
    /// # Errors
    /// No such part; a file that is damaged; the system's reason.
    pub fn first_pass(&self, part: &Part, progress: &Progress) -> Result<FirstPass> {
        let own = self.manifest(part.number).ok_or_else(|| Error::Internal("no such part".into()))?;
        let folder = self.folder_of(part.number);
        check_content(&folder, own, |name| name != NGRAMS_NAME, progress)?;
        let Manifest { inputs, outputs, ledger, .. } = own.clone();
        let quarantine = outputs.iter().find(|output| output.path == QUARANTINE_NAME);
        let quarantine = (folder.join(QUARANTINE_NAME), quarantine.map_or(0, |output| output.size));
        let records = records_of(&outputs).collect();
        // Whoever reads the start of a file that is cut reads nothing behind it.
        let cut = part.shared.get(part.first_input).filter(|shared| shared.first_part < part.number);
        let before = cut.map_or(0, |shared| {
            let cuts = shared.cuts.iter().map(|cut| cut.part).filter(|number| *number < part.number);
            let last = |number| records_of(&self.manifest(number)?.outputs).last();
            [shared.first_part].into_iter().chain(cuts).filter_map(last).sum()
        });
        Ok(FirstPass { folder, inputs, records, ledger, quarantine, records_before: before })
    }

    fn manifest(&self, number: u64) -> Option<&Manifest> {
        self.parts.get(usize::try_from(number).ok()?)
    }

    fn folder_of(&self, number: u64) -> PathBuf {
        part_folder(&self.folder, number, self.parts.len() as u64)
    }
}

/// Compares some files of a folder with what its manifest says.
fn check_content(
    folder: &Path,
    manifest: &Manifest,
    is_read: impl Fn(&str) -> bool,
    progress: &Progress,
) -> Result<()> {
    for OutputEntry { path, hash, .. } in manifest.outputs.iter().filter(|output| is_read(&output.path)) {
        let path = folder.join(path);
        let (_, found) = hash_file(&path, None, progress)?;
        if found.hex() != *hash {
            let what = format!("{}: content (changed since it was counted)", path.display());
            return Err(Error::mismatch(what, hash, found.hex()));
        }
    }
    Ok(())
}

/// Records of each input, by what is said of its hits.
fn records_of(outputs: &[OutputEntry]) -> impl Iterator<Item = u64> {
    let hits = outputs.iter().filter(|output| output.path.ends_with(HITS_SUFFIX));
    hits.map(|output| output.details.get(RECORDS_KEY).and_then(Value::as_u64).unwrap_or_default())
}
