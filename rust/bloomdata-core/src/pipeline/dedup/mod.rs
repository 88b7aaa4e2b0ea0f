//! The verb `dedup`: three passes with files between them, each of which is skipped when it is done already.
//!
//! ```text
//! inputs ─sign→ .sig ─equal, candidates→ pairs ─shingle_sets→ sets ─edges→ decisions ─verdicts→ filter → shards
//! ```
//!
//! - [`options`]: what is asked for. [`run`]: the run; `phases`, `removal`, `ending`: its parts.
//! - [`sign`]: the first pass; [`signing`]: of one document; [`signature_file`]: what it leaves; [`corpus`]: all
//!   documents by number.
//! - [`equal`]: documents of equal keys. [`candidates`]: pairs that may be similar. [`shingle_sets`]: the second pass.
//! - [`bloom_index`]: near duplicates in one pass, in place of all these.
//! - [`edges`]: who is similar, who stays. [`decisions`]: who is dropped. [`verdicts`], [`verdict_file`], `filter`,
//!   `editor`: the last pass. [`exact_pass`]: equal documents for other verbs.
//! - [`repeats`]: parts of documents that occurred before. [`spans`]: what they cover.
//! - [`signatures`]: the verb, the first pass alone; `import`: what it has left.
//! - [`set_parts`]: the second pass in parts, for a run that decides for parts.
//! - [`decided`]: what a run has left for parts to write by. [`part`]: the last pass over one of them.
//! - [`honesty`]: how good all this was.
//! - [`sorter`], [`records`]: any number of records in bounded memory.

pub mod bloom_index;
pub mod candidates;
pub mod corpus;
pub mod decided;
pub mod decisions;
pub mod edges;
mod editor;
mod ending;
pub mod equal;
pub mod exact_pass;
mod filter;
pub mod honesty;
mod import;
pub mod options;
pub mod part;
mod phases;
pub mod records;
mod removal;
pub mod repeats;
pub mod run;
pub mod set_parts;
pub mod shingle_sets;
pub mod sign;
pub mod signature_file;
pub mod signatures;
pub mod signing;
pub mod sorter;
pub mod spans;
pub mod verdict_file;
pub mod verdicts;
