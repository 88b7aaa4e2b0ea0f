//! What a run has done so far, and the flag that stops it: shared by all threads, polled by the caller.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::error::{Error, Result};

/// Counters for a progress bar. They never influence output.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of all inputs as stored; 0 when unknown.
    pub total_bytes: AtomicU64,
    /// Bytes of inputs read so far, as stored.
    pub read_bytes: AtomicU64,
    /// Documents (lines) processed.
    pub documents: AtomicU64,
    /// Bytes written to outputs.
    pub written_bytes: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Asks every thread of the run to stop soon.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// # Errors
    /// [`Error::Interrupted`] once [`Progress::stop`] was called.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }
}
