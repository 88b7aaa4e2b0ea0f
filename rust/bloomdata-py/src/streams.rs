//! Rows that Python hands over: Arrow streams by the `PyCapsule` interface (`__arrow_c_stream__`), without a copy, and
//! iterables of groups of lines of JSON.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use bloomdata_core::Error;
use bloomdata_core::sources::tables::{RowStream, Table};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyIterator};

use crate::errors::to_python;

/// A label, an object with `__arrow_c_stream__` or an iterable of groups of lines, and what identifies it: `table`,
/// `dataset` or `stream`.
pub(crate) type PythonTable<'py> = (String, Bound<'py, PyAny>, String);

/// The exception that ended an iterable.
#[derive(Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    /// The result of a run, with the exception in place of the error that it became in the core.
    pub(crate) fn or<T>(&self, result: PyResult<T>) -> PyResult<T> {
        result.map_err(|error| self.0.lock().ok().and_then(|mut raised| raised.take()).unwrap_or(error))
    }

    pub(crate) fn keep(&self, error: PyErr) -> Error {
        let text = error.to_string();
        if let Ok(mut raised) = self.0.lock() {
            *raised = Some(error);
        }
        Error::Callback(text)
    }
}

/// Takes the streams out of Python objects. With `hashed`, tables are taken twice: once to be hashed.
pub(crate) fn take_tables(objects: &[PythonTable<'_>], hashed: bool) -> PyResult<(Vec<Table>, Raised)> {
    let raised = Raised::default();
    let take = |(label, object, kind): &PythonTable<'_>| {
        let again = hashed && kind == "table";
        let again = if again { Some(take_rows(label, object, &raised)?) } else { None };
        let (label, rows) = (label.clone(), take_rows(label, object, &raised)?);
        Ok(Table { label, rows, again, read_once: kind == "stream" })
    };
    let tables: Vec<Table> = objects.iter().map(take).collect::<PyResult<_>>()?;
    Ok((tables, raised))
}

fn take_rows(label: &str, object: &Bound<'_, PyAny>, raised: &Raised) -> PyResult<RowStream> {
    if object.hasattr("__arrow_c_stream__")? {
        return take_stream(label, object);
    }
    let (groups, raised) = (object.try_iter()?.unbind(), raised.clone());
    Ok(RowStream::Lines(Box::new(std::iter::from_fn(move || {
        Python::attach(|py| next_group(groups.bind(py))).map_err(|error| raised.keep(error)).transpose()
    }))))
}

fn next_group(groups: &Bound<'_, PyIterator>) -> PyResult<Option<Vec<Vec<u8>>>> {
    groups.clone().next().map(|group| group?.extract()).transpose()
}

fn take_stream(label: &str, object: &Bound<'_, PyAny>) -> PyResult<RowStream> {
    let capsule = object.call_method0("__arrow_c_stream__")?;
    let capsule = capsule.cast::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?.cast::<FFI_ArrowArrayStream>();
    #[allow(unsafe_code, reason = "the Arrow C stream interface is a pointer")]
    // SAFETY: the capsule's name says what it points to; `from_raw` moves the stream out and leaves an empty one
    // behind, which the capsule's destructor recognises.
    let read = || unsafe { RecordBatchStreamReader::from_raw(pointer.as_ptr()) };
    // It panics on schemas that it does not expect.
    let reader = catch_unwind(AssertUnwindSafe(read)).map_err(|_| "its schema is damaged".to_owned());
    let reader = reader.and_then(|reader| reader.map_err(|error| error.to_string()));
    let reader = reader.map_err(|reason| to_python(Error::corrupt(Path::new(label), 0, reason)))?;
    Ok(RowStream::Batches(Box::new(reader)))
}
