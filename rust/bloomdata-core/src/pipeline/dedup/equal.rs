//! Equal documents: found by key, and what becomes of them once it is known what becomes of their first one.

use std::path::Path;

use super::corpus::Corpus;
use super::decisions::{Decision, Why};
use super::records::{RecordReader, RecordWriter};
use super::signature_file::Column;
use super::sorter::{Room, Sorter};
use crate::dedup::keep::DocumentSet;
use crate::error::Result;

/// Looks for equal keys of `column`, and adds the later documents to `taken`; those that are in it are left out. Writes
/// (first, later) in order to `path`.
///
/// # Errors
/// The system's reason.
pub fn find_equal(
    corpus: &Corpus,
    column: Column,
    taken: &mut DocumentSet,
    room: Room<'_>,
    path: &Path,
) -> Result<()> {
    let mut keys: Sorter<'_, 3> = Sorter::new(room, "keys");
    corpus.scan(column, |document, entry| {
        let half = |at: usize| entry[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        let (low, high) = (half(0), half(8));
        // Of units, zero is the key of a document without any: it resembles nothing.
        if taken.contains(document) || (column == Column::Units && low == 0 && high == 0) {
            return Ok(());
        }
        keys.push([high, low, document])
    })?;
    let mut pairs = Sorter::new(room, "equal");
    let mut group: Option<[u64; 3]> = None;
    for record in keys.finish()? {
        let [high, low, document] = record?;
        match group {
            Some([a, b, first]) if (a, b) == (high, low) => {
                taken.insert(document);
                pairs.push([first, document])?;
            }
            _ => group = Some([high, low, document]),
        }
    }
    let mut file = RecordWriter::create(path)?;
    for pair in pairs.finish()? {
        file.push(pair?)?;
    }
    file.seal()
}

/// Adds the later ones of equal documents to a set.
///
/// # Errors
/// The system's reason.
pub fn add_later(path: &Path, taken: &mut DocumentSet) -> Result<()> {
    for pair in RecordReader::<2>::open(path)? {
        taken.insert(pair?[1]);
    }
    Ok(())
}

/// Decides on the later ones of equal documents. `earlier` decides on others, in order: a document whose first one is
/// dropped goes with it.
///
/// # Errors
/// The system's reason.
pub fn decide_equal(
    path: &Path,
    why: Why,
    against: u64,
    mut earlier: impl Iterator<Item = Result<Decision>>,
    mut emit: impl FnMut(Decision) -> Result<()>,
) -> Result<()> {
    let mut next = earlier.next().transpose()?;
    for pair in RecordReader::<2>::open(path)? {
        let [first, later] = pair?;
        while next.as_ref().is_some_and(|decision| decision.document < first) {
            next = earlier.next().transpose()?;
        }
        if later < against {
            continue;
        }
        emit(match next.as_ref().filter(|decision| decision.document == first) {
            Some(decision) => {
                // Equal units have equal similarities; equal texts may have been cut into other units.
                let via = (why == Why::Exact).then_some(first);
                Decision { document: later, why, via, ..*decision }
            }
            None => Decision { document: later, kept: Some(first), similarity: 1.0, why, via: None },
        })?;
    }
    Ok(())
}
