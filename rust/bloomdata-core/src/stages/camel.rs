//! camel-ai's maths, physics, chemistry and biology: two messages (OL-11).

pub use crate::stages::pairs::stripped as turn;

/// The fields of a record.
pub const KEYS: [&str; 2] = ["message_1", "message_2"];
