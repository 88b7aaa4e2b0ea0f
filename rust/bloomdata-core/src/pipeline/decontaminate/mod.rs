//! The verb `decontaminate`: phases with files between them, each of which is skipped when it is done already.
//!
//! ```text
//! inputs ─scan→ hits ─score→ matches, marks ─excerpts→ contamination.jsonl
//!                                     └──── cleaner → shards
//! ```
//!
//! - [`options`]: what is asked for. [`evaluations`], [`search`]: what is looked for. [`run`]: the run, phase by phase.
//! - [`scan`]: the first pass; [`hit_file`], [`first_pass`]: what it leaves. [`ngram_counts`]: which n-grams are common.
//! - [`counting`]: the first pass of a part, for all of them; [`counts`]: what they have counted together.
//! - [`score`]: which documents are contaminated, by what. [`found`]: what manifests say of it.
//! - [`by_offset`]: records of a phase that the next one looks up by the place of a document.
//! - [`excerpts`]: both texts of every match. [`ignored`]: what was not looked for.
//! - `cleaner`: the last pass. `report_only`: the end of a run without one.

pub mod by_offset;
mod cleaner;
pub mod counting;
pub mod counts;
pub mod evaluations;
pub mod excerpts;
pub mod first_pass;
pub mod found;
pub mod hit_file;
pub mod ignored;
pub mod ngram_counts;
pub mod options;
mod report_only;
pub mod run;
pub mod scan;
pub mod score;
pub mod search;
