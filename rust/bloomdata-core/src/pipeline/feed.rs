//! From a source to a pool of workers: blocks become jobs, ends of inputs travel along in their place.

use crate::document::Block;
use crate::error::Result;
use crate::ordered::Sender;
use crate::sources::{Event, Source};

/// What comes out of a pool that is fed by a source, in order.
#[derive(Debug)]
pub enum Item<Work> {
    /// What the workers made of a block.
    Block(Work),
    /// An input was read to its end.
    End {
        /// Index of the input.
        file: usize,
        /// BLAKE3 of the file as stored, in hex.
        hash: String,
        /// Its decompressed bytes; rows for tables.
        content_bytes: u64,
    },
}

/// Hands everything that `source` yields to `sender`. An error of the source is delivered in its place.
///
/// # Errors
/// Nobody reads the results any more.
pub fn feed<Work>(source: Source, sender: &Sender<Block, Item<Work>>) -> Result<()> {
    for event in source {
        match event {
            Ok(Event::Block(block)) => sender.send(block)?,
            Ok(Event::End { file, hash, content_bytes }) => {
                sender.send_ready(Ok(Item::End { file, hash, content_bytes }))?;
            }
            Err(error) => return sender.send_ready(Err(error)),
        }
    }
    Ok(())
}
