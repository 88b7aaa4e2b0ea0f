//! Arrow streams that Python hands over by the `PyCapsule` interface (`__arrow_c_stream__`), without a copy.

use arrow::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use bloomdata_core::sources::tables::RowStream;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// Takes the streams out of Python objects.
pub(crate) fn take_streams(objects: &[(String, Bound<'_, PyAny>)]) -> PyResult<Vec<(String, RowStream)>> {
    objects.iter().map(|(label, object)| Ok((label.clone(), take_stream(object)?))).collect()
}

fn take_stream(object: &Bound<'_, PyAny>) -> PyResult<RowStream> {
    let capsule = object.call_method0("__arrow_c_stream__")?;
    let capsule = capsule.cast::<PyCapsule>()?;
    let pointer = capsule.pointer_checked(Some(c"arrow_array_stream"))?.cast::<FFI_ArrowArrayStream>();
    #[allow(unsafe_code, reason = "the Arrow C stream interface is a pointer")]
    // SAFETY: the capsule's name says what it points to; `from_raw` moves the stream out and leaves an empty one
    // behind, which the capsule's destructor recognises.
    let reader = unsafe { RecordBatchStreamReader::from_raw(pointer.as_ptr()) };
    let reader = reader.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(Box::new(reader))
}
