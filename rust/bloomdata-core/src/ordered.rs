//! Parallel inside, ordered outside: jobs run on many threads, results come back in the order of submission.
//!
//! A [`Sender`] hands each job to any free worker and, at the same time, a ticket for its result to the one
//! [`Results`] queue; whoever reads that queue redeems the tickets in order. The queue is bounded, so a slow reader
//! stops the sender and memory stays bounded. Nothing here depends on timing but the speed.

use std::thread::Scope;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};

use crate::error::{Error, Result};

struct Job<In, Out> {
    input: In,
    ticket: Channel<Result<Out>>,
}

/// The submitting end.
#[derive(Debug)]
pub struct Sender<In, Out> {
    jobs: Channel<Job<In, Out>>,
    tickets: Channel<Receiver<Result<Out>>>,
}

/// The ordered end.
#[derive(Debug)]
pub struct Results<Out> {
    tickets: Receiver<Receiver<Result<Out>>>,
}

impl<In, Out> Clone for Sender<In, Out> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), tickets: self.tickets.clone() }
    }
}

impl<In, Out> Sender<In, Out> {
    /// Queues a job; blocks while too many results wait to be read.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the other end has gone, which then holds the real cause.
    pub fn send(&self, input: In) -> Result<()> {
        let (ticket, redeem) = bounded(1);
        self.tickets.send(redeem).map_err(|_| Error::Interrupted)?;
        self.jobs.send(Job { input, ticket }).map_err(|_| Error::Interrupted)
    }

    /// Queues a result that needs no work.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn send_ready(&self, result: Result<Out>) -> Result<()> {
        let (ticket, redeem) = bounded(1);
        ticket.send(result).map_err(|_| Error::Interrupted)?;
        self.tickets.send(redeem).map_err(|_| Error::Interrupted)
    }
}

impl<Out> Iterator for Results<Out> {
    type Item = Result<Out>;

    fn next(&mut self) -> Option<Self::Item> {
        let redeem = self.tickets.recv().ok()?;
        // A worker that dies without an answer has panicked; the scope reports the panic itself.
        Some(redeem.recv().unwrap_or_else(|_| Err(Error::Internal("a worker thread died".into()))))
    }
}

/// A shared set of workers that serves one ordered queue, or several (see [`Pool::queue`]).
#[derive(Debug)]
pub struct Pool<In, Out> {
    jobs: Channel<Job<In, Out>>,
}

impl<In: Send, Out: Send> Pool<In, Out> {
    /// Starts `num_threads` workers in `scope`; each makes its own state with `state` (scratch memory, caches).
    pub fn start<'scope, 'env, State>(
        scope: &'scope Scope<'scope, 'env>,
        num_threads: usize,
        state: impl Fn() -> State + Send + Clone + 'scope,
        work: impl Fn(&mut State, In) -> Result<Out> + Send + Clone + 'scope,
    ) -> Self
    where
        In: 'scope,
        Out: 'scope,
    {
        let (jobs, inbox) = bounded::<Job<In, Out>>(num_threads);
        for _ in 0..num_threads {
            let (inbox, state, work) = (inbox.clone(), state.clone(), work.clone());
            scope.spawn(move || {
                let mut state = state();
                for Job { input, ticket } in inbox {
                    // Nobody waits for the answer after an error: not a failure of this worker.
                    let _ = ticket.send(work(&mut state, input));
                }
            });
        }
        Self { jobs }
    }

    /// A new ordered queue over the same workers that holds at most `capacity` unread results.
    pub fn queue(&self, capacity: usize) -> (Sender<In, Out>, Results<Out>) {
        let (tickets, results) = bounded(capacity);
        (Sender { jobs: self.jobs.clone(), tickets }, Results { tickets: results })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_submission() {
        std::thread::scope(|scope| {
            let pool = Pool::start(
                scope,
                4,
                || (),
                |(), value: u64| {
                    std::thread::sleep(std::time::Duration::from_micros(value * 37 % 200));
                    Ok(value * 2)
                },
            );
            let (sender, results) = pool.queue(8);
            scope.spawn(move || {
                for value in 0..200 {
                    sender.send(value).unwrap();
                }
            });
            drop(pool);
            let found: Vec<u64> = results.map(Result::unwrap).collect();
            assert_eq!(found, (0..200).map(|value| value * 2).collect::<Vec<_>>());
        });
    }

    #[test]
    fn a_reader_that_leaves_stops_the_sender() {
        std::thread::scope(|scope| {
            let pool = Pool::start(scope, 2, || (), |(), value: u64| Ok(value));
            let (sender, results) = pool.queue(2);
            drop(pool);
            drop(results);
            assert!((0..100).any(|value| sender.send(value).is_err()));
        });
    }
}
