//! The verb `decontaminate`.

use bloomdata_core::pipeline::decontaminate::options::DecontaminateConfig;
use bloomdata_core::pipeline::decontaminate::run::decontaminate as core_decontaminate;
use pyo3::prelude::*;

use crate::enter::enter;
use crate::errors::config_error;
use crate::inputs::list_for_rereading;
use crate::verbs::{RunTuple, report, run_options};

/// Finds documents that hold rows of evaluations. Returns as `shard`.
#[pyfunction]
pub(crate) fn decontaminate(
    py: Python<'_>,
    inputs: (Vec<String>, bool),
    evaluations: Vec<String>,
    config: &str,
    options: RunTuple,
    memory_limit: u64,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let config: DecontaminateConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let options = run_options(options);
    let result = enter(py, on_progress.as_ref(), |progress| {
        let (inputs, tables) = list_for_rereading((&inputs.0, inputs.1), &options.output, progress)?;
        let read = |a, b: &_, c, d: &_, e: &_| tables.read(a, b, c, d, e);
        core_decontaminate(&config, &options, memory_limit, (&inputs, &evaluations), &read, progress)
    })?;
    report(&result)
}
