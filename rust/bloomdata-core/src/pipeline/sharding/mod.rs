//! Lines of all inputs become shards: what `shard` and `prepare` share.
//!
//! ```text
//! Source ─blocks→ pool: cut, check ─ordered→ cutter ─frames→ pool: compress ─ordered→ writer ─→ sealer
//!                                      └─shuffle: scatter to buckets, then gather them sorted ─┘
//! ```
//!
//! - [`engine`]: the run. [`preparer`]: what `prepare` makes of records.
//! - `lines`, `intake`, `conductor`: records settled in order. [`cutter`]: where shards end. [`shuffle`]: in bounded
//!   memory. `shard_writer`: files.

mod conductor;
pub mod cutter;
pub mod engine;
mod intake;
mod lines;
pub mod preparer;
mod shard_writer;
pub mod shuffle;
