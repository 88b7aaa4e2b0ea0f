//! Tokenizers as objects.

use bloomdata_core::tokenizers::batch::{Batch, encode_batch};
use bloomdata_core::tokenizers::{SpecialIds, Tokenizer as CoreTokenizer, TokenizerOptions};
use std::ffi::c_int;

use pyo3::ffi::{Py_buffer, PyBuffer_FillInfo};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::allocator::give_back;
use crate::enter::enter;
use crate::errors::{config_error, to_python};
use crate::texts::Texts;

/// A loaded tokenizer. Args: options as JSON (see `bloomdata.tokenizer`).
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct Tokenizer {
    inner: Box<dyn CoreTokenizer>,
}

impl Tokenizer {
    /// The tokenizer itself.
    pub(crate) fn core(&self) -> &dyn CoreTokenizer {
        self.inner.as_ref()
    }
}

#[pymethods]
impl Tokenizer {
    #[new]
    fn new(py: Python<'_>, options: &str) -> PyResult<Self> {
        let options: TokenizerOptions =
            serde_json::from_str(options).map_err(|error| config_error(&error))?;
        let opened = py.detach(|| {
            let opened = options.open();
            give_back();
            opened
        });
        opened.map(|inner| Self { inner }).map_err(to_python)
    }

    /// Ids of a text as little-endian uint32.
    fn encode<'py>(&self, py: Python<'py>, text: &str, adds_special: bool) -> PyResult<Bound<'py, PyBytes>> {
        let ids = py.detach(|| {
            let mut ids = Vec::new();
            let done = if adds_special {
                self.inner.encode(text, &mut ids)
            } else {
                self.inner.encode_bare(text, &mut ids)
            };
            done.map(|()| ids)
        });
        let ids = ids.map_err(to_python)?;
        Ok(PyBytes::new(py, &ids.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>()))
    }

    /// Ids of texts as little-endian uint32, or nothing if they are not kept; and how many ids each text has, as
    /// little-endian uint64.
    fn encode_batch<'py>(
        &self,
        py: Python<'py>,
        texts: Texts,
        adds_special: bool,
        keeps_ids: bool,
        num_threads: usize,
    ) -> PyResult<(Bound<'py, PyMemoryView>, Bound<'py, PyBytes>)> {
        let texts = texts.all()?;
        let Batch { ids, lengths } = enter(py, None, |progress| {
            encode_batch(self.inner.as_ref(), &texts, adds_special, keeps_ids, num_threads, progress)
        })?;
        let lengths: Vec<u8> = lengths.into_iter().flat_map(u64::to_le_bytes).collect();
        let ids = if cfg!(target_endian = "big") { ids.into_iter().map(u32::to_le).collect() } else { ids };
        let ids = Bound::new(py, Ids(ids))?;
        Ok((PyMemoryView::from(&ids)?, PyBytes::new(py, &lengths)))
    }

    /// Text of ids.
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        py.detach(|| self.inner.decode(&ids, skip_special_tokens)).map_err(to_python)
    }

    /// Name of an id.
    fn id_to_token(&self, token_id: u32) -> Option<String> {
        self.inner.token(token_id)
    }

    /// One more than the highest id.
    #[getter]
    fn vocab_size(&self) -> u64 {
        self.inner.vocab_size()
    }

    /// Id that ends a document.
    #[getter]
    fn eos_token_id(&self) -> PyResult<u32> {
        self.special().map(|special| special.eos)
    }

    /// Id that fills up sequences.
    #[getter]
    fn pad_token_id(&self) -> PyResult<u32> {
        self.special().map(|special| special.pad)
    }

    /// Which code runs.
    #[getter]
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    /// Why no faster code runs.
    #[getter]
    fn backend_reason(&self) -> Option<&str> {
        self.inner.backend_reason()
    }

    /// BLAKE3 of the definition.
    #[getter]
    fn fingerprint(&self) -> &str {
        self.inner.fingerprint()
    }
}

impl Tokenizer {
    fn special(&self) -> PyResult<SpecialIds> {
        self.inner.special().map_err(to_python)
    }
}

/// Little-endian ids as memory that others may read, never copied.
#[pyclass(frozen, module = "bloomdata._core")]
struct Ids(Vec<u32>);

#[pymethods]
impl Ids {
    #[allow(unsafe_code, reason = "the protocol of Python's buffers is one of pointers")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut Py_buffer, flags: c_int) -> PyResult<()> {
        let ids = &slf.get().0;
        let size = isize::try_from(size_of_val(&ids[..]))?;
        // SAFETY: `view` is Python's own. The view holds a reference to this object, whose ids never change nor move.
        let failed =
            unsafe { PyBuffer_FillInfo(view, slf.as_ptr(), ids.as_ptr().cast_mut().cast(), size, 1, flags) };
        if failed == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
