//! Lines become shards: which split a line goes to, where a frame ends, where a shard ends.
//!
//! All three depend on the lines alone. A split is one series of shards; without splits there is one, unnamed.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::formats::jsonl_shards::FRAME_BYTES;
use crate::ordered::Sender;
use crate::pipeline::folder::books::Snapshot;
use crate::pipeline::folder::manifest::IndexedInputs;
use crate::rng;

/// Use of the seed for splits (see [`rng::key`]).
const SPLIT_STREAM: u64 = 1;
/// Bytes of all frames that are open at once.
const OPEN_FRAMES_BYTES: usize = 64 << 20;
/// Names of splits, in the order in which lines are given to them.
pub const SPLIT_NAMES: [&str; 3] = ["train", "dev", "test"];

/// Which lines go to which split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Splits {
    /// Expected shares of train, dev, test; each line is drawn by itself from (seed, its number).
    Ratio([f64; 3]),
    /// The first lines go to test, the next to dev, the rest to train; counts of dev and test.
    Count([u64; 2]),
    /// One file each, by turns: line k goes to file k modulo their number. Names without the compression's suffix.
    Files(Vec<String>),
}

impl Splits {
    /// The split of the line with this number.
    pub fn of_line(&self, seed: u64, line: u64) -> usize {
        match self {
            Self::Count([dev, test]) if line < test.saturating_add(*dev) => 1 + usize::from(line < *test),
            Self::Count(_) => 0,
            Self::Files(names) => crate::token::index(line % names.len() as u64),
            Self::Ratio([train, dev, _]) => {
                let draw = rng::unit_interval(rng::key(seed, SPLIT_STREAM, line));
                usize::from(draw >= *train) + usize::from(draw >= train + dev)
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Files(names) => names.len(),
            _ => SPLIT_NAMES.len(),
        }
    }

    /// Checks that the shares are shares.
    ///
    /// # Errors
    /// Shares that are negative or do not sum up to one.
    pub fn validate(&self) -> Result<()> {
        if let Self::Files(names) = self
            && names.is_empty()
        {
            return Err(Error::config("splits", "no files named"));
        }
        let Self::Ratio(shares) = self else { return Ok(()) };
        let sum: f64 = shares.iter().sum();
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || (sum - 1.0).abs() > 1e-9 {
            return Err(Error::config("splits", format!("{shares:?} are no shares that sum up to 1")));
        }
        Ok(())
    }
}

/// When a shard is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lines at most.
    pub max_lines: u64,
    /// Decompressed bytes at most, newlines included; a longer line has a shard of its own.
    pub max_bytes: u64,
}

/// State of the cutter between two lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutState {
    /// The books.
    pub books: Snapshot,
    /// Lines given to each split so far.
    pub split_lines: Vec<u64>,
}

/// From where `shard` can go on: a place before the first line that is in no sealed shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutCheckpoint {
    /// That place.
    pub state: CutState,
    /// Lines of each split that are in sealed shards.
    pub sealed_lines: Vec<u64>,
    /// Sealed shards of each split.
    pub sealed_shards: Vec<u64>,
}

/// Lines to be compressed together.
#[derive(Debug)]
pub struct Frame {
    /// Index of the split.
    pub split: usize,
    /// Number of the shard in its split, from 0.
    pub shard: u64,
    /// The lines.
    pub bytes: Vec<u8>,
    /// How many.
    pub num_lines: u64,
    /// Set on a shard's last frame.
    pub end: Option<Box<ShardEnd>>,
}

/// What is true once a shard is sealed.
#[derive(Debug)]
pub struct ShardEnd {
    /// Where to go on.
    pub checkpoint: CutCheckpoint,
    /// Inputs that ended since the last shard.
    pub inputs: IndexedInputs,
}

#[derive(Debug, Default)]
struct Series {
    start: CutState,
    frame: Vec<u8>,
    frame_lines: u64,
    shard_lines: u64,
    shard_bytes: u64,
    shard: u64,
    sealed_lines: u64,
    skip_lines: u64,
}

/// Cuts lines into frames and shards.
#[derive(Debug)]
pub struct Cutter<Out> {
    limits: Limits,
    splits: Option<Splits>,
    seed: u64,
    series: Vec<Series>,
    split_lines: Vec<u64>,
    /// The same at the start of the current record: a run resumes at a record.
    record_lines: Vec<u64>,
    frame_bytes: usize,
    /// Lines of the parts before, which are numbered first.
    lines_before: u64,
    inputs: IndexedInputs,
    sender: Sender<Frame, Out>,
}

impl<Out> Cutter<Out> {
    /// Starts at `checkpoint`; before the lines that come, parts before have so many.
    pub fn new(
        limits: Limits,
        splits: Option<Splits>,
        (seed, lines_before): (u64, u64),
        checkpoint: &CutCheckpoint,
        sender: Sender<Frame, Out>,
    ) -> Self {
        let count = splits.as_ref().map_or(1, Splits::count);
        // All of them are open at once.
        let frame_bytes = (OPEN_FRAMES_BYTES / count).clamp(1 << 16, FRAME_BYTES);
        let at = |list: &[u64], split: usize| list.get(split).copied().unwrap_or_default();
        let series = (0..count)
            .map(|split| Series {
                shard: at(&checkpoint.sealed_shards, split),
                sealed_lines: at(&checkpoint.sealed_lines, split),
                skip_lines: at(&checkpoint.sealed_lines, split) - at(&checkpoint.state.split_lines, split),
                ..Series::default()
            })
            .collect();
        let split_lines: Vec<u64> =
            (0..count).map(|split| at(&checkpoint.state.split_lines, split)).collect();
        let record_lines = split_lines.clone();
        Self {
            limits,
            splits,
            seed,
            series,
            split_lines,
            record_lines,
            frame_bytes,
            lines_before,
            inputs: Vec::new(),
            sender,
        }
    }

    /// The lines of another record come now: what was written of it is known again by their number.
    pub fn begin(&mut self) {
        self.record_lines.clone_from(&self.split_lines);
    }

    /// Takes a line without its newline; `before` are the books before its record.
    ///
    /// # Errors
    /// The receiver of the frames is gone.
    pub fn push(&mut self, line: &[u8], before: &Snapshot) -> Result<()> {
        let number = self.lines_before + self.split_lines.iter().sum::<u64>();
        let split = self.splits.as_ref().map_or(0, |splits| splits.of_line(self.seed, number));
        let size = line.len() as u64 + 1;
        let series = &self.series[split];
        if series.skip_lines == 0
            && series.shard_lines > 0
            && (series.shard_lines >= self.limits.max_lines
                || series.shard_bytes + size > self.limits.max_bytes)
        {
            self.end_shard(split, before)?;
        }
        let series = &mut self.series[split];
        if series.skip_lines > 0 {
            series.skip_lines -= 1;
            self.split_lines[split] += 1;
            return Ok(());
        }
        if series.shard_lines == 0 {
            series.start = CutState { books: before.clone(), split_lines: self.record_lines.clone() };
        }
        self.split_lines[split] += 1;
        series.frame.extend_from_slice(line);
        series.frame.push(b'\n');
        series.frame_lines += 1;
        series.shard_lines += 1;
        series.shard_bytes += size;
        if series.frame.len() >= self.frame_bytes && series.shard_lines < self.limits.max_lines {
            self.send(split, None)?;
        }
        Ok(())
    }

    /// Whether so many lines, of so many bytes, may end a shard, so that a step is written.
    pub fn may_end(&self, lines: u64, bytes: u64) -> bool {
        self.series.iter().any(|series| {
            series.shard_lines + lines >= self.limits.max_lines
                || series.shard_bytes + bytes + lines > self.limits.max_bytes
        })
    }

    /// Notes inputs that have ended, for the next shard's step.
    pub fn note_inputs(&mut self, inputs: IndexedInputs) {
        self.inputs.extend(inputs);
    }

    /// Ends every shard that is full now that the books stand at `after`.
    ///
    /// # Errors
    /// The receiver of the frames is gone.
    pub fn settle(&mut self, after: &Snapshot) -> Result<()> {
        self.begin();
        for split in 0..self.series.len() {
            if self.series[split].shard_lines >= self.limits.max_lines {
                self.end_shard(split, after)?;
            }
        }
        Ok(())
    }

    /// Ends all shards: there are no more lines. Returns the inputs that no shard has noted, and how many lines there
    /// were, of those before the checkpoint, too.
    ///
    /// # Errors
    /// The receiver of the frames is gone.
    pub fn finish(mut self, after: &Snapshot) -> Result<(IndexedInputs, u64)> {
        self.begin();
        for split in 0..self.series.len() {
            if self.series[split].shard_lines > 0 {
                self.end_shard(split, after)?;
            }
        }
        Ok((self.inputs, self.split_lines.iter().sum()))
    }

    fn end_shard(&mut self, split: usize, now: &Snapshot) -> Result<()> {
        let series = &mut self.series[split];
        series.sealed_lines += series.shard_lines;
        series.shard_lines = 0;
        series.shard_bytes = 0;
        // Go on where the oldest open shard starts; without one, here.
        let open = self.series.iter().filter(|series| series.shard_lines > 0).map(|series| &series.start);
        let oldest = open.min_by_key(|state| state.split_lines.iter().sum::<u64>()).cloned();
        let here = || CutState { books: now.clone(), split_lines: self.record_lines.clone() };
        let state = oldest.unwrap_or_else(here);
        let mut sealed_shards: Vec<u64> = self.series.iter().map(|series| series.shard).collect();
        sealed_shards[split] += 1;
        let checkpoint = CutCheckpoint {
            state,
            sealed_lines: self.series.iter().map(|series| series.sealed_lines).collect(),
            sealed_shards,
        };
        let inputs = std::mem::take(&mut self.inputs);
        self.send(split, Some(Box::new(ShardEnd { checkpoint, inputs })))?;
        self.series[split].shard += 1;
        Ok(())
    }

    fn send(&mut self, split: usize, end: Option<Box<ShardEnd>>) -> Result<()> {
        let series = &mut self.series[split];
        let frame = Frame {
            split,
            shard: series.shard,
            bytes: std::mem::take(&mut series.frame),
            num_lines: std::mem::take(&mut series.frame_lines),
            end,
        };
        series.frame.reserve(self.frame_bytes + (self.frame_bytes >> 4));
        self.sender.send(frame)
    }
}
