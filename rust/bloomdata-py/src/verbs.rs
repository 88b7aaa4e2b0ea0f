//! One function per verb. Options cross as JSON and are checked by the core; reports come back as JSON.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use bloomdata_core::pipeline::merge::merge as core_merge;
use bloomdata_core::pipeline::pack::{PackConfig, pack as core_pack};
use bloomdata_core::pipeline::run::{RunOptions, RunResult};
use bloomdata_core::pipeline::shard::{ShardConfig, shard as core_shard};
use bloomdata_core::pipeline::verify::verify as core_verify;
use bloomdata_core::progress::Progress;
use bloomdata_core::sources::inputs::{InputList, expand as core_expand};
use bloomdata_core::sources::json_fields::FieldPath;
use bloomdata_core::sources::stream::read_lines as core_read_lines;
use bloomdata_core::sources::tables::{RowStream, TableReader};
use bloomdata_core::{Error, Result};
use pyo3::prelude::*;

use crate::enter::enter;
use crate::errors::{config_error, to_python};
use crate::hdf5::PythonHdf5;
use crate::streams::take_streams;

/// Lines of one file of records, from number `first` on, at most `count`.
#[pyfunction]
pub(crate) fn read_lines(py: Python<'_>, path: PathBuf, first: u64, count: usize) -> PyResult<Vec<String>> {
    enter(py, None, |progress| core_read_lines(&path, first, count, progress))
}

/// Shards inputs; returns (manifest as JSON, was finished before, was resumed).
#[pyfunction]
pub(crate) fn shard(
    py: Python<'_>,
    inputs: Vec<String>,
    streams: Vec<(String, Bound<'_, PyAny>)>,
    config: &str,
    options: (PathBuf, usize, bool, f64),
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let config: ShardConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let streams = take_streams(&streams)?;
    let options = run_options(options);
    let result = enter(py, on_progress.as_ref(), |progress| {
        let (inputs, tables) = plan(&inputs, &options.output, streams, Vec::new(), progress)?;
        core_shard(&config, &options, &inputs, &|a, b, c, d, e| tables.read(a, b, c, d, e), progress)
    })?;
    report(&result)
}

/// Packs inputs; `hdf5` is an object with `layout` and `compress`. Returns as `shard`.
#[pyfunction]
pub(crate) fn pack(
    py: Python<'_>,
    inputs: Vec<String>,
    streams: Vec<(String, Bound<'_, PyAny>)>,
    config: &str,
    options: (PathBuf, usize, bool, f64),
    hdf5: Py<PyAny>,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let config: PackConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let streams = take_streams(&streams)?;
    let options = run_options(options);
    let hdf5 = PythonHdf5::new(hdf5);
    let result = enter(py, on_progress.as_ref(), |progress| {
        let fields =
            config.text_field.iter().map(|field| FieldPath::parse(field)).collect::<Result<Vec<_>>>()?;
        let columns = fields.iter().map(|field| field.column().to_owned()).collect();
        let (inputs, tables) = plan(&inputs, &options.output, streams, columns, progress)?;
        core_pack(&config, &options, &inputs, &|a, b, c, d, e| tables.read(a, b, c, d, e), &hdf5, progress)
    });
    let result = result.map_err(|error| hdf5.take_raised().unwrap_or(error))?;
    report(&result)
}

/// Merges finished Megatron pairs. Returns as `shard`.
#[pyfunction]
pub(crate) fn merge(
    py: Python<'_>,
    inputs: Vec<String>,
    name: &str,
    options: (PathBuf, usize, bool, f64),
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let options = run_options(options);
    let result = enter(py, on_progress.as_ref(), |progress| core_merge(&inputs, name, &options, progress))?;
    report(&result)
}

/// Checks a finished folder; returns what was found as JSON.
#[pyfunction]
pub(crate) fn verify(
    py: Python<'_>,
    folder: PathBuf,
    num_threads: usize,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let result = enter(py, on_progress.as_ref(), |progress| core_verify(&folder, num_threads, progress))?;
    serde_json::to_string(&result).map_err(|error| config_error(&error))
}

fn run_options(
    (output, num_threads, overwrite, checkpoint_seconds): (PathBuf, usize, bool, f64),
) -> RunOptions {
    RunOptions { output, num_threads: num_threads.max(1), overwrite, checkpoint_seconds }
}

/// Lists everything that will be read.
fn plan(
    inputs: &[String],
    output: &Path,
    streams: Vec<(String, RowStream)>,
    columns: Vec<String>,
    progress: &Progress,
) -> Result<(InputList, TableReader)> {
    let mut list = if inputs.is_empty() && !streams.is_empty() {
        InputList::default()
    } else {
        core_expand(inputs, Some(output))?
    };
    progress.total_bytes.store(list.inputs.iter().map(|input| input.size).sum(), Relaxed);
    let tables = TableReader::new(&mut list.inputs, streams, columns);
    Ok((list, tables))
}

fn report(result: &RunResult) -> PyResult<(String, bool, bool)> {
    let manifest = result.manifest.to_json().map_err(|error: Error| to_python(error))?;
    Ok((manifest, result.was_finished, result.was_resumed))
}
