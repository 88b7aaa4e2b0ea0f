//! What the threads of a run hand to each other, and to the next attempt.

use serde::{Deserialize, Serialize};

use super::cutter::{CutCheckpoint, ShardEnd};
use super::shuffle::Scattered;
use crate::pipeline::folder::books::Snapshot;

/// From where `shard` can go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pipeline) struct Checkpoint {
    /// Set once a shuffle's first pass is complete: its buckets, and the books of all inputs.
    pub(in crate::pipeline) scattered: Option<(Scattered, Snapshot)>,
    pub(in crate::pipeline) cut: CutCheckpoint,
}

/// A compressed frame of a shard.
pub(in crate::pipeline) struct Compressed {
    pub(in crate::pipeline) split: usize,
    pub(in crate::pipeline) shard: u64,
    pub(in crate::pipeline) stored: Vec<u8>,
    pub(in crate::pipeline) content_bytes: u64,
    pub(in crate::pipeline) num_lines: u64,
    pub(in crate::pipeline) end: Option<Box<ShardEnd>>,
}
