//! Orders, blends and rows as objects. Indices come as buffers of int64, results go as bytes to be viewed as arrays: nothing
//! is made per row in Python. Work runs with the GIL released, straight into the memory that Python gets.

use std::path::PathBuf;

use bloomdata_core::Error;
use bloomdata_core::datasets::labels::{LabelRules as CoreRules, make_rows};
use bloomdata_core::datasets::mixture::{Mixture as CoreMixture, Source};
use bloomdata_core::datasets::order::{Permutation as CorePermutation, ROW_STREAM};
use bloomdata_core::datasets::rows::{Column, PackedRows as CoreRows, RowFile};
use bloomdata_core::token::TokenDtype;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use crate::errors::{config_error, to_python};

/// The order of one epoch.
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct KeyedOrder {
    inner: CorePermutation,
}

#[pymethods]
impl KeyedOrder {
    #[new]
    fn new(n: u64, seed: u64, source: u64, epoch: u64) -> PyResult<Self> {
        CorePermutation::new(n, seed, ROW_STREAM, source, epoch)
            .map(|inner| Self { inner })
            .map_err(to_python)
    }

    /// What is at each of `indices`, as int64.
    fn at<'py>(&self, py: Python<'py>, indices: PyBuffer<i64>) -> PyResult<Bound<'py, PyByteArray>> {
        let indices = unsigned(indices.to_vec(py)?)?;
        fill(py, &indices, |index| self.inner.at(index))
    }

    /// What is at `start`, `start + step` and so on, `count` of them, as int64.
    fn range<'py>(
        &self,
        py: Python<'py>,
        start: u64,
        step: i64,
        count: usize,
    ) -> PyResult<Bound<'py, PyByteArray>> {
        let size = count.saturating_mul(8);
        PyByteArray::new_with(py, size, |bytes| {
            py.detach(|| {
                let mut index = start;
                for slot in bytes.as_chunks_mut::<8>().0 {
                    *slot = self.inner.at(index)?.to_le_bytes();
                    index = index.wrapping_add_signed(step);
                }
                Ok(())
            })
            .map_err(to_python)
        })
    }

    /// Where each of `values` is, as int64.
    fn positions<'py>(&self, py: Python<'py>, values: PyBuffer<i64>) -> PyResult<Bound<'py, PyByteArray>> {
        let values = unsigned(values.to_vec(py)?)?;
        fill(py, &values, |value| self.inner.position(value))
    }
}

/// A planned blend. Args: integer weights and samples of the sources, samples in all, seed, whether rows are shuffled.
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct Mixture {
    inner: CoreMixture,
}

#[pymethods]
impl Mixture {
    #[new]
    fn new(
        weights: Vec<u64>,
        lengths: Vec<u64>,
        num_samples: u64,
        seed: u64,
        shuffles: bool,
    ) -> PyResult<Self> {
        if weights.len() != lengths.len() {
            return Err(to_python(Error::config("weights", "one for each source is needed")));
        }
        let sources = weights.into_iter().zip(lengths);
        let sources = sources.map(|(weight, num_samples)| Source { num_samples, weight }).collect();
        CoreMixture::new(sources, num_samples, seed, shuffles).map(|inner| Self { inner }).map_err(to_python)
    }

    /// Positions of a block.
    #[getter]
    fn block_samples(&self) -> u64 {
        self.inner.block_samples()
    }

    /// Samples of each source in a blend of so many.
    fn counts(&self, num_samples: u64) -> Vec<u64> {
        self.inner.counts(num_samples)
    }

    /// Source, epoch and row of each position, as three int64 each.
    fn locate<'py>(&self, py: Python<'py>, positions: PyBuffer<i64>) -> PyResult<Bound<'py, PyByteArray>> {
        let positions = unsigned(positions.to_vec(py)?)?;
        let places = py.detach(|| self.inner.locate(&positions)).map_err(to_python)?;
        PyByteArray::new_with(py, 24 * places.len(), |bytes| {
            for (slot, place) in bytes.as_chunks_mut::<24>().0.iter_mut().zip(&places) {
                let [source, epoch, row] =
                    [place.source as u64, place.epoch, place.row].map(u64::to_le_bytes);
                slot[..8].copy_from_slice(&source);
                slot[8..16].copy_from_slice(&epoch);
                slot[16..].copy_from_slice(&row);
            }
            Ok(())
        })
    }
}

/// How rows become samples. Args: rules as JSON (see `bloomdata.label_rules`).
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct RowRules {
    inner: CoreRules,
}

#[pymethods]
impl RowRules {
    #[new]
    fn new(rules: &str) -> PyResult<Self> {
        let inner: CoreRules = serde_json::from_str(rules).map_err(|error| config_error(&error))?;
        inner.check().map_err(to_python)?;
        Ok(Self { inner })
    }

    /// Rows in memory: ids, labels, positions and weights in one piece of memory, and `cu_seqlens` as int32.
    fn make<'py>(
        &self,
        py: Python<'py>,
        ids: PyBuffer<i32>,
        types: Option<PyBuffer<i32>>,
        length: u64,
    ) -> PyResult<(Bound<'py, PyByteArray>, Bound<'py, PyByteArray>)> {
        let ids = ids.to_vec(py)?;
        let types = types.map(|types| types.to_vec(py)).transpose()?;
        batch(py, self.inner.batch_bytes(ids.len()), |memory| {
            make_rows(&self.inner, &ids, types.as_deref(), length, memory)
        })
    }
}

/// A column of a file: its path, where its first row is, and the type of its tokens.
type PythonColumn = (PathBuf, u64, String);

/// Rows of files. Args: tokens of a row; for each file its rows, the tokens, and their types if it has them.
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct PackedRows {
    inner: CoreRows,
}

#[pymethods]
impl PackedRows {
    #[new]
    fn new(sequence_length: u64, files: Vec<(u64, PythonColumn, Option<PythonColumn>)>) -> PyResult<Self> {
        let files = files.into_iter().map(|(num_rows, ids, types)| {
            Ok(RowFile { num_rows, ids: column(ids)?, types: types.map(column).transpose()? })
        });
        let files = files.collect::<bloomdata_core::Result<Vec<_>>>().map_err(to_python)?;
        CoreRows::new(sequence_length, files).map(|inner| Self { inner }).map_err(to_python)
    }

    /// Rows of files, as [`RowRules::make`] gives them.
    fn read<'py>(
        &self,
        py: Python<'py>,
        rules: &RowRules,
        rows: PyBuffer<i64>,
    ) -> PyResult<(Bound<'py, PyByteArray>, Bound<'py, PyByteArray>)> {
        let rows = unsigned(rows.to_vec(py)?)?;
        let num_tokens = rows.len().saturating_mul(self.inner.sequence_length());
        if i32::try_from(num_tokens).is_err() {
            let reason = format!("a batch of {num_tokens} tokens; at most 2^31 - 1 are supported");
            return Err(to_python(Error::config("indices", reason)));
        }
        batch(py, rules.inner.batch_bytes(num_tokens), |memory| self.inner.read(&rules.inner, &rows, memory))
    }
}

fn column((path, offset, dtype): PythonColumn) -> bloomdata_core::Result<Column> {
    let dtype = match dtype.as_str() {
        "uint8" => TokenDtype::Uint8,
        "uint16" => TokenDtype::Uint16,
        "int32" => TokenDtype::Int32,
        _ => {
            let supported = "uint8, uint16, int32".to_owned();
            return Err(Error::Unsupported { path, found: dtype, supported });
        }
    };
    Ok(Column { path, offset, dtype })
}

type Batch<'py> = (Bound<'py, PyByteArray>, Bound<'py, PyByteArray>);

/// Memory of a batch, filled with the GIL released: no one else holds the object before it is done.
fn batch(
    py: Python<'_>,
    size: usize,
    make: impl FnOnce(&mut [u8]) -> bloomdata_core::Result<Vec<i32>> + Send,
) -> PyResult<Batch<'_>> {
    let mut ends = Vec::new();
    let memory = PyByteArray::new_with(py, size, |memory| {
        ends = py.detach(|| make(memory)).map_err(to_python)?;
        Ok(())
    })?;
    let ends: Vec<u8> = ends.into_iter().flat_map(i32::to_le_bytes).collect();
    Ok((memory, PyByteArray::new(py, &ends)))
}

fn fill<'py>(
    py: Python<'py>,
    from: &[u64],
    function: impl Fn(u64) -> bloomdata_core::Result<u64> + Sync + Send,
) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, 8 * from.len(), |bytes| {
        py.detach(|| {
            for (slot, &value) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(from) {
                *slot = function(value)?.to_le_bytes();
            }
            Ok(())
        })
        .map_err(to_python)
    })
}

/// Indices are checked in Python; a negative one that gets here is an error, too.
fn unsigned(indices: Vec<i64>) -> PyResult<Vec<u64>> {
    let converted: Result<Vec<u64>, _> = indices.into_iter().map(u64::try_from).collect();
    converted.map_err(|_| to_python(Error::config("indices", "an index is below 0")))
}
