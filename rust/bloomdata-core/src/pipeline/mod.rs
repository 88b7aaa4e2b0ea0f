//! The verbs: whole runs from inputs to a finished folder, parallel inside and ordered outside.
//!
//! - [`manifest`]: what a finished folder says about itself.
//! - [`journal`]: what an unfinished folder says, so that a killed run goes on.
//! - [`leftovers`]: names of what a run leaves, and its removal; [`claim`]: a folder given back when nothing was done.
//! - [`run`]: opening an output folder: new, to be resumed, or finished already.
//! - [`books`]: the ledger, the quarantine and the place in the inputs, settled record by record.
//! - [`articles`]: records become token ids and what each token is.
//! - `texts`: the texts of a record.
//! - [`encode`]: token ids of all texts, batch by batch, without writing anything.
//! - [`chats`]: conversations become articles by a template.
//! - [`lengths`]: tokens of each article, for plans.
//! - [`train`]: a vocabulary from the words of all texts.
//! - [`feed`]: blocks of the inputs to a pool of workers.
//! - [`sealer`]: a thread that syncs, renames and journals finished outputs in order.
//! - [`prepare`]: what `prepare` makes of records; else it is `shard`.
//! - [`shard`] (with `lines`, `intake`, `conductor`, [`cutter`], [`shuffle`] and `shard_writer`), [`pack`] (with [`sinks`]), [`merge`], [`verify`]: the verbs.

pub mod articles;
pub mod books;
pub mod chats;
pub mod claim;
mod conductor;
pub mod cutter;
pub mod encode;
pub mod feed;
mod intake;
pub mod journal;
pub mod leftovers;
pub mod lengths;
mod lines;
pub mod manifest;
pub mod merge;
pub mod pack;
pub mod prepare;
pub mod run;
pub mod sealer;
pub mod shard;
mod shard_writer;
pub mod shuffle;
pub mod sinks;
mod texts;
pub mod train;
pub mod verify;
