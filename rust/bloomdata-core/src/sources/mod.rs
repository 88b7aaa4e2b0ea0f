//! Files become blocks of records: found, decompressed, cut, always in the same order.
//!
//! ```text
//! inputs ─reader threads→ pieces ─decode pool→ pieces in order ─Source→ blocks of whole records
//! ```
//!
//! - [`expand`]: files, folders and patterns become an ordered list of [`inputs::Input`].
//! - [`folders`]: what a folder or a pattern holds, and what its own manifest promises.
//! - `folder_queue`: folders that are still to be listed, each once, whatever links lead to it.
//! - [`read`]: one input becomes pieces of decompressed bytes; zstd frames are decoded by the pool.
//! - [`json_values`]: a JSON array (or a sequence of values) becomes one record per element.
//! - `records_key`: records under a key of a JSON file, as in `{"data": [...]}`.
//! - [`tables`]: Arrow streams become one JSON record per row; `parquet_files` likewise, both by `json_rows`.
//! - [`stream`]: pieces of all inputs become [`Block`](crate::document::Block)s, in order.

pub mod expand;
mod folder_queue;
pub mod folders;
pub mod inputs;
mod json_rows;
pub mod json_values;
#[cfg(feature = "parquet")]
mod parquet_files;
pub mod read;
mod records_key;
pub mod stream;
pub mod tables;

pub use inputs::{Format, Input};
pub use stream::{Event, Source, SourceOptions};
