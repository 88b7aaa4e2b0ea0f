//! Articles become sequences of equal length. An article is what must not be mixed up with others: a document, a chat.
//!
//! - [`packer`]: one article after the other: `full`, `single`, `greedy`, `concat`; the order in which rows fill up.
//! - [`best_fit`]: whole articles into as few rows as possible, over a window.
//! - [`overlong`]: what is trained on of conversations that are cut.
//! - [`plan`]: what each packing would do, from lengths alone.
//! - [`types`]: codes that say what each token is.

pub mod best_fit;
pub mod overlong;
pub mod packer;
pub mod plan;
pub mod types;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What happens to an article that is longer than a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It is left out.
    Drop,
    /// Its last tokens stay.
    TruncateLeft,
    /// Its first tokens stay.
    TruncateRight,
}

/// How articles become sequences. Written as `greedy::drop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Packing {
    /// One after the other, cut wherever a sequence is full; the last one is padded, or dropped.
    Full {
        /// Whether a last sequence that is not full is dropped (Open-Llama) instead of padded.
        drop_last: bool,
    },
    /// Each alone in a sequence.
    Single(Overflow),
    /// Each alone: whole pieces of a sequence's length; what is left of it is dropped (Open-Llama, `split`).
    SingleSplit,
    /// Each alone: a stretch from a random place when it is too long (Open-Llama, `sample`).
    SingleSample,
    /// Into the open sequence if it fits, else into a new one.
    Greedy(Overflow),
    /// Groups of so many, each padded to whole sequences (Open-Llama, `concat_multiple_sequence`).
    Concat(u64),
    /// Whole articles into as few sequences as possible.
    BestFit(Overlong),
}

/// What `best_fit` does with an article that is longer than a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlong {
    /// It is cut into whole sequences and a rest.
    Cut,
    /// It is left out.
    Drop,
    /// Its first tokens stay.
    TruncateRight,
}

const NAMES: [(&str, Packing); 14] = [
    ("full", Packing::Full { drop_last: false }),
    ("full::drop", Packing::Full { drop_last: true }),
    ("single::drop", Packing::Single(Overflow::Drop)),
    ("single::truncate_left", Packing::Single(Overflow::TruncateLeft)),
    ("single::truncate_right", Packing::Single(Overflow::TruncateRight)),
    ("single::split", Packing::SingleSplit),
    ("single::sample", Packing::SingleSample),
    ("greedy::drop", Packing::Greedy(Overflow::Drop)),
    ("greedy::truncate_left", Packing::Greedy(Overflow::TruncateLeft)),
    ("greedy::truncate_right", Packing::Greedy(Overflow::TruncateRight)),
    ("best_fit", Packing::BestFit(Overlong::Cut)),
    ("best_fit::drop", Packing::BestFit(Overlong::Drop)),
    ("best_fit::truncate_right", Packing::BestFit(Overlong::TruncateRight)),
    // Last: an alias is read, never written.
    ("greedy", Packing::Greedy(Overflow::Drop)),
];

impl Packing {
    /// Reads a packing's name.
    ///
    /// # Errors
    /// An unknown name; the message lists all.
    pub fn parse(name: &str) -> Result<Self> {
        if let Some((_, packing)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*packing);
        }
        if let Some(count) = name.strip_prefix("concat::").and_then(|count| count.parse().ok())
            && count > 0
        {
            return Ok(Self::Concat(count));
        }
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        Err(Error::config(
            "packing",
            format!("expected one of {}, concat::K, got {name:?}", names.join(", ")),
        ))
    }

    /// All packings that have no parameter, in the order in which they are shown.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES[..NAMES.len() - 1].iter().map(|(_, packing)| *packing)
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Concat(count) = self {
            return write!(out, "concat::{count}");
        }
        out.write_str(NAMES.iter().find(|(_, packing)| packing == self).map_or("", |(name, _)| name))
    }
}

impl TryFrom<String> for Packing {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::parse(&name)
    }
}

impl From<Packing> for String {
    fn from(packing: Packing) -> Self {
        packing.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for packing in Packing::all().chain([Packing::Concat(10)]) {
            assert_eq!(Packing::parse(&packing.to_string()).unwrap(), packing);
        }
        assert_eq!(Packing::parse("greedy").unwrap().to_string(), "greedy::drop");
        for wrong in ["", "single", "concat::0", "concat::", "greedy::", "Full"] {
            assert!(Packing::parse(wrong).is_err(), "{wrong}");
        }
    }
}
