//! A thread that syncs, renames and journals finished outputs, in order, while the next ones are written.

use std::thread::{Scope, ScopedJoinHandle};

use crossbeam_channel::{Sender, bounded};
use serde::Serialize;
use serde_json::Value;

use super::journal::{Entry, Journal, Step};
use super::manifest::{IndexedInputs, OutputEntry};
use crate::error::{Error, Result};

/// Makes outputs final; runs on the sealer's thread.
pub type Seal<'run> = Box<dyn FnOnce() -> Result<Vec<OutputEntry>> + Send + 'run>;

struct Task<'run> {
    path: Option<String>,
    seal: Seal<'run>,
    inputs: IndexedInputs,
    checkpoint: Value,
}

/// The sending end, and the thread.
#[allow(missing_debug_implementations, reason = "holds a thread and boxed functions")]
pub struct Sealer<'scope, 'run> {
    tasks: Sender<Task<'run>>,
    thread: ScopedJoinHandle<'scope, Result<Step>>,
}

impl<'scope, 'run: 'scope> Sealer<'scope, 'run> {
    /// Starts the thread. `done` is what earlier attempts have done.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        journal: &'scope mut Journal,
        mut done: Step,
    ) -> Self {
        let (tasks, inbox) = bounded::<Task<'run>>(1);
        let thread = scope.spawn(move || {
            for Task { path, seal, inputs, checkpoint } in inbox {
                if let Some(path) = path {
                    journal.append(&Entry::Sealing { path })?;
                }
                let sealed = seal()?;
                done.inputs.extend(inputs.iter().cloned());
                done.outputs.extend(sealed.iter().cloned());
                journal.append(&Entry::Step(Step { inputs, outputs: sealed, checkpoint }))?;
            }
            Ok(done)
        });
        Self { tasks, thread }
    }

    /// Queues a step: `seal` gives the output `path` its final name. Waits while two others are being sealed.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the thread has failed; [`Sealer::finish`] then has the cause.
    pub fn send(
        &self,
        path: Option<String>,
        seal: Seal<'run>,
        inputs: IndexedInputs,
        checkpoint: &impl Serialize,
    ) -> Result<()> {
        let checkpoint =
            serde_json::to_value(checkpoint).map_err(|error| Error::Internal(error.to_string()))?;
        self.tasks.send(Task { path, seal, inputs, checkpoint }).map_err(|_| Error::Interrupted)
    }

    /// Waits for everything, and lists all inputs and outputs of all attempts.
    ///
    /// # Errors
    /// What went wrong in the thread.
    pub fn finish(self) -> Result<Step> {
        drop(self.tasks);
        join(self.thread)
    }
}

/// Result of a thread; a panic in it is a defect of ours.
///
/// # Errors
/// What the thread returned.
pub fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::Internal("a thread panicked".into())))
}

/// Of several errors of one run, the cause: threads that only noticed that another had gone say `Interrupted`.
pub fn cause(errors: Vec<Error>) -> Option<Error> {
    let mut errors = errors.into_iter();
    let first = errors.next()?;
    if matches!(first, Error::Interrupted) {
        return Some(errors.find(|error| !matches!(error, Error::Interrupted)).unwrap_or(first));
    }
    Some(first)
}
