//! `GPTeacher`: Alpaca's fields, but the answer is the `response`.

/// The key of the answer.
pub const OUTPUT: &str = "response";
