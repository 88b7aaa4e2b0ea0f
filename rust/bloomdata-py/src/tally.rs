//! Parts of `count` and of `train_tokenizer`, and what their end adds up.

use std::path::PathBuf;

use bloomdata_core::Error;
use bloomdata_core::pipeline::folder::manifest::{MANIFEST_NAME, Manifest};
use bloomdata_core::pipeline::pack_options::PackConfig;
use bloomdata_core::pipeline::tally::{count_part as core_count, read_counts as core_read};
use bloomdata_core::pipeline::train::{
    TrainConfig, count_words as core_words, train_on_parts as core_train_on_parts,
};
use pyo3::prelude::*;

use crate::enter::enter;
use crate::errors::config_error;
use crate::inputs::{Output, PythonInputs, enter_folder, list_inputs};
use crate::streams::Raised;
use crate::verbs::{RunTuple, report, run_options};

/// Counts the tokens of a part of the inputs; `arguments` are all of them as given. Returns as `shard`.
#[pyfunction]
pub(crate) fn count_part(
    py: Python<'_>,
    inputs: PythonInputs,
    config: &str,
    arguments: Vec<String>,
    options: RunTuple,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let config: PackConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let (raised, mut options) = (Raised::default(), run_options(options));
    let root = enter_folder(inputs.2, &mut options, false);
    let result = enter(py, on_progress.as_ref(), |progress| {
        let (columns, records) = (config.records.columns()?, config.records_key.as_deref());
        let (inputs, readers) = list_inputs(
            &inputs,
            false,
            Output::Counts(&root),
            Vec::new(),
            columns,
            records,
            (&raised, progress),
        )?;
        let read = |a, b: &_, c, d: &_, e: &_| readers.read(a, b, c, d, e);
        core_count(&config, &arguments, &options, &inputs, &read, progress)
    });
    report(&raised.or(result)?)
}

/// Counts the words of a part of the inputs; `facts` are all options as JSON, for the plan. Returns as `shard`.
#[pyfunction]
pub(crate) fn count_words(
    py: Python<'_>,
    inputs: PythonInputs,
    config: &str,
    facts: &str,
    options: RunTuple,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<(String, bool, bool)> {
    let config: TrainConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let facts = serde_json::from_str(facts).map_err(|error| config_error(&error))?;
    let (raised, mut options) = (Raised::default(), run_options(options));
    let root = enter_folder(inputs.2, &mut options, false);
    let result = enter(py, on_progress.as_ref(), |progress| {
        let columns = config.texts.records.columns()?;
        let (inputs, readers) = list_inputs(
            &inputs,
            false,
            Output::Counts(&root),
            Vec::new(),
            columns,
            None,
            (&raised, progress),
        )?;
        let read = |a, b: &_, c, d: &_, e: &_| readers.read(a, b, c, d, e);
        core_words(&config, facts, &options, &inputs, &read, progress)
    });
    report(&raised.or(result)?)
}

/// What each input holds by a finished folder, of one part or of all, as JSON.
#[pyfunction]
pub(crate) fn read_counts(py: Python<'_>, folder: PathBuf) -> PyResult<String> {
    let counts = enter(py, None, |_| {
        let manifest = Manifest::read(&folder)?;
        let missing = || Error::config("folder", format!("no {MANIFEST_NAME} in {}", folder.display()));
        core_read(&folder, &manifest.ok_or_else(missing)?.outputs)
    })?;
    serde_json::to_string(&counts).map_err(|error| config_error(&error))
}

/// A vocabulary from the words of all parts in a folder, as `train_tokenizer`.
#[pyfunction]
pub(crate) fn train_on_parts(
    py: Python<'_>,
    folder: PathBuf,
    config: &str,
    on_progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let config: TrainConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
    let made = enter(py, on_progress.as_ref(), |progress| core_train_on_parts(&folder, &config, progress))?;
    serde_json::to_string(&made).map_err(|error| config_error(&error))
}
