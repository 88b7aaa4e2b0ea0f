//! Where tokens go.
//!
//! - [`megatron`]: a growing pair of files per text field, with checkpoints by time.
//! - [`hdf5`]: files of a fixed number of rows, each a checkpoint.

pub mod hdf5;
pub mod megatron;

use serde::{Deserialize, Serialize};

use super::books::{Books, Snapshot};
use super::manifest::OutputEntry;
use super::pack::Packed;
use super::sealer::Sealer;
use crate::error::Result;
use crate::formats::megatron::MegatronState;

/// From where `pack` can go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The books before the next document.
    pub books: Snapshot,
    /// Tokens of the next document that are written already.
    pub skip_tokens: u64,
    /// Megatron files, one per text field.
    pub megatron: Vec<MegatronState>,
}

/// A destination for tokens.
pub trait Sink<'run> {
    /// Takes the next block and settles its records.
    ///
    /// # Errors
    /// A bad record, or the system's reason.
    fn append(&mut self, packed: Packed, books: &mut Books<'run>, sealer: &Sealer<'_, 'run>) -> Result<()>;

    /// Writes what is left, and lists the outputs that did not go through the sealer.
    ///
    /// # Errors
    /// The system's reason.
    fn finish(
        self: Box<Self>,
        books: &mut Books<'run>,
        sealer: &Sealer<'_, 'run>,
    ) -> Result<Vec<OutputEntry>>;
}

/// Counts the tokens of one kept record: one length per stream.
fn count_tokens(packed: &Packed, document: usize, books: &mut Books<'_>) {
    let tokens: u64 = packed.streams.iter().map(|stream| u64::from(stream.lengths[document])).sum();
    books.ledger().tokens_in += tokens;
}
