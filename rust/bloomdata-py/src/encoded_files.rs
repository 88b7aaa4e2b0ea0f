//! Files as batches of ids, made in the background while Python works on the batch before.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bloomdata_core::fork::Process;
use bloomdata_core::pipeline::encode::{EncodeOptions, Encoded, encode};
use bloomdata_core::pipeline::feed::Reading;
use bloomdata_core::pipeline::lengths::Counts;
use bloomdata_core::progress::Progress;
use bloomdata_core::sources::columns::Columns;
use bloomdata_core::tokenizers::Tokenizer;
use bloomdata_core::tokenizers::spare::Spare;
use bloomdata_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::buffers::little_endian;
use crate::errors::to_python;
use crate::ids::Ids;
use crate::inputs::{Output, list_inputs};
use crate::streams::Raised;

/// How often Ctrl-C is looked for.
const POLL: Duration = Duration::from_millis(50);

/// Batches of ids, in order; then what each input held.
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct EncodedFiles {
    paths: Vec<String>,
    /// Whose threads encode: a child of a fork has none of them, and would wait for ever.
    process: Process,
    progress: Arc<Progress>,
    spare: Arc<Spare>,
    running: Mutex<Option<Running>>,
}

struct Running {
    batches: Receiver<Encoded>,
    thread: JoinHandle<Result<Vec<Counts>>>,
}

/// Ids as little-endian uint32; ids of each text and the texts' lines as little-endian uint64; the input.
type Batch<'py> = (Bound<'py, PyMemoryView>, Bound<'py, PyBytes>, Bound<'py, PyBytes>, String);

impl EncodedFiles {
    /// Lists the files and starts to encode them.
    pub(crate) fn start(
        tokenizer: Arc<dyn Tokenizer>,
        inputs: &[String],
        options: EncodeOptions,
        num_threads: usize,
    ) -> PyResult<Self> {
        // As many as there may be batches on the way, and a few that are held.
        let (progress, spare) = (Arc::<Progress>::default(), Arc::new(Spare::new(4 * num_threads + 8)));
        let columns = Columns::named(vec![options.text_field.column().to_owned()]);
        let (list, tables) = list_inputs(
            &(inputs.to_vec(), true, None, None),
            false,
            Output::Nothing,
            Vec::new(),
            columns,
            None,
            (&Raised::default(), &progress),
        )
        .map_err(to_python)?;
        let paths = list.inputs.iter().map(|input| input.path.display().to_string()).collect();
        // One batch waits here, and a few more in front of it.
        let (sender, batches) = sync_channel(1);
        let (its_progress, its_spare) = (Arc::clone(&progress), Arc::clone(&spare));
        let work = move || {
            let custom = |a, b: &_, c, d: &_, e: &_| tables.read(a, b, c, d, e);
            let reading = Reading {
                inputs: &list,
                custom: &custom,
                num_threads,
                progress: &its_progress,
                first_input: 0,
            };
            encode(&options, tokenizer.as_ref(), reading, &its_spare, |batch| {
                sender.send(batch).map_err(|_| Error::Interrupted)
            })
        };
        let thread = std::thread::Builder::new().spawn(work)?;
        let running = Mutex::new(Some(Running { batches, thread }));
        Ok(Self { paths, process: Process::current(), progress, spare, running })
    }

    /// Waits for the next batch for a while.
    fn wait(&self) -> std::result::Result<Encoded, RecvTimeoutError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .as_ref()
            .map_or(Err(RecvTimeoutError::Disconnected), |running| running.batches.recv_timeout(POLL))
    }

    /// What the run that has ended says; nothing if it was asked before.
    fn end(&self) -> Option<Result<Vec<Counts>>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let ended = running.thread.join();
        Some(ended.unwrap_or_else(|_| Err(Error::Internal("a thread panicked".into()))))
    }
}

#[pymethods]
impl EncodedFiles {
    /// The next batch; none at the end.
    fn next_batch<'py>(&self, py: Python<'py>) -> PyResult<Option<Batch<'py>>> {
        if Process::current() != self.process {
            let reason = "was called in the process before a fork; call it again in this one";
            return Err(to_python(Error::config("encode_files", reason)));
        }
        loop {
            // Never with the GIL: another thread of Python may be waiting, too.
            match py.detach(|| self.wait()) {
                Ok(Encoded { file, ids, lengths, lines }) => {
                    let ids = Ids::view(py, ids, Arc::clone(&self.spare))?;
                    let (lengths, lines) = (little_endian(py, lengths), little_endian(py, lines));
                    return Ok(Some((ids, lengths, lines, self.paths[file].clone())));
                }
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// What each input held, as JSON, once there is no further batch; none if that was asked before.
    fn finish(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let Some(ended) = py.detach(|| self.end()) else { return Ok(None) };
        let counts = ended.map_err(to_python)?;
        serde_json::to_string(&counts).map(Some).map_err(|error| crate::errors::config_error(&error))
    }
}

impl Drop for EncodedFiles {
    /// The threads end soon, by themselves: to wait for them here would be with the GIL.
    fn drop(&mut self) {
        self.progress.stop();
    }
}
