//! A store of objects that Python reads: an object with the methods `begin`, `is_there`, `extend` and `release` (see
//! `bloomdata/storage/staging.py`).

use std::path::PathBuf;

use bloomdata_core::Result;
use bloomdata_core::progress::Progress;
use bloomdata_core::sources::Input;
use bloomdata_core::sources::read::PieceSender;
use bloomdata_core::sources::remote::{Object, Share, Store, read_brought};
use bloomdata_core::sources::tables::TableReader;
use pyo3::prelude::*;

use crate::streams::Raised;

/// Address, bytes, tag, last bytes, the argument that it comes from, and whether it is that argument.
pub(crate) type PythonObject = (String, u64, String, Vec<u8>, usize, bool);
/// Objects, a local folder for them, and what brings them there.
pub(crate) type PythonObjects = (Vec<PythonObject>, PathBuf, Py<PyAny>);

/// Objects as the core takes them.
pub(crate) fn objects(given: &[PythonObject]) -> Vec<Object> {
    let object = |(address, size, tag, end, argument, is_named): &PythonObject| Object {
        address: address.clone(),
        size: *size,
        tag: tag.clone(),
        end: end.clone(),
        argument: *argument,
        is_named: *is_named,
    };
    given.iter().map(object).collect()
}

/// The Python object.
pub(crate) struct PythonStore {
    pub(crate) object: Py<PyAny>,
    pub(crate) raised: Raised,
}

impl PythonStore {
    fn call<T>(&self, call: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T> {
        Python::attach(call).map_err(|error| self.raised.keep(error))
    }
}

impl Store for PythonStore {
    fn begin(&self, shares: Vec<Share>) -> Result<()> {
        let shares: Vec<_> = shares
            .into_iter()
            .map(|share| (share.address, share.size, share.range[0], share.range[1], share.local))
            .collect();
        self.call(|py| self.object.bind(py).call_method1("begin", (shares,)).map(drop))
    }

    fn is_there(&self, file: usize) -> Result<bool> {
        self.call(|py| self.object.bind(py).call_method1("is_there", (file,))?.extract())
    }

    fn extend(&self, file: usize, end: u64) -> Result<()> {
        self.call(|py| self.object.bind(py).call_method1("extend", (file, end)).map(drop))
    }

    fn release(&self, file: usize) -> Result<()> {
        self.call(|py| self.object.bind(py).call_method1("release", (file,)).map(drop))
    }
}

/// Reads the inputs of a run that the core cannot open by their names: tables, and objects of a store.
pub(crate) struct Readers {
    pub(crate) tables: TableReader,
    pub(crate) store: Option<PythonStore>,
}

impl Readers {
    /// Reads input number `file` if it is one of those; whether it was.
    pub(crate) fn read(
        &self,
        file: usize,
        input: &Input,
        start: u64,
        out: &PieceSender,
        progress: &Progress,
    ) -> Result<bool> {
        match &self.store {
            Some(store) => read_brought(store, &self.tables, (file, input), start, out, progress),
            None => self.tables.read(file, input, start, out, progress),
        }
    }
}
