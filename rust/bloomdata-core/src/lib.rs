//! Turns raw text into files that a language model can train on. No Python in here.
//!
//! ```text
//! files ─sources→ records ─stages, templates→ texts ─tokenizers→ tokens ─packing→ rows ─formats→ files
//!         └──────────────────────── pipeline: whole runs ────────────────────────────────┘
//!                                                      files ─datasets→ samples
//! ```
//!
//! A module imports only from those above it in this list (a test holds it).
//!
//! - [`error`]: the one error type.
//! - `byte_masks`, [`token`], [`progress`], [`ordered`], [`fork`], [`json_escapes`], [`unread_keys`]: types of tokens; counters and Ctrl-C; a pool whose
//!   results keep their order; locks that survive a fork; escapes of JSON strings; counts of keys that were not read.
//! - [`hash`], [`ledger`], [`rng`], [`document`], [`conversation`], [`key_log`]: content hashes; the books; numbers by key; records
//!   and blocks of them; messages with roles; keys that are not read.
//! - [`io`]: compression, counted reading, zstd frames, atomic writing. `json_faults`, `json_nan`, `json_search`, [`json_fields`],
//!   [`json_text`]: what is wrong with JSON, NaN as Python writes it, a pass over an object, fields of records, strings as Python writes them.
//! - [`sources`]: inputs become blocks of records. [`stages`]: records of known sources become documents.
//! - [`templates`]: conversations become text, and what of it is trained on.
//! - [`tokenizers`]: bytes, our BPE, and the crate for all others; training of vocabularies.
//! - [`dedup`]: which documents say the same. [`decontaminate`]: which hold rows of benchmarks. [`packing`]: lengths become rows. [`formats`]: Megatron, HDF5 rows, JSONL shards.
//! - [`pipeline`]: the verbs. [`datasets`]: packed files as samples.

mod byte_masks;
pub mod conversation;
pub mod datasets;
pub mod decontaminate;
pub mod dedup;
pub mod document;
pub mod error;
pub mod fork;
pub mod formats;
pub mod hash;
pub mod io;
pub mod json_escapes;
mod json_faults;
pub mod json_fields;
mod json_nan;
mod json_search;
pub mod json_text;
pub mod key_log;
pub mod ledger;
pub mod ordered;
pub mod packing;
pub mod pipeline;
pub mod progress;
pub mod rng;
pub mod sources;
pub mod stages;
pub mod switches;
pub mod templates;
pub mod token;
pub mod tokenizers;
pub mod unread_keys;

pub use error::{Error, Result};
