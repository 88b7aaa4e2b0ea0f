//! Tokens of a block: while they are collected, and as they are handed on.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::formats::hdf5_rows::TokenStream;
use crate::packing::types::SEPARATOR;
use crate::pipeline::folder::outcome::Outcome;

/// What the pool makes of a block.
#[derive(Debug)]
pub struct Packed {
    /// Index of the input.
    pub file: usize,
    /// All records, in order.
    pub outcomes: Vec<Outcome>,
    /// One per text field.
    pub streams: Vec<TokenStream>,
}

/// Tokens of a block, in memory that is used for block after block: to get it anew, page by page, can take as long as to
/// fill it.
#[derive(Default)]
pub(in crate::pipeline) struct Articles {
    /// Of texts: ids of each field.
    pub(in crate::pipeline) fields: Vec<Vec<u32>>,
    /// Of pairs and conversations.
    pub(in crate::pipeline) ids: Vec<u32>,
    pub(in crate::pipeline) types: Vec<u32>,
    pub(in crate::pipeline) categories: Vec<u32>,
    pub(in crate::pipeline) lengths: Vec<u32>,
    /// Where the open article starts.
    start: usize,
    /// Where the ids of a text end in it.
    pub(in crate::pipeline) ends: Vec<usize>,
}

impl Articles {
    /// Forgets everything, but keeps the memory.
    pub(in crate::pipeline) fn clear(&mut self) {
        for list in [&mut self.ids, &mut self.types, &mut self.categories] {
            list.clear();
        }
        self.lengths.clear();
        self.start = 0;
    }

    /// Where what is appended next starts; no article is open.
    pub(in crate::pipeline) fn place(&self) -> (usize, usize) {
        (self.lengths.len(), self.ids.len())
    }

    /// Leaves out tokens of a closed article, the number `article` of the block.
    ///
    /// # Errors
    /// No such article.
    pub(in crate::pipeline) fn cut(&mut self, article: usize, tokens: Range<usize>) -> Result<()> {
        let cut = length(tokens.len())?;
        let kept = self.lengths.get_mut(article).and_then(|length| {
            *length = length.checked_sub(cut)?;
            Some(())
        });
        kept.ok_or_else(|| Error::Internal("an article is shorter than what is cut off it".into()))?;
        self.start -= tokens.len();
        self.types.drain(tokens.clone());
        self.ids.drain(tokens);
        Ok(())
    }

    /// Takes back all that was appended since a place.
    pub(in crate::pipeline) fn take_back(&mut self, (lengths, tokens): (usize, usize)) {
        self.lengths.truncate(lengths);
        for list in [&mut self.ids, &mut self.types, &mut self.categories] {
            list.truncate(tokens);
        }
        self.start = tokens;
    }

    /// The last token of what is open separates it from what follows.
    pub(in crate::pipeline) fn mark_separator(&mut self) {
        if self.types.len() > self.start
            && let Some(last) = self.types.last_mut()
        {
            *last = SEPARATOR;
        }
    }

    /// Ends the open article, if there is anything in it.
    pub(in crate::pipeline) fn close(&mut self) -> Result<()> {
        if self.ids.len() > self.start {
            self.lengths.push(length(self.ids.len() - self.start)?);
            self.start = self.ids.len();
        }
        Ok(())
    }
}

/// Tokens of a document as the files count them.
///
/// # Errors
/// Over 2^32 of them.
pub(in crate::pipeline) fn length(tokens: usize) -> Result<u32> {
    u32::try_from(tokens).map_err(|_| Error::config("inputs", "a document has over 2^32 tokens"))
}
