//! Instruct-to-Code: instruction and answer (OL-10), treated as BELLE is.

pub use crate::stages::belle::turn;

/// The fields of a record.
pub const KEYS: [&str; 2] = ["instruction", "answer"];
