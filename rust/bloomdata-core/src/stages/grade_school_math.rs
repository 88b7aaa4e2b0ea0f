//! grade-school-math-instructions: INSTRUCTION and RESPONSE (OL-11).

pub use crate::stages::pairs::stripped as turn;

/// The fields of a record.
pub const KEYS: [&str; 2] = ["INSTRUCTION", "RESPONSE"];
