//! Documents become sequences of equal length.
//!
//! - [`full`]: documents one after the other, cut wherever a sequence is full.
//! - [`types`]: codes that say what each token is.

pub mod full;
pub mod types;
