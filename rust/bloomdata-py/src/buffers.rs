//! Arrays: those that Python owns and the core fills, and numbers that the core gives away.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A contiguous, writable array.
pub(crate) struct Output<T: Element>(PyBuffer<T>);

impl<'py, T: Element> FromPyObject<'_, 'py> for Output<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::get(&object)?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("an array to be filled must be writable and contiguous"));
        }
        Ok(Self(buffer))
    }
}

impl<T: Element> Output<T> {
    /// The elements.
    pub(crate) fn slice(&mut self) -> &mut [T] {
        let (start, len) = (self.0.buf_ptr(), self.0.item_count());
        if len == 0 {
            return &mut [];
        }
        #[allow(
            unsafe_code,
            reason = "rows would otherwise be copied once more: 56 KB each at a length of 2048"
        )]
        // SAFETY: the exporter keeps the memory in place and initialised while the buffer is held, which is as long as
        // the slice lives; it is writable, contiguous and of this type, checked above and by `PyBuffer::get`. Callers
        // pass arrays that they have just made, or promise not to touch them meanwhile, as with `readinto`.
        unsafe {
            std::slice::from_raw_parts_mut(start.cast(), len)
        }
    }
}

/// Numbers as little-endian uint64.
pub(crate) fn little_endian(py: Python<'_>, numbers: Vec<u64>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &numbers.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>())
}
