//! The verb `dedup`, and what it is made of, for tests and explanations.

use std::path::PathBuf;

use bloomdata_core::Result;
use bloomdata_core::dedup::exact_key::{ExactKeys, TextForm};
use bloomdata_core::dedup::minhash::MinHasher;
use bloomdata_core::dedup::units::Units;
use bloomdata_core::dedup::windows::Windows;
use bloomdata_core::pipeline::dedup::options::{DedupConfig, NearConfig, SignatureConfig};
use bloomdata_core::pipeline::dedup::part::write_part;
use bloomdata_core::pipeline::dedup::run::{DedupInputs, decide, dedup as core_dedup};
use bloomdata_core::pipeline::dedup::set_parts::collect_part;
use bloomdata_core::pipeline::dedup::signatures::signatures as core_signatures;
use bloomdata_core::pipeline::folder::run::{CustomReader, RunOptions, RunResult};
use bloomdata_core::progress::Progress;
use bloomdata_core::sources::expand::expand;
use bloomdata_core::sources::inputs::InputList;
use bloomdata_core::sources::tables::TableReader;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::enter::enter;
use crate::errors::config_error;
use crate::inputs::{PythonPart, enter_folder, list_for_rereading};
use crate::verbs::{RunTuple, report, run_options};

/// Removes duplicates; `memory` is its limit, and the folders of signatures that were made before. Returns as `shard`.
/// With `decides`, it only finds what parts are to do with them, and returns `None` where it needs the sets of shingles that
/// so many parts collect; 0 collects by itself.
#[pyfunction]
pub(crate) fn dedup(
    py: Python<'_>,
    inputs: Vec<String>,
    config: &str,
    options: RunTuple,
    memory: (u64, Vec<PathBuf>),
    decides: Option<u64>,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<Option<(String, bool, bool)>> {
    let config: DedupConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let options = run_options(options);
    let result = enter(py, on_progress.as_ref(), |progress| {
        // Copies are what it looks for.
        let (inputs, tables) = list_for_rereading((&inputs, true), &options.output, (None, true), progress)?;
        let against = against_of(&config.against)?;
        let read = |a, b: &_, c, d: &_, e: &_| TableReader::read(&tables, a, b, c, d, e);
        let (memory_limit, signatures) = &memory;
        let lists = DedupInputs { inputs: &inputs, against: &against, signatures };
        match decides {
            None => core_dedup(&config, &options, *memory_limit, lists, &read, progress).map(Some),
            Some(parts) => {
                let parts = (parts > 0).then_some(parts);
                decide(parts, &config, &options, *memory_limit, lists, &read, progress)
            }
        }
    })?;
    result.as_ref().map(report).transpose()
}

/// Collects the sets of shingles of one part of the inputs, for a `dedup` that decides. Returns as `shard`.
#[pyfunction]
pub(crate) fn dedup_sets(
    py: Python<'_>,
    inputs: Vec<String>,
    part: PythonPart,
    config: &str,
    options: RunTuple,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    // It lies in the scratch folder of the decisions, in the output of the run.
    run_part(py, (&inputs, part), config, options, on_progress.as_ref(), 3, collect_part)
}

/// Writes one part of the inputs by what was decided for all of them. Returns as `shard`.
#[pyfunction]
pub(crate) fn dedup_part(
    py: Python<'_>,
    inputs: Vec<String>,
    part: PythonPart,
    config: &str,
    options: RunTuple,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    run_part(py, (&inputs, part), config, options, on_progress.as_ref(), 0, write_part)
}

/// Work on one part of the inputs.
type PartWork = fn(&DedupConfig, &RunOptions, &InputList, &CustomReader<'_>, &Progress) -> Result<RunResult>;

/// Does that for a part whose folder of parts lies `depth` folders below the output of the run.
fn run_part(
    py: Python<'_>,
    (inputs, part): (&[String], PythonPart),
    config: &str,
    options: RunTuple,
    on_progress: Option<&Bound<'_, PyAny>>,
    depth: usize,
    work: PartWork,
) -> PyResult<(String, bool, bool)> {
    let config: DedupConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let mut options = run_options(options);
    let folder = enter_folder(Some(part), &mut options, false);
    let result = enter(py, on_progress, |progress| {
        let root = folder.ancestors().nth(depth).unwrap_or(&folder);
        // Decisions are on whole files.
        let (inputs, tables) = list_for_rereading((inputs, true), root, (Some(part), true), progress)?;
        let read = |a, b: &_, c, d: &_, e: &_| TableReader::read(&tables, a, b, c, d, e);
        work(&config, &options, &inputs, &read, progress)
    })?;
    report(&result)
}

/// Signs inputs; `config` as in `dedup`. Returns as `shard`.
#[pyfunction]
pub(crate) fn signatures(
    py: Python<'_>,
    inputs: Vec<String>,
    part: Option<PythonPart>,
    config: &str,
    options: RunTuple,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let config: DedupConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let mut options = run_options(options);
    let root = enter_folder(part, &mut options, false);
    let result = enter(py, on_progress.as_ref(), |progress| {
        // Signatures are of whole files.
        let (inputs, tables) = list_for_rereading((&inputs, true), &root, (part, true), progress)?;
        let read = |a, b: &_, c, d: &_, e: &_| TableReader::read(&tables, a, b, c, d, e);
        core_signatures(&config, &options, &inputs, &read, progress)
    })?;
    report(&result)
}

fn against_of(patterns: &[String]) -> Result<InputList> {
    if patterns.is_empty() { Ok(InputList::default()) } else { expand(patterns, None) }
}

/// The bands for a threshold and the chance of each similarity, as (bands, rows, chances); `config` as in `dedup`.
#[pyfunction]
pub(crate) fn near_chances(
    py: Python<'_>,
    config: &str,
    similarities: Vec<f64>,
) -> PyResult<(usize, usize, Vec<f64>)> {
    let near: NearConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    enter(py, None, |_| {
        near.validate()?;
        let bands = near.bands()?;
        let chances = similarities.iter().map(|similarity| bands.chance(*similarity)).collect();
        Ok((bands.bands, bands.rows, chances))
    })
}

/// Hash, start and end of a unit.
type UnitRange = (u64, usize, usize);

/// Hash, start and end of each unit of a text, and its signature; `config` as in `dedup`.
#[pyfunction]
pub(crate) fn near_signature<'py>(
    py: Python<'py>,
    text: &str,
    config: &str,
) -> PyResult<(Vec<UnitRange>, Bound<'py, PyBytes>)> {
    let config: SignatureConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let (units, signature) = enter(py, None, |_| {
        config.validate()?;
        let (mut hashes, mut ranges) = (Vec::new(), Vec::new());
        Units::new(config.unit, config.normalize)?.with_ranges(text, &mut hashes, &mut ranges);
        let (mut shingles, mut signature) = (Vec::new(), Vec::new());
        Windows::new(config.shingle_size).shingles(&hashes, &mut shingles);
        MinHasher::new(config.num_perm).append(&shingles, &mut signature);
        let units = hashes.iter().zip(&ranges).map(|(hash, (start, end))| (*hash, *start, *end));
        Ok((units.collect::<Vec<_>>(), signature))
    })?;
    Ok((units, PyBytes::new(py, &signature)))
}

/// The key of a text in one of the forms of `dedup`.
#[pyfunction]
pub(crate) fn exact_key(py: Python<'_>, text: &str, normalize: &str) -> PyResult<u128> {
    let form: TextForm = serde_json::from_value(normalize.into()).map_err(|error| config_error(&error))?;
    enter(py, None, |_| Ok(ExactKeys::new(form)?.key(text)))
}
