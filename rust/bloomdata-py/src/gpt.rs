//! Data sets and their orders.

use bloomdata_core::datasets::columns::Columns;
use bloomdata_core::datasets::gpt::{GptConfig, GptDataset as CoreGptDataset};
use bloomdata_core::datasets::gpt_indices::IndexArray;
use bloomdata_core::datasets::index_cache::save;
use bloomdata_core::datasets::megatron_blend::{
    blend as core_blend, blend_exhaustively as core_exhaustively,
};
use bloomdata_core::datasets::mt19937::Mt19937;
use bloomdata_core::datasets::split::{
    SplitRule, split_matrix as core_split_matrix, split_ranges as core_ranges,
};
use bloomdata_core::formats::token_pair::Token;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;

use crate::buffers::Output;
use crate::enter::enter;
use crate::errors::{config_error, to_python};

/// NumPy's name of a type, and elements.
type NamedBytes<'py> = (&'static str, Bound<'py, PyBytes>);

/// Bounds of the three splits as shares.
#[pyfunction]
pub(crate) fn split_matrix(split: &str) -> PyResult<Vec<Option<(f64, f64)>>> {
    core_split_matrix(split).map(Vec::from).map_err(to_python)
}

/// Bounds of the three splits of `size` sequences.
#[pyfunction]
pub(crate) fn split_ranges(split: &str, size: u64, legacy: bool) -> PyResult<Vec<(u64, u64)>> {
    let rule = if legacy { SplitRule::Legacy } else { SplitRule::Core };
    let ranges = core_ranges(split, size, rule).map_err(to_python)?;
    Ok(ranges.into_iter().map(|range| (range.start, range.end)).collect())
}

/// Shuffles as `numpy.random.RandomState(seed).shuffle` does, in place; several arrays one after the other.
#[pyfunction]
pub(crate) fn legacy_shuffle(py: Python<'_>, seed: u32, mut arrays: Vec<Output<i64>>) -> PyResult<()> {
    let slices: Vec<&mut [i64]> = arrays.iter_mut().map(Output::slice).collect();
    enter(py, None, |progress| {
        let mut random = Mt19937::new(seed);
        slices.into_iter().try_for_each(|slice| random.shuffle(slice, progress))
    })
}

/// Numbers from 0 to `highest` as the legacy shuffle of NumPy draws them.
#[pyfunction]
pub(crate) fn legacy_intervals(seed: u32, highest: u64, count: usize) -> Vec<u64> {
    let mut random = Mt19937::new(seed);
    (0..count).map(|_| random.interval(highest)).collect()
}

/// Fills Megatron's blend index by weights; returns how many samples are taken of each data set.
#[pyfunction]
pub(crate) fn megatron_blend(
    py: Python<'_>,
    weights: Vec<f64>,
    mut dataset_index: Output<i16>,
    mut dataset_sample_index: Output<i64>,
) -> PyResult<Vec<i64>> {
    let (datasets, samples) = (dataset_index.slice(), dataset_sample_index.slice());
    enter(py, None, |progress| core_blend(&weights, datasets, samples, progress))
}

/// Fills Megatron's blend index that takes every sample once; returns as `megatron_blend`.
#[pyfunction]
pub(crate) fn megatron_blend_exhaustively(
    py: Python<'_>,
    sizes: Vec<u64>,
    mut dataset_index: Output<i16>,
    mut dataset_sample_index: Output<i64>,
) -> PyResult<Vec<i64>> {
    let (datasets, samples) = (dataset_index.slice(), dataset_sample_index.slice());
    enter(py, None, |progress| core_exhaustively(&sizes, datasets, samples, progress))
}

/// Samples of token pairs. Args: options as JSON (see `bloomdata.gpt_dataset`).
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct GptDataset {
    inner: CoreGptDataset,
}

#[pymethods]
impl GptDataset {
    #[new]
    fn new(py: Python<'_>, config: &str) -> PyResult<Self> {
        let config: GptConfig = serde_json::from_str(config).map_err(|error| config_error(&error))?;
        enter(py, None, |progress| CoreGptDataset::open(config, progress)).map(|inner| Self { inner })
    }

    fn __len__(&self) -> PyResult<usize> {
        usize::try_from(self.inner.num_samples()).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Fills arrays with samples: `input_ids`, `labels`, `position_ids` all int64 or all int32, `loss_mask` float32.
    /// Returns `cu_seqlens` as little-endian int32, nothing if it is not wanted.
    fn read<'py>(
        &self,
        py: Python<'py>,
        indices: PyBuffer<i64>,
        outputs: &Bound<'py, PyDict>,
        wants_boundaries: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let num_samples = self.inner.num_samples();
        let checked = |index: i64| {
            let index = u64::try_from(index).ok().filter(|&index| index < num_samples);
            index.ok_or_else(|| PyIndexError::new_err(format!("sample outside 0 to {num_samples}")))
        };
        let samples = indices.to_vec(py)?.into_iter().map(checked).collect::<PyResult<Vec<u64>>>()?;
        let narrow = |name| {
            Ok::<_, PyErr>(outputs.get_item(name)?.is_some_and(|item| item.extract::<Output<i32>>().is_ok()))
        };
        let mut boundaries = Vec::new();
        let wanted = wants_boundaries.then_some(&mut boundaries);
        if narrow("input_ids")? || narrow("labels")? || narrow("position_ids")? {
            self.read_as::<i32>(py, &samples, outputs, wanted)?;
        } else {
            self.read_as::<i64>(py, &samples, outputs, wanted)?;
        }
        let bytes: Vec<u8> = boundaries.into_iter().flat_map(i32::to_le_bytes).collect();
        Ok(PyBytes::new(py, &bytes))
    }

    /// Hash of all that determines samples.
    fn fingerprint(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, None, |progress| self.inner.fingerprint(progress))
    }

    /// First sequence of the split, and the one after its last.
    #[getter]
    fn sequences(&self) -> (u64, u64) {
        let sequences = self.inner.sequences();
        (sequences.start, sequences.end)
    }

    /// Number of epochs, tokens of one, and samples shuffled before the last one if that is separate; of Megatron's
    /// order only.
    #[getter]
    fn plan(&self) -> Option<(u64, u64, Option<u64>)> {
        let (plan, _) = self.inner.megatron()?;
        Some((plan.num_epochs, plan.tokens_per_epoch, plan.samples_before_last_epoch))
    }

    /// The document, sample and shuffle index: NumPy's name of the type, and the elements.
    fn indices<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<NamedBytes<'py>>>> {
        let Some((_, indices)) = self.inner.megatron() else { return Ok(None) };
        let arrays = [&indices.documents, &indices.samples, &indices.shuffle];
        let found: PyResult<Vec<_>> = arrays.into_iter().map(|array| to_bytes(py, array)).collect();
        found.map(Some)
    }

    /// Saves the indices: with a description under Megatron-core's names, else under those of older Megatrons.
    fn save_indices(&self, py: Python<'_>, prefix: PathBuf, description: Option<&str>) -> PyResult<()> {
        match self.inner.megatron() {
            Some((_, indices)) => enter(py, None, |_| save(&prefix, indices, description)),
            None => Err(PyValueError::new_err("this order has no indices")),
        }
    }
}

impl GptDataset {
    fn read_as<T: Token + Element + Send>(
        &self,
        py: Python<'_>,
        samples: &[u64],
        outputs: &Bound<'_, PyDict>,
        cu_seqlens: Option<&mut Vec<i32>>,
    ) -> PyResult<()> {
        fn take<T: Element>(outputs: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<Output<T>>> {
            outputs.get_item(name)?.map(|array| array.extract()).transpose()
        }
        let (mut input_ids, mut labels) = (take::<T>(outputs, "input_ids")?, take::<T>(outputs, "labels")?);
        let mut position_ids = take::<T>(outputs, "position_ids")?;
        let mut loss_mask = take::<f32>(outputs, "loss_mask")?;
        let columns = Columns {
            input_ids: input_ids.as_mut().map(Output::slice),
            labels: labels.as_mut().map(Output::slice),
            loss_mask: loss_mask.as_mut().map(Output::slice),
            position_ids: position_ids.as_mut().map(Output::slice),
            cu_seqlens,
        };
        py.detach(|| self.inner.read(samples, columns)).map_err(to_python)
    }
}

fn to_bytes<'py>(py: Python<'py>, array: &IndexArray) -> PyResult<NamedBytes<'py>> {
    let itemsize = usize::try_from(array.dtype().itemsize()).unwrap_or_default();
    let size = usize::try_from(array.len()).unwrap_or_default().saturating_mul(itemsize);
    let bytes = PyBytes::new_with(py, size, |buffer| {
        let mut at = 0;
        array
            .each_piece(|piece| {
                buffer[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
                Ok(())
            })
            .map_err(to_python)
    })?;
    Ok((array.dtype().name(), bytes))
}
