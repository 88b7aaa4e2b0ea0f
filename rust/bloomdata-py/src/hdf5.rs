//! h5py, as the core needs it: an object with the methods `layout` and `compress` (see `bloomdata/datasets/hdf5.py`).

use std::path::Path;
use std::sync::Mutex;

use bloomdata_core::formats::hdf5_rows::{Hdf5Files, Layout};
use bloomdata_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The Python object, and the exception that it raised last.
pub(crate) struct PythonHdf5 {
    object: Py<PyAny>,
    num_columns: u64,
    raised: Mutex<Option<PyErr>>,
}

type PythonLayout = (Vec<(u64, Vec<u8>)>, Vec<u64>, u64);

impl PythonHdf5 {
    pub(crate) fn new(object: Py<PyAny>, num_columns: u64) -> Self {
        Self { object, num_columns, raised: Mutex::new(None) }
    }

    /// The exception behind an [`Error::Callback`].
    pub(crate) fn take_raised(&self) -> Option<PyErr> {
        self.raised.lock().ok()?.take()
    }

    fn keep(&self, error: PyErr) -> Error {
        let text = error.to_string();
        if let Ok(mut raised) = self.raised.lock() {
            *raised = Some(error);
        }
        Error::Callback(text)
    }
}

impl Hdf5Files for PythonHdf5 {
    fn layout(&self, num_rows: u64) -> Result<Option<Layout>> {
        let layout = Python::attach(|py| {
            self.object.bind(py).call_method1("layout", (num_rows,))?.extract::<Option<PythonLayout>>()
        });
        let layout = layout.map_err(|error| self.keep(error))?;
        Ok(layout.map(|(segments, offsets, file_bytes)| Layout { segments, offsets, file_bytes }))
    }

    fn num_columns(&self) -> u64 {
        self.num_columns
    }

    fn compress(&self, raw: &Path, offsets: &[u64], num_rows: u64) -> Result<Vec<u8>> {
        Python::attach(|py| {
            let image = self.object.bind(py).call_method1("compress", (raw, offsets.to_vec(), num_rows))?;
            Ok(image.cast::<PyBytes>()?.as_bytes().to_vec())
        })
        .map_err(|error| self.keep(error))
    }
}
