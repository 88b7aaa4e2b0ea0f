//! Tokenizers as objects.

use bloomdata_core::tokenizers::{Tokenizer as CoreTokenizer, TokenizerOptions};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{config_error, to_python};

/// A loaded tokenizer. Args: options as JSON (see `bloomdata.tokenizer`).
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct Tokenizer {
    inner: Box<dyn CoreTokenizer>,
}

#[pymethods]
impl Tokenizer {
    #[new]
    fn new(py: Python<'_>, options: &str) -> PyResult<Self> {
        let options: TokenizerOptions =
            serde_json::from_str(options).map_err(|error| config_error(&error))?;
        py.detach(|| options.build()).map(|inner| Self { inner }).map_err(to_python)
    }

    /// Ids of a text as little-endian uint32.
    fn encode<'py>(&self, py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyBytes>> {
        let ids = py.detach(|| {
            let mut ids = Vec::new();
            self.inner.encode_open(text, &mut ids).map(|()| ids)
        });
        let bytes: Vec<u8> = ids.map_err(to_python)?.into_iter().flat_map(u32::to_le_bytes).collect();
        Ok(PyBytes::new(py, &bytes))
    }

    /// Text of ids.
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        py.detach(|| self.inner.decode(&ids, skip_special_tokens)).map_err(to_python)
    }

    /// One more than the highest id.
    #[getter]
    fn vocab_size(&self) -> u64 {
        self.inner.vocab_size()
    }

    /// Id that ends a document.
    #[getter]
    fn eos_token_id(&self) -> u32 {
        self.inner.special().eos
    }

    /// Id that fills up sequences.
    #[getter]
    fn pad_token_id(&self) -> u32 {
        self.inner.special().pad
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
