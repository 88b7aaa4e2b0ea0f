//! Arrow streams that Python hands over by the `PyCapsule` interface (`__arrow_c_stream__`), without a copy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use bloomdata_core::Error;
use bloomdata_core::sources::tables::{RowStream, Table};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::to_python;

/// A label, a Python object with `__arrow_c_stream__`, and what it is: `table`, `dataset` or `stream`.
pub(crate) type PythonTable<'py> = (String, Bound<'py, PyAny>, String);

/// Takes the streams out of Python objects. With `hashed`, tables are taken twice: once to be hashed.
pub(crate) fn take_tables(objects: &[PythonTable<'_>], hashed: bool) -> PyResult<Vec<Table>> {
    let take = |(label, object, kind): &PythonTable<'_>| {
        let again = if hashed && kind == "table" { Some(take_stream(label, object)?) } else { None };
        let (label, rows) = (label.clone(), take_stream(label, object)?);
        Ok(Table { label, rows, again, read_once: kind == "stream" })
    };
    objects.iter().map(take).collect()
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
    Ok(Box::new(reader))
}
