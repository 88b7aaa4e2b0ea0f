//! Ids as memory that Python may read, never copied.

use std::ffi::c_int;
use std::sync::Arc;

use bloomdata_core::tokenizers::spare::Spare;
use pyo3::ffi::{Py_buffer, PyBuffer_FillInfo};
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

/// Little-endian ids, and where their memory goes once they are no longer referenced.
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct Ids {
    ids: Vec<u32>,
    spare: Arc<Spare>,
}

impl Ids {
    /// Ids as Python sees them; `spare` gets their memory.
    pub(crate) fn view(
        py: Python<'_>,
        ids: Vec<u32>,
        spare: Arc<Spare>,
    ) -> PyResult<Bound<'_, PyMemoryView>> {
        let ids = if cfg!(target_endian = "big") { ids.into_iter().map(u32::to_le).collect() } else { ids };
        let ids = Bound::new(py, Self { ids, spare })?;
        PyMemoryView::from(ids.as_any())
    }
}

impl Drop for Ids {
    fn drop(&mut self) {
        self.spare.give(std::mem::take(&mut self.ids));
    }
}

#[pymethods]
impl Ids {
    #[allow(unsafe_code, reason = "the protocol of Python's buffers is one of pointers")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut Py_buffer, flags: c_int) -> PyResult<()> {
        let ids = &slf.get().ids;
        let size = isize::try_from(size_of_val(&ids[..]))?;
        // SAFETY: `view` is Python's own. The view holds a reference to this object, whose ids never change nor move.
        let failed =
            unsafe { PyBuffer_FillInfo(view, slf.as_ptr(), ids.as_ptr().cast_mut().cast(), size, 1, flags) };
        if failed == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
