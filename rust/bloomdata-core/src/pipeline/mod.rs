//! The verbs: whole runs from inputs to a finished folder, parallel inside and ordered outside.
//!
//! - [`folder`]: the output folder: journal, manifest, books.
//! - [`feed`]: blocks of the inputs to a pool of workers.
//! - [`sharding`]: the verbs `shard` and `prepare`. [`dedup`], [`decontaminate`]: the verbs.
//! - [`scratch`]: what verbs of several phases share.
//! - [`articles`]: records become articles of tokens. [`pack`] (with [`pack_options`] and [`sinks`]): the verb.
//! - [`encode`]: token ids of all texts, batch by batch. [`lengths`]: tokens of each article. [`train`]: a vocabulary.
//!   [`tally`]: parts of runs that count.
//! - [`merge`], [`verify`] (with `verify_parts`), [`finish`] (parts of a run become one folder): the verbs.
//!   `pair_groups`: Megatron pairs that become one.

pub mod articles;
pub mod decontaminate;
pub mod dedup;
pub mod encode;
pub mod feed;
pub mod finish;
pub mod folder;
pub mod lengths;
pub mod merge;
pub mod pack;
pub mod pack_options;
mod pair_groups;
pub mod scratch;
pub mod sharding;
pub mod sinks;
pub mod tally;
pub mod train;
pub mod verify;
mod verify_parts;
