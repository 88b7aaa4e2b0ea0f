//! The middle of `shard`: records are settled in order, their lines go to the cutter, through a shuffle if asked.

use std::path::Path;
use std::sync::OnceLock;

use super::cutter::{CutCheckpoint, Cutter};
use super::handover::{Checkpoint, Compressed};
use super::intake::{Intake, Target};
use super::lines::Lines;
use super::options::ShardConfig;
use super::shuffle::{self, BUCKET_FOLDER, Scatter, Scattered};
use crate::document::Position;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ordered::Results;
use crate::pipeline::feed::Item;
use crate::pipeline::folder::books::{Books, Snapshot};
use crate::pipeline::folder::manifest::{IndexedInputs, OutputEntry};
use crate::pipeline::folder::sealer::Sealer;
use crate::progress::Progress;
use crate::sources::inputs::InputList;

/// Settles records in order and hands their lines on, through a shuffle if asked.
pub(in crate::pipeline) struct Conductor<'run, 'scope, 'sealer> {
    pub(in crate::pipeline) config: &'run ShardConfig,
    pub(in crate::pipeline) folder: &'run Path,
    pub(in crate::pipeline) inputs: &'run InputList,
    pub(in crate::pipeline) progress: &'run Progress,
    pub(in crate::pipeline) sealer: &'sealer Sealer<'scope, 'run>,
    pub(in crate::pipeline) scattered: &'sealer OnceLock<(Scattered, Snapshot)>,
    pub(in crate::pipeline) books: Books<'run>,
    pub(in crate::pipeline) intake: Intake<'run>,
    pub(in crate::pipeline) cutter: Cutter<Compressed>,
}

/// What is known when all lines were taken.
pub(in crate::pipeline) struct Conducted {
    pub(in crate::pipeline) ledger: Ledger,
    pub(in crate::pipeline) quarantine: Option<OutputEntry>,
    /// Inputs that no shard has noted.
    pub(in crate::pipeline) inputs: IndexedInputs,
    /// Lines that were handed on to be written, counted by themselves: `verify` compares those in the shards with them.
    pub(in crate::pipeline) num_lines: u64,
}

impl Conductor<'_, '_, '_> {
    /// Takes all lines.
    pub(in crate::pipeline) fn run(
        mut self,
        lines: Results<Item<Lines>>,
        checkpoint: Checkpoint,
    ) -> Result<Conducted> {
        if !self.config.shuffle {
            let mut target = Target::Cut(&mut self.cutter);
            self.intake.take(lines, &mut self.books, &mut target)?;
            let (rest, num_lines) = self.cutter.finish(self.books.snapshot())?;
            let (ledger, quarantine, finished) = self.books.finish()?;
            let inputs = rest.into_iter().chain(finished).collect();
            return Ok(Conducted { ledger, quarantine, inputs, num_lines });
        }
        let (scattered, start) = match checkpoint.scattered {
            // The inputs are all read: what the source still says is nothing.
            Some((scattered, _)) => (scattered, checkpoint.cut.state.books.position),
            None => (self.scatter(lines)?, Position::default()),
        };
        let after = self.gather(&scattered, start)?;
        let (_, num_lines) = self.cutter.finish(&after)?;
        let (ledger, quarantine, inputs) = self.books.finish()?;
        Ok(Conducted { ledger, quarantine, inputs, num_lines })
    }

    /// First pass of a shuffle: all lines to buckets.
    fn scatter(&mut self, lines: Results<Item<Lines>>) -> Result<Scattered> {
        let folder = self.folder.join(BUCKET_FOLDER);
        let scatter = Scatter::create(&folder, shuffle::bits_for(&self.inputs.inputs), 0)?;
        let mut target = Target::Scatter { scatter, seed: self.config.seed, number: 0 };
        self.intake.take(lines, &mut self.books, &mut target)?;
        let Target::Scatter { scatter, .. } = target else {
            return Err(Error::Internal("a shuffle without buckets".into()));
        };
        let scattered = scatter.finish()?;
        self.books.sync()?;
        let done = (scattered.clone(), self.books.snapshot().clone());
        let checkpoint = Checkpoint { scattered: Some(done.clone()), cut: CutCheckpoint::default() };
        // Set before the first line goes to the cutter, so every shard's step knows it.
        let _ = self.scattered.set(done);
        self.sealer.send(None, Box::new(|| Ok(Vec::new())), self.books.take_finished(), &checkpoint)?;
        Ok(scattered)
    }

    /// Second pass: buckets in order, each sorted.
    fn gather(&mut self, scattered: &Scattered, start: Position) -> Result<Snapshot> {
        let folder = self.folder.join(BUCKET_FOLDER);
        let mut at = Snapshot { position: start, ..Snapshot::default() };
        for bucket in start.file..scattered.bucket_bytes.len() {
            let first = if bucket == start.file { start.offset } else { 0 };
            at.position = Position { file: bucket, ..Position::default() };
            let (cutter, progress) = (&mut self.cutter, self.progress);
            shuffle::gather(&folder, scattered, bucket, &mut |line| {
                if at.position.offset >= first {
                    progress.check()?;
                    cutter.push(line, &at)?;
                }
                at.position.offset += 1;
                if at.position.offset > first { cutter.settle(&at) } else { Ok(()) }
            })?;
        }
        Ok(at)
    }
}
