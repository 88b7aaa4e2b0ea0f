//! One function per verb. Options cross as JSON and are checked by the core; reports come back as JSON.

use std::path::PathBuf;

use bloomdata_core::hash::hash_file as core_hash_file;
use bloomdata_core::io::compression::Compression;
use bloomdata_core::packing::Packing;
use bloomdata_core::packing::plan::{histogram, plan as core_plan};
use bloomdata_core::pipeline::finish::finish as core_finish;
use bloomdata_core::pipeline::folder::limits::{Limits, MaxBad};
use bloomdata_core::pipeline::folder::manifest::{Manifest, finish_folder as core_finish_folder};
use bloomdata_core::pipeline::folder::part_leftovers::discard_parts as core_discard_parts;
use bloomdata_core::pipeline::folder::run::{RunOptions, RunResult};
use bloomdata_core::pipeline::lengths::lengths as core_lengths;
use bloomdata_core::pipeline::merge::merge as core_merge;
use bloomdata_core::pipeline::pack::pack as core_pack;
use bloomdata_core::pipeline::pack_options::PackConfig;
use bloomdata_core::pipeline::sharding::engine::shard as core_shard;
use bloomdata_core::pipeline::sharding::options::{PrepareConfig, ShardConfig};
use bloomdata_core::pipeline::sharding::places::{
    Sought, ends_with_newline as core_ends_with_newline, find_lines as core_find_lines,
};
use bloomdata_core::pipeline::train::{TrainConfig, train_tokenizer as core_train};
use bloomdata_core::pipeline::verify::verify as core_verify;
use bloomdata_core::sources::columns::Columns;
use bloomdata_core::sources::expand::expand as core_expand;
use bloomdata_core::sources::remote::Store;
use bloomdata_core::sources::stream::read_lines as core_read_lines;
use bloomdata_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::enter::enter;
use crate::errors::{config_error, to_python};
use crate::hdf5::PythonHdf5;
use crate::inputs::{Output, PythonInputs, check_streams, enter_part, list_inputs};
use crate::store::PythonStore;
use crate::streams::{PythonTable, Raised, take_tables};

/// Lines of one file of records, from number `first` on, at most `count`.
#[pyfunction]
pub(crate) fn read_lines(py: Python<'_>, path: PathBuf, first: u64, count: usize) -> PyResult<Vec<String>> {
    enter(py, None, |progress| core_read_lines(&path, first, count, progress))
}

/// Shards inputs; returns (manifest as JSON, was finished before, was resumed).
#[pyfunction]
pub(crate) fn shard(
    py: Python<'_>,
    inputs: PythonInputs,
    streams: Vec<PythonTable<'_>>,
    config: &str,
    options: RunTuple,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let mut config: ShardConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let (streams, raised) = take_tables(&streams, true)?;
    let mut options = run_options(options);
    let root = enter_part(&inputs, &mut options, &mut config.prefix, config.counting);
    let result = enter(py, on_progress.as_ref(), |progress| {
        let (inputs, tables) = list_inputs(
            &inputs,
            config.prepare.as_ref().is_some_and(PrepareConfig::reads_whole_files),
            Output::Data(&root),
            streams,
            Columns::default(),
            config.records.as_deref(),
            (&raised, progress),
        )?;
        let read = |a, b: &_, c, d: &_, e: &_| tables.read(a, b, c, d, e);
        let result = core_shard(&config, &options, &inputs, &read, progress)?;
        check_streams(&result, &inputs, &tables.tables, progress)?;
        Ok(result)
    });
    report(&raised.or(result)?)
}

/// Packs inputs; `hdf5` is an object with `layout` and `compress`. Returns as `shard`.
#[pyfunction]
pub(crate) fn pack(
    py: Python<'_>,
    inputs: PythonInputs,
    streams: Vec<PythonTable<'_>>,
    config: &str,
    options: RunTuple,
    hdf5: Py<PyAny>,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let mut config: PackConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let (streams, raised) = take_tables(&streams, true)?;
    let mut options = run_options(options);
    let root = enter_part(&inputs, &mut options, &mut config.prefix, config.counting);
    let hdf5 = PythonHdf5::new(hdf5, if config.records.pairs.categories.is_some() { 3 } else { 2 });
    let result = enter(py, on_progress.as_ref(), |progress| {
        let columns = config.records.columns()?.noting_others();
        let (inputs, tables) = list_inputs(
            &inputs,
            false,
            Output::Data(&root),
            streams,
            columns,
            config.records_key.as_deref(),
            (&raised, progress),
        )?;
        let read = |a, b: &_, c, d: &_, e: &_| tables.read(a, b, c, d, e);
        let result = core_pack(&config, &options, &inputs, &read, &hdf5, progress)?;
        check_streams(&result, &inputs, &tables.tables, progress)?;
        Ok(result)
    });
    let result = result.map_err(|error| hdf5.take_raised().unwrap_or(error));
    report(&raised.or(result)?)
}

/// Tokens of each article of the inputs (little-endian uint32), and what each input holds as JSON.
#[pyfunction]
pub(crate) fn lengths<'py>(
    py: Python<'py>,
    inputs: PythonInputs,
    streams: Vec<PythonTable<'_>>,
    config: &str,
    num_threads: usize,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(Bound<'py, PyBytes>, String)> {
    let config: PackConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let (streams, raised) = take_tables(&streams, false)?;
    let lengths = enter(py, on_progress.as_ref(), |progress| {
        let (inputs, tables) = list_inputs(
            &inputs,
            false,
            Output::Nothing,
            streams,
            config.records.columns()?,
            config.records_key.as_deref(),
            (&raised, progress),
        )?;
        let tables = |a, b: &_, c, d: &_, e: &_| tables.read(a, b, c, d, e);
        core_lengths(&config, num_threads.max(1), &inputs, &tables, progress)
    });
    let lengths = raised.or(lengths)?;
    let bytes: Vec<u8> = lengths.articles.into_iter().flat_map(u32::to_le_bytes).collect();
    let counts = serde_json::to_string(&lengths.inputs).map_err(|error| config_error(&error))?;
    Ok((PyBytes::new(py, &bytes), counts))
}

/// A vocabulary from the texts of all inputs, as JSON.
#[pyfunction]
pub(crate) fn train_tokenizer(
    py: Python<'_>,
    inputs: PythonInputs,
    streams: Vec<PythonTable<'_>>,
    config: &str,
    num_threads: usize,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let config: TrainConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let (streams, raised) = take_tables(&streams, false)?;
    let vocabulary = enter(py, on_progress.as_ref(), |progress| {
        let (inputs, tables) = list_inputs(
            &inputs,
            false,
            Output::Nothing,
            streams,
            config.texts.records.columns()?,
            None,
            (&raised, progress),
        )?;
        let tables = |a, b: &_, c, d: &_, e: &_| tables.read(a, b, c, d, e);
        core_train(&config, num_threads.max(1), &inputs, &tables, progress)
    });
    serde_json::to_string(&raised.or(vocabulary)?).map_err(|error| config_error(&error))
}

/// What packings would do to documents of these lengths (little-endian uint32); returns plans and a histogram as JSON.
#[pyfunction]
pub(crate) fn plan(
    py: Python<'_>,
    lengths: Vec<u8>,
    sequence_length: u64,
    packings: Vec<String>,
    seed: u64,
    window_tokens: u64,
) -> PyResult<String> {
    let (lengths, _) = lengths.as_chunks::<4>();
    let lengths: Vec<u32> = lengths.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let plans = enter(py, None, |progress| {
        packings
            .iter()
            .map(|packing| {
                progress.check()?;
                core_plan(Packing::parse(packing)?, &lengths, sequence_length, (seed, window_tokens))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(serde_json::json!({"plans": plans, "histogram": histogram(&lengths)}).to_string())
}

/// Suffixes of compressed files that are read.
#[pyfunction]
pub(crate) fn compressions() -> Vec<&'static str> {
    Compression::ALL.map(Compression::suffix).to_vec()
}

/// The files that inputs name, each with the index of its argument.
#[pyfunction]
pub(crate) fn list_files(py: Python<'_>, inputs: Vec<String>) -> PyResult<Vec<(PathBuf, usize)>> {
    let list = enter(py, None, |_| core_expand(&inputs, None))?;
    let files = list.inputs.iter().enumerate();
    Ok(files.map(|(at, input)| (input.path.clone(), list.argument(at))).collect())
}

/// Where lines of files are: for each (number, bytes), its (file, line, offset); by their numbers in the shuffle with a
/// seed. None for a line that is not there.
#[pyfunction]
pub(crate) fn find_lines(
    py: Python<'_>,
    inputs: Vec<String>,
    lines: Vec<(u64, Vec<u8>)>,
    seed: Option<u64>,
) -> PyResult<Vec<Option<(PathBuf, u64, u64)>>> {
    let sought: Vec<Sought> = lines.into_iter().map(|(number, bytes)| Sought { number, bytes }).collect();
    let found =
        enter(py, None, |progress| core_find_lines(&core_expand(&inputs, None)?, &sought, seed, progress))?;
    Ok(found.into_iter().map(|place| place.map(|at| (at.path, at.line, at.offset))).collect())
}

/// Whether the last line of the last file ends with a newline.
#[pyfunction]
pub(crate) fn ends_with_newline(py: Python<'_>, path: String) -> PyResult<bool> {
    enter(py, None, |progress| core_ends_with_newline(&core_expand(&[path], None)?, progress))
}

/// Size and BLAKE3 of a file.
#[pyfunction]
pub(crate) fn hash_file(py: Python<'_>, path: PathBuf) -> PyResult<(u64, String)> {
    let (size, hasher) = enter(py, None, |progress| core_hash_file(&path, None, progress))?;
    Ok((size, hasher.hex()))
}

/// Finishes a folder that was put together from finished runs; returns its manifest as JSON.
#[pyfunction]
pub(crate) fn finish_folder(py: Python<'_>, folder: PathBuf, manifest: &str) -> PyResult<String> {
    let manifest = enter(py, None, |progress| core_finish_folder(&folder, manifest, progress))?;
    manifest.to_json().map_err(to_python)
}

/// The manifest of a finished folder as JSON; None for a folder that has none.
#[pyfunction]
pub(crate) fn read_manifest(folder: PathBuf) -> PyResult<Option<String>> {
    let manifest = Manifest::read(&folder).map_err(to_python)?;
    manifest.map(|manifest| manifest.to_json().map_err(to_python)).transpose()
}

/// Merges finished Megatron pairs. Returns as `shard`.
#[pyfunction]
pub(crate) fn merge(
    py: Python<'_>,
    inputs: Vec<String>,
    name: &str,
    options: RunTuple,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let options = run_options(options);
    let result = enter(py, on_progress.as_ref(), |progress| core_merge(&inputs, name, &options, progress))?;
    report(&result)
}

/// Finishes a folder that holds the parts of a run. Returns as `shard`.
#[pyfunction]
pub(crate) fn finish(
    py: Python<'_>,
    options: RunTuple,
    joined: bool,
    stored: Option<(String, Py<PyAny>)>,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let options = run_options(options);
    let raised = Raised::default();
    let stored = stored.map(|(address, object)| (address, PythonStore { object, raised: raised.clone() }));
    let result = raised.or(enter(py, on_progress.as_ref(), |progress| {
        let stored = stored.as_ref().map(|(address, store)| (store as &dyn Store, &**address));
        core_finish(&options.output, joined, options.limits, stored, progress)
    }))?;
    report(&result)
}

/// Removes what parts have left in a folder, and their plan.
#[pyfunction]
pub(crate) fn discard_parts(py: Python<'_>, folder: PathBuf) -> PyResult<()> {
    enter(py, None, |_| core_discard_parts(&folder))
}

/// Checks a finished folder, or all of it that is in no part; returns what was found as JSON.
#[pyfunction]
pub(crate) fn verify(
    py: Python<'_>,
    folder: PathBuf,
    num_threads: usize,
    without_parts: bool,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let result = enter(py, on_progress.as_ref(), |progress| {
        core_verify(&folder, num_threads, without_parts, progress)
    })?;
    serde_json::to_string(&result).map_err(|error| config_error(&error))
}

/// Output, threads, overwrite, seconds between checkpoints, and the limits: whether nothing may be kept, and how many
/// records may be bad, as their number or as a share.
pub(crate) type RunTuple = (PathBuf, usize, bool, f64, (bool, Option<u64>, Option<f64>));

pub(crate) fn run_options(
    (output, num_threads, overwrite, checkpoint_seconds, (allow_empty, max_records, max_share)): RunTuple,
) -> RunOptions {
    let max_bad = max_records.map(MaxBad::Records).or(max_share.map(MaxBad::Share));
    let limits = Limits { allow_empty, max_bad };
    RunOptions { output, num_threads: num_threads.max(1), overwrite, checkpoint_seconds, limits }
}

pub(crate) fn report(result: &RunResult) -> PyResult<(String, bool, bool)> {
    let manifest = result.manifest.to_json().map_err(|error: Error| to_python(error))?;
    Ok((manifest, result.was_finished, result.was_resumed))
}
