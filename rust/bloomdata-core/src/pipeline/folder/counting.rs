//! What a part must know of the others before it begins: a counting phase leaves it beside them.
//!
//! Part i of the phase reads what part i of the run will read, and leaves a finished folder in [`COUNTS_NAME`], which is a
//! folder of parts of its own, with a plan of its own. The options of its plan are those of the run, with
//! [`COUNTING_KEY`]. Draws by the numbers of lines need one number of each part before: `details` has it as
//! [`COUNTED_KEY`], as have those of the parts of the run, so that the end of the run can compare.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use super::manifest::{IndexedInputs, MANIFEST_NAME, Manifest};
use super::plan::{
    COUNTED_BEFORE_KEY, COUNTING_KEY, COUNTS_NAME, PLAN_KEY, PLAN_NAME, Plan, part_folder, part_name,
    refuse_others,
};
use super::run::{Run, RunResult};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::sources::parts::Part;

/// Key of how much there is in a part, in its details.
pub const COUNTED_KEY: &str = "counted";

/// Finishes one part of a counting phase that found so much.
///
/// # Errors
/// As [`Run::finish`].
pub fn finish_count(run: Run<'_>, counted: u64, ledger: Ledger, read: IndexedInputs) -> Result<RunResult> {
    let details = Map::from_iter([(COUNTED_KEY.to_owned(), counted.into())]);
    let manifest = run.finish(BTreeMap::from_iter(read), Vec::new(), ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed: false })
}

/// How much the parts before `part` hold together, which its options say from then on. `None` where nobody needs to know:
/// in a run of one part, and in the phase itself. `folder` is that of the part.
///
/// # Errors
/// As [`read_counts`]; a counting phase in a folder that holds something else.
pub fn counted_before(
    folder: &Path,
    verb: &str,
    config: &mut Value,
    part: Option<&Part>,
) -> Result<Option<u64>> {
    let Some(part) = part.filter(|part| part.sharing.parts > 1) else { return Ok(None) };
    if config.get(COUNTING_KEY).is_some() {
        return refuse_folder_of_others(folder).map(|()| None);
    }
    let counts = read_counts(folder, verb, config, part, 0..part.number)?;
    let counted = counts.iter().map(|manifest| manifest.details.get(COUNTED_KEY).and_then(Value::as_u64));
    let before = counted
        .sum::<Option<u64>>()
        .ok_or_else(|| Error::Internal("a part of a counting phase without a count".into()))?;
    config[COUNTED_BEFORE_KEY] = before.into();
    Ok(Some(before))
}

/// The phase leaves nothing in a folder that a part would refuse. `folder` is that of a part of it.
///
/// # Errors
/// Such a folder.
pub fn refuse_folder_of_others(folder: &Path) -> Result<()> {
    let root = folder.ancestors().nth(2).filter(|root| !root.as_os_str().is_empty());
    let root = root.unwrap_or(Path::new("."));
    if root.exists() && Plan::read(root)?.is_none() { refuse_others(root) } else { Ok(()) }
}

/// What the counting phase has left of some parts, in order.
///
/// # Errors
/// [`Error::Config`] names the first part that it is missing of, [`Error::Mismatch`] what was counted by other options, or of
/// other inputs.
pub fn read_counts(
    folder: &Path,
    verb: &str,
    config: &Value,
    part: &Part,
    numbers: Range<u64>,
) -> Result<Vec<Manifest>> {
    let root = folder.parent().unwrap_or(Path::new(".")).join(COUNTS_NAME);
    let mut counting = config.clone();
    counting[COUNTING_KEY] = true.into();
    let hash = Plan::check(&root, verb, &counting, part).map_err(|error| in_folder(&root, error))?;
    let parts = part.sharing.parts;
    let missing = |number: u64| {
        let reason = format!(
            "expected counts of part {number} before part {}, found none in {}: the same call with part={number} and \
             counting=True makes them (bloomdata-cli {verb} ... --parts {parts} --part {number} --counting)",
            part.number,
            root.display()
        );
        Error::config("counting", reason)
    };
    let read = |number: u64| {
        let folder = part_folder(&root, number, parts);
        let manifest = Manifest::read(&folder)?.ok_or_else(|| missing(number))?;
        let found = manifest.details.get(PLAN_KEY).and_then(Value::as_str);
        if found != hash.as_deref() {
            let what = format!("{}: hash of the plan", folder.display());
            let none = || "none".to_owned();
            return Err(Error::mismatch(what, hash.clone().unwrap_or_else(none), found.unwrap_or("none")));
        }
        Ok(manifest)
    };
    numbers.map(read).collect()
}

/// A mismatch of the plan that is there.
fn in_folder(root: &Path, error: Error) -> Error {
    match error {
        Error::Mismatch { what, expected, found } => {
            Error::Mismatch { what: format!("{}: {what}", root.display()), expected, found }
        }
        other => other,
    }
}

/// Compares what parts have with what they were told of those before them, if they were told anything. What the counting
/// phase has left, by its names in the folder of all parts.
///
/// # Errors
/// [`Error::Mismatch`] names the first part that was told another number.
pub fn check_counted(manifests: &[Manifest]) -> Result<Vec<String>> {
    let told = |manifest: &Manifest| manifest.config.get(COUNTED_BEFORE_KEY).and_then(Value::as_u64);
    if !manifests.iter().any(|manifest| told(manifest).is_some()) {
        return Ok(Vec::new());
    }
    let mut counted = 0;
    for (number, manifest) in manifests.iter().enumerate() {
        let told = told(manifest);
        if told != Some(counted) {
            let what = format!(
                "part {number}: lines or articles before it (an input changed after it was counted; overwrite=True \
                 starts anew)"
            );
            let told = told.map_or("none".to_owned(), |told| told.to_string());
            return Err(Error::mismatch(what, counted, told));
        }
        counted += manifest.details.get(COUNTED_KEY).and_then(Value::as_u64).unwrap_or_default();
    }
    let parts = manifests.len() as u64;
    let manifest = |number| format!("{COUNTS_NAME}/{}/{MANIFEST_NAME}", part_name(number, parts));
    let names = (0..parts).map(manifest).chain([format!("{COUNTS_NAME}/{PLAN_NAME}")]);
    Ok(names.collect())
}
