//! Tokenizers as objects.

use bloomdata_core::json_fields::FieldPath;
use bloomdata_core::pipeline::encode::EncodeOptions;
use bloomdata_core::pipeline::folder::books::OnBadRecord;
use bloomdata_core::tokenizers::batch::{Batch, Wanted, encode_batch};
use bloomdata_core::tokenizers::spare::Spare;
use bloomdata_core::tokenizers::{SpecialIds, Tokenizer as CoreTokenizer, TokenizerOptions};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::allocator::give_back;
use crate::buffers::little_endian;
use crate::encoded_files::EncodedFiles;
use crate::enter::enter;
use crate::errors::{config_error, to_python};
use crate::ids::Ids;
use crate::texts::Texts;

/// A loaded tokenizer. Args: options as JSON (see `bloomdata.tokenizer`).
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct Tokenizer {
    inner: Arc<dyn CoreTokenizer>,
    spare: Arc<Spare>,
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
        // One for the batch that is worked on, and one for the next.
        let spare = Arc::new(Spare::new(2));
        opened.map(|inner| Self { inner: inner.into(), spare }).map_err(to_python)
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
            let wanted = Wanted { special: adds_special, ids: keeps_ids };
            encode_batch(self.inner.as_ref(), &texts, wanted, num_threads, self.spare.take(), progress)
        })?;
        Ok((Ids::view(py, ids, Arc::clone(&self.spare))?, little_endian(py, lengths)))
    }

    /// Starts to encode the texts of files; bad records are errors, or left out.
    fn encode_files(
        &self,
        inputs: Vec<String>,
        text_field: &str,
        adds_special: bool,
        leaves_bad_out: bool,
        num_threads: usize,
    ) -> PyResult<EncodedFiles> {
        let text_field = FieldPath::parse(text_field).map_err(to_python)?;
        let on_bad_record = if leaves_bad_out { OnBadRecord::Quarantine } else { OnBadRecord::Raise };
        let options = EncodeOptions { text_field, adds_special, on_bad_record };
        EncodedFiles::start(Arc::clone(&self.inner), &inputs, options, num_threads)
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
