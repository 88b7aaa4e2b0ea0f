//! Lines of all inputs become shards: what `shard` and `prepare` share.
//!
//! ```text
//! Source ─blocks→ pool: cut, check ─ordered→ cutter ─frames→ pool: compress ─ordered→ writer ─→ sealer
//!                                      └─shuffle: scatter to buckets, then gather them sorted ─┘
//! ```
//!
//! - [`options`]: of both verbs. [`engine`]: the run.
//! - `copier`, [`preparer`]: what each verb makes of a record, as a `LineMaker` of `lines`.
//! - `intake`, `conductor`: records settled in order. [`cutter`]: where shards end. [`shuffle`]: in bounded memory.
//! - [`places`]: back from a line that was dealt out to its place in the inputs.
//! - `shard_writer`: files. `handover`: what threads hand to each other.

mod conductor;
pub(in crate::pipeline) mod copier;
pub mod cutter;
pub mod engine;
mod handover;
pub(in crate::pipeline) mod intake;
pub(in crate::pipeline) mod lines;
pub mod options;
pub mod places;
pub mod preparer;
mod shard_writer;
pub mod shuffle;
