//! Where tokens go.
//!
//! - [`megatron`]: a growing pair of files per text field, with checkpoints by time.
//! - [`hdf5`]: files of a fixed number of rows, each a checkpoint.
//! - [`rows`]: rows, put together from pieces of articles, and counted.
//! - [`in_flight`]: documents until all of their tokens are placed or lost.

pub mod hdf5;
pub mod in_flight;
pub mod megatron;
pub mod rows;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Result;
use crate::formats::megatron::MegatronState;
use crate::pipeline::articles::packed::Packed;
use crate::pipeline::folder::books::{Books, Snapshot};
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::sealer::Sealer;
use in_flight::Placed;
use rows::Metrics;

/// How far rows have come from the place where the books stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Articles of the next record that are in rows.
    pub skip_articles: u64,
    /// Tokens of the article after them that are in rows.
    pub skip_tokens: u64,
    /// Rows that start there and are written.
    pub skip_rows: u64,
    /// What was made of the next record.
    #[serde(default)]
    pub placed: Placed,
    /// Counts of everything in rows; its articles are those before this place.
    pub metrics: Metrics,
}

/// From where `pack` can go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The books before the next document.
    pub books: Snapshot,
    /// Articles before this place.
    pub num_articles: u64,
    /// Rows that are written.
    pub rows: Option<Resumed>,
    /// Megatron files, one per text field.
    pub megatron: Vec<MegatronState>,
}

/// Outputs that did not go through the sealer, and facts for the manifest.
pub type Finished = (Vec<OutputEntry>, Map<String, Value>);

/// A destination for tokens.
pub trait Sink<'run> {
    /// Takes the next block and settles its records.
    ///
    /// # Errors
    /// A bad record, or the system's reason.
    fn append(&mut self, packed: Packed, books: &mut Books<'run>, sealer: &Sealer<'_, 'run>) -> Result<()>;

    /// Writes what is left; lists the outputs that did not go through the sealer, and says what is there.
    ///
    /// # Errors
    /// The system's reason.
    fn finish(self: Box<Self>, books: &mut Books<'run>, sealer: &Sealer<'_, 'run>) -> Result<Finished>;
}

/// Articles by length, for the manifest.
fn histogram_fact(books: &Books<'_>) -> (String, Value) {
    ("length_histogram".to_owned(), books.snapshot().histogram.clone().into())
}

/// Counts the tokens of one kept record: those of its articles in every stream.
fn count_tokens(packed: &Packed, articles: std::ops::Range<usize>, books: &mut Books<'_>) {
    for stream in &packed.streams {
        books.count_articles(&stream.lengths[articles.clone()]);
    }
}
