//! The verb `decontaminate`.

use bloomdata_core::pipeline::decontaminate::counting::count;
use bloomdata_core::pipeline::decontaminate::options::DecontaminateConfig;
use bloomdata_core::pipeline::decontaminate::run::decontaminate as core_decontaminate;
use pyo3::prelude::*;

use crate::enter::enter;
use crate::errors::config_error;
use crate::inputs::{PythonPart, enter_folder, list_for_rereading};
use crate::verbs::{RunTuple, report, run_options};

/// Finds documents that hold rows of evaluations. `inputs` are paths, whether one content may be there under two names,
/// and the part that is read; `memory` is its limit, and whether n-grams are only counted. Returns as `shard`.
#[pyfunction]
pub(crate) fn decontaminate(
    py: Python<'_>,
    inputs: (Vec<String>, bool, Option<PythonPart>),
    evaluations: Vec<String>,
    config: &str,
    options: RunTuple,
    memory: (u64, bool),
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let config: DecontaminateConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let mut options = run_options(options);
    let ((paths, allow_duplicates, part), (memory_limit, counting)) = (inputs, memory);
    let root = enter_folder(part, &mut options, counting);
    let result = enter(py, on_progress.as_ref(), |progress| {
        let paths = (&paths[..], allow_duplicates);
        let (inputs, tables) = list_for_rereading(paths, &root, (part, false), progress)?;
        let read = |a, b: &_, c, d: &_, e: &_| tables.read(a, b, c, d, e);
        let run = if counting { count } else { core_decontaminate };
        run(&config, &options, memory_limit, (&inputs, &evaluations), &read, progress)
    })?;
    report(&result)
}
