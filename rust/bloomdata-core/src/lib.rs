//! Turns raw text into files that a language model can train on. No Python in here.

pub mod conversation;
pub mod datasets;
pub mod document;
pub mod error;
pub mod formats;
pub mod hash;
pub mod io;
pub mod json_escapes;
pub mod json_fields;
pub mod json_text;
pub mod ledger;
pub mod ordered;
pub mod packing;
pub mod pipeline;
pub mod progress;
pub mod rng;
pub mod sources;
pub mod stages;
pub mod templates;
pub mod token;
pub mod tokenizers;

pub use error::{Error, Result};
