//! What was counted in all parts, as each of them goes by it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::counting::{NGRAMS_NAME, RECORDS_KEY};
use super::first_pass::FirstPass;
use super::hit_file::HITS_SUFFIX;
use super::ngram_counts::NgramCounts;
use super::search::Search;
use crate::error::{Error, Result};
use crate::pipeline::folder::books::QUARANTINE_NAME;
use crate::pipeline::folder::manifest::{Manifest, fingerprint};
use crate::pipeline::folder::part_manifests::{output_in_root, read_parts};
use crate::pipeline::folder::plan::{COUNTING, COUNTS_NAME, Plan, part_folder, part_name};
use crate::progress::Progress;
use crate::sources::parts::Part;

/// The counts of all parts.
#[derive(Debug)]
pub struct Counts {
    folder: PathBuf,
    parts: Vec<Manifest>,
    /// Of all that is in them.
    pub fingerprint: String,
}

impl Counts {
    /// Opens the counts in `root`, which holds the parts.
    ///
    /// # Errors
    /// Parts of which there are none yet; counts of other inputs, rows or options, or of another version.
    pub fn open(root: &Path, search: &Search<'_>, part: &Part, progress: &Progress) -> Result<Self> {
        let folder = root.join(COUNTS_NAME);
        let told = |error| match error {
            Error::Mismatch { what, expected, found } => {
                Error::mismatch(format!("{}: {what}", folder.display()), expected, found)
            }
            other => other,
        };
        let own = Plan::of(COUNTING, &search.counted_value(), part);
        let (parts, missing) = match Plan::read(&folder)? {
            None => (Vec::new(), vec![0]),
            Some(plan) => {
                plan.compare(&own).map_err(told)?;
                read_parts(&folder, &own, progress)?
            }
        };
        if let Some(number) = missing.first() {
            let parts = part.sharing.parts;
            let reason = format!(
                "expected counts of all {parts} parts before any part goes on, found none of part {number} in {}: the \
                 same call with counting=True and part={number} makes them (bloomdata-cli decontaminate ... --parts \
                 {parts} --counting --part {number})",
                folder.display()
            );
            return Err(Error::config("counting", reason));
        }
        let outputs = (0..).zip(&parts).flat_map(|(number, manifest)| {
            let name = part_name(number, part.sharing.parts);
            manifest.outputs.iter().map(move |output| output_in_root(&name, output.clone()))
        });
        let fingerprint = fingerprint(&outputs.collect::<Vec<_>>());
        Ok(Self { folder, parts, fingerprint })
    }

    /// The n-grams in more documents than `most`, of `num_ngrams`.
    ///
    /// # Errors
    /// A file that is damaged; the system's reason.
    pub fn common(&self, num_ngrams: usize, most: u64, progress: &Progress) -> Result<Vec<u32>> {
        let mut sum = NgramCounts::new(num_ngrams);
        for number in 0..self.parts.len() as u64 {
            progress.check()?;
            sum.add(&self.part(number).join(NGRAMS_NAME))?;
        }
        Ok(sum.common(most))
    }

    /// What was found in a part.
    ///
    /// # Errors
    /// No such part.
    pub fn first_pass(&self, part: &Part) -> Result<FirstPass> {
        let own = usize::try_from(part.number).ok().and_then(|number| self.parts.get(number));
        let Manifest { inputs, outputs, ledger, .. } =
            own.ok_or_else(|| Error::Internal("no such part".into()))?.clone();
        let folder = self.part(part.number);
        let quarantine = outputs.iter().find(|output| output.path == QUARANTINE_NAME);
        let quarantine = (folder.join(QUARANTINE_NAME), quarantine.map_or(0, |output| output.size));
        let records = records_of(&outputs).collect();
        // Whoever reads the start of a file that is cut reads nothing behind it.
        let cut = part.shared.get(part.first_input).filter(|shared| shared.first_part < part.number);
        let before = cut.map_or(0, |shared| {
            let cuts = shared.cuts.iter().map(|cut| cut.part).filter(|number| *number < part.number);
            let last = |number: u64| {
                let outputs = (0..).zip(&self.parts).find(|(at, _)| *at == number)?.1;
                records_of(&outputs.outputs).last()
            };
            [shared.first_part].into_iter().chain(cuts).filter_map(last).sum()
        });
        Ok(FirstPass { folder, inputs, records, ledger, quarantine, records_before: before })
    }

    fn part(&self, number: u64) -> PathBuf {
        part_folder(&self.folder, number, self.parts.len() as u64)
    }
}

/// Records of each input, by what is said of its hits.
fn records_of(outputs: &[crate::pipeline::folder::manifest::OutputEntry]) -> impl Iterator<Item = u64> {
    let hits = outputs.iter().filter(|output| output.path.ends_with(HITS_SUFFIX));
    hits.map(|output| output.details.get(RECORDS_KEY).and_then(Value::as_u64).unwrap_or_default())
}
