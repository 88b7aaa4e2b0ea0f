//! Files become blocks of records: found, decompressed, cut, always in the same order.
//!
//! ```text
//! inputs ─reader threads→ pieces ─decode pool→ pieces in order ─Source→ blocks of whole records
//! ```
//!
//! - [`expand`]: files, folders and patterns become an ordered list ([`inputs`]) of [`input::Input`].
//! - [`folders`], `patterns`: what a folder or a pattern holds, and what its own manifest promises; `choosing`: which of the files
//!   are data, by `metadata_names`, `saved_datasets` (folders of `datasets`) and what lies beside them.
//! - `pointers`: files of Git LFS that stand for data. [`duplicates`]: one content under two names.
//! - `asking`: about many files at a time. `folder_queue`: folders that are still to be listed, each once, whatever links lead to it.
//! - [`read`]: one input becomes pieces of decompressed bytes; zstd frames are decoded by the pool.
//! - [`parts`]: inputs are shared out among parts; `ranges`: a share of a file of lines ([`place`]).
//! - [`remote`]: inputs in a store that is not this machine's.
//! - [`json_values`]: a JSON array (or a sequence of values) becomes one record per element.
//! - `records_key`: records under a key of a JSON file, as in `{"data": [...]}`.
//! - [`tables`]: rows of the caller become one JSON record each; `parquet_files` (in `row_groups`) and `arrow_files` likewise, by
//!   `json_rows`, and their values by `json_cells`. [`columns`]: which of them are read.
//! - [`stream`]: pieces of all inputs become [`Block`](crate::document::Block)s, in order.

mod arrow_files;
mod asking;
mod choosing;
pub mod columns;
pub mod duplicates;
pub mod expand;
mod folder_queue;
pub mod folders;
pub mod input;
pub mod inputs;
mod json_cells;
mod json_rows;
pub mod json_values;
mod metadata_names;
#[cfg(feature = "parquet")]
mod parquet_files;
pub mod parts;
mod patterns;
pub mod place;
mod pointers;
mod ranges;
pub mod read;
mod records_key;
pub mod remote;
#[cfg(feature = "parquet")]
mod row_groups;
mod saved_datasets;
pub mod stream;
pub mod tables;

pub use input::{Format, Input};
pub use stream::{Event, Source, SourceOptions};
