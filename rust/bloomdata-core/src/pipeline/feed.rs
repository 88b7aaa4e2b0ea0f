//! From a source to a pool of workers: blocks become jobs, ends of inputs travel along in their place.

use std::thread::scope;

use super::folder::run::CustomReader;
use super::folder::sealer::{cause, join};
use crate::document::{Block, Position};
use crate::error::{Error, Result};
use crate::ordered::{Pool, Results, Sender};
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::sources::{Event, Source, SourceOptions};

/// What comes out of a pool that is fed by a source, in order.
#[derive(Debug)]
pub enum Item<Work> {
    /// What the workers made of a block.
    Block(Work),
    /// An input was read to its end.
    End {
        /// Index of the input.
        file: usize,
        /// BLAKE3 of the file as stored, in hex.
        hash: String,
        /// Its decompressed bytes; rows for tables.
        content_bytes: u64,
    },
}

/// Hands everything that `source` yields to `sender`. An error of the source is delivered in its place.
///
/// # Errors
/// The receiver of the results is gone.
pub fn feed<Work>(source: Source<'_>, sender: &Sender<Block, Item<Work>>) -> Result<()> {
    for event in source {
        match event {
            Ok(Event::Block(block)) => sender.send(block)?,
            Ok(Event::End { file, hash, content_bytes }) => {
                sender.send_ready(Ok(Item::End { file, hash, content_bytes }))?;
            }
            Err(error) => return sender.send_ready(Err(error)),
        }
    }
    Ok(())
}

/// Where blocks come from, for runs that write no shards.
#[derive(Clone, Copy)]
pub struct Reading<'run> {
    /// What to read.
    pub inputs: &'run InputList,
    /// Reads the inputs that the source does not know.
    pub custom: &'run CustomReader<'run>,
    /// Threads that work on blocks.
    pub num_threads: usize,
    /// What stops the run.
    pub progress: &'run Progress,
    /// The input to start with.
    pub first_input: usize,
}

impl Reading<'_> {
    /// All blocks go through `work`, on all threads, each with memory of its own; `settle` gets what comes out, in order.
    ///
    /// # Errors
    /// What can be wrong with an input; what `work` and `settle` report.
    pub fn run<State, Work: Send, Done>(
        self,
        state: impl Fn() -> State + Send + Clone,
        work: impl Fn(&mut State, Block) -> Result<Item<Work>> + Send + Clone,
        settle: impl FnOnce(Results<Item<Work>>) -> Result<Done>,
    ) -> Result<Done> {
        let options = SourceOptions {
            num_threads: self.num_threads,
            start: Position { file: self.first_input, ..Position::default() },
        };
        scope(|scope| {
            let source = Source::start(scope, &self.inputs.inputs, options, self.progress, self.custom);
            let pool = Pool::start(scope, self.num_threads, state, work);
            let (sender, results) = pool.queue(2 * self.num_threads + 2);
            drop(pool);
            let feeder = scope.spawn(move || feed(source, &sender));
            match (settle(results), join(feeder)) {
                (Ok(done), Ok(())) => Ok(done),
                (settled, fed) => {
                    let errors = [settled.err(), fed.err()].into_iter().flatten().collect();
                    Err(cause(errors).unwrap_or(Error::Interrupted))
                }
            }
        })
    }
}
