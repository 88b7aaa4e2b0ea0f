//! The one door from Python into the core.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use bloomdata_core::progress::Progress;
use bloomdata_core::{Error, Result};
use pyo3::prelude::*;

use crate::errors::to_python;

/// How often Ctrl-C is looked for and progress is reported.
const POLL: Duration = Duration::from_millis(50);

/// Runs `work` on another thread with the GIL released. Meanwhile looks for signals, and calls `on_progress` with
/// (total bytes, bytes read, documents, bytes written). A signal, or an exception of the callback, stops the work.
pub(crate) fn enter<T: Send>(
    py: Python<'_>,
    on_progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Progress) -> Result<T> + Send,
) -> PyResult<T> {
    let progress = Progress::default();
    let (finished, bell) = (Mutex::new(false), Condvar::new());
    let (mut stopped, result) = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let _ring = Ring(&finished, &bell);
            work(&progress)
        });
        let mut stopped: Option<PyErr> = None;
        while !py.detach(|| wait(&finished, &bell)) {
            if stopped.is_none()
                && let Err(error) = py.check_signals().and_then(|()| report(on_progress, &progress))
            {
                progress.stop();
                stopped = Some(error);
            }
        }
        let result = py.detach(|| worker.join());
        (stopped, result.unwrap_or_else(|_| Err(Error::Internal("a thread panicked".into()))))
    });
    if stopped.is_none() {
        stopped = report(on_progress, &progress).err();
    }
    match (result, stopped) {
        (_, Some(error)) => Err(error),
        (Ok(value), None) => Ok(value),
        (Err(error), None) => Err(to_python(error)),
    }
}

/// Rings the bell when dropped, also by a panic.
struct Ring<'run>(&'run Mutex<bool>, &'run Condvar);

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        if let Ok(mut finished) = self.0.lock() {
            *finished = true;
        }
        self.1.notify_all();
    }
}

/// Waits for the bell for a while; whether it rang.
fn wait(finished: &Mutex<bool>, bell: &Condvar) -> bool {
    let Ok(guard) = finished.lock() else { return true };
    bell.wait_timeout_while(guard, POLL, |finished| !*finished).is_ok_and(|(finished, _)| *finished)
}

fn report(on_progress: Option<&Bound<'_, PyAny>>, progress: &Progress) -> PyResult<()> {
    let Some(callback) = on_progress else { return Ok(()) };
    let counts = (
        progress.total_bytes.load(Relaxed),
        progress.read_bytes.load(Relaxed),
        progress.documents.load(Relaxed),
        progress.written_bytes.load(Relaxed),
    );
    callback.call1(counts).map(|_| ())
}
