//! What each packing would do to documents, from their lengths alone: the packer runs, but nothing is written.

use std::ops::Range;

use serde::Serialize;

use super::Packing;
use super::packer::{Loss, Next, Packer, Rows};
use crate::error::{Error, Result};
use crate::token::index;

/// What a packing makes of a set of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The packing.
    pub packing: Packing,
    /// Rows written.
    pub sequences: u64,
    /// Tokens of all documents.
    pub tokens_in: u64,
    /// Tokens written, padding included.
    pub tokens_out: u64,
    /// Padding written.
    pub tokens_padding: u64,
    /// Tokens cut off documents that were too long.
    pub tokens_truncated: u64,
    /// Tokens of documents and rows that are left out.
    pub tokens_dropped: u64,
    /// Documents of which the tokens do not all lie in one row.
    pub cut_documents: u64,
    /// Documents that are left out whole.
    pub dropped_documents: u64,
}

/// Plans one packing of documents of text, of which all tokens are trained on.
///
/// # Errors
/// A length that the packing cannot do.
pub fn plan(
    packing: Packing,
    lengths: &[u32],
    sequence_length: u64,
    (seed, window_tokens): (u64, u64),
) -> Result<Plan> {
    if sequence_length == 0 {
        return Err(Error::config("sequence_length", "a row must hold at least one token"));
    }
    let lengths: Vec<u32> = lengths.iter().copied().filter(|&length| length > 0).collect();
    let start = Next { article: 0, tokens: 0, rows: 0 };
    let mut packer = Packer::new(packing, sequence_length, seed, window_tokens, start)?;
    let mut counter = Counter {
        plan: Plan {
            packing,
            sequences: 0,
            tokens_in: lengths.iter().map(|&length| u64::from(length)).sum(),
            tokens_out: 0,
            tokens_padding: 0,
            tokens_truncated: 0,
            tokens_dropped: 0,
            cut_documents: 0,
            dropped_documents: 0,
        },
        lengths: &lengths,
        sequence_length,
        open: Vec::new(),
        last: None,
        is_in_order: !matches!(packing, Packing::BestFit(_)),
    };
    for &length in &lengths {
        packer.push(u64::from(length), &mut counter)?;
    }
    packer.finish(&mut counter)?;
    Ok(counter.plan)
}

struct Counter<'run> {
    plan: Plan,
    lengths: &'run [u32],
    sequence_length: u64,
    /// Pieces of the open row.
    open: Vec<(u64, Range<u64>)>,
    /// The document of the last piece.
    last: Option<u64>,
    /// Whether the pieces of a document follow each other.
    is_in_order: bool,
}

impl Counter<'_> {
    fn length(&self, article: u64) -> u64 {
        u64::from(self.lengths[index(article)])
    }

    /// Empties the open row; how many tokens it held.
    fn close(&mut self) -> u64 {
        self.open.drain(..).map(|(_, tokens)| tokens.end - tokens.start).sum()
    }
}

impl Rows for Counter<'_> {
    fn append(&mut self, article: u64, tokens: Range<u64>) {
        let is_first = tokens.start == 0 || (self.is_in_order && self.last != Some(article));
        let is_whole = tokens == (0..self.length(article));
        self.plan.cut_documents += u64::from(is_first && !is_whole);
        self.last = Some(article);
        self.open.push((article, tokens));
    }

    fn end_row(&mut self, _: Next) -> Result<()> {
        let tokens = self.close();
        self.plan.sequences += 1;
        self.plan.tokens_out += self.sequence_length;
        self.plan.tokens_padding += self.sequence_length - tokens;
        Ok(())
    }

    fn repeat_row(&mut self) {
        self.open.clear();
    }

    fn drop_row(&mut self) {
        let whole =
            |(article, tokens): &&(u64, Range<u64>)| tokens.start == 0 && tokens.end == self.length(*article);
        self.plan.dropped_documents += self.open.iter().filter(whole).count() as u64;
        self.plan.tokens_dropped += self.close();
    }

    fn lose(&mut self, loss: Loss, _: u64, tokens: Range<u64>) {
        let tokens = tokens.end - tokens.start;
        match loss {
            Loss::Truncated => self.plan.tokens_truncated += tokens,
            Loss::TooLong | Loss::TooShort => {
                self.plan.tokens_dropped += tokens;
                self.plan.dropped_documents += 1;
            }
        }
    }
}

/// Counts of lengths by powers of two: bucket i holds the lengths from 2^i to 2^(i+1) - 1.
pub fn histogram(lengths: &[u32]) -> Vec<u64> {
    let mut buckets = Vec::new();
    for length in lengths.iter().copied().filter(|&length| length > 0) {
        let bucket = length.ilog2() as usize;
        if buckets.len() <= bucket {
            buckets.resize(bucket + 1, 0);
        }
        buckets[bucket] += 1;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table of `generative_data_prep`: articles of 2, 2 and 4 tokens, rows of 3.
    #[test]
    fn the_reference_table() {
        let of = |name: &str| {
            let plan = plan(Packing::parse(name).unwrap(), &[2, 2, 4], 3, (0, 100)).unwrap();
            (plan.sequences, plan.tokens_padding, plan.tokens_truncated, plan.tokens_dropped)
        };
        assert_eq!(of("greedy"), (2, 2, 0, 4));
        assert_eq!(of("single::drop"), (2, 2, 0, 4));
        assert_eq!(of("greedy::truncate_left"), (3, 2, 1, 0));
        assert_eq!(of("single::truncate_right"), (3, 2, 1, 0));
        assert_eq!(of("full"), (3, 1, 0, 0));
        assert_eq!(of("full::drop"), (2, 0, 0, 2));
        assert_eq!(of("best_fit"), (3, 1, 0, 0));
    }

    proptest! {
        #[test]
        fn no_token_is_lost_uncounted(
            lengths in prop::collection::vec(0_u32..60, 0..80), length in 1_u64..40, window in 1_u64..500, seed: u64,
        ) {
            for packing in Packing::all().chain([Packing::Concat(3)]) {
                let plan = plan(packing, &lengths, length, (seed, window)).unwrap();
                let lost = plan.tokens_truncated + plan.tokens_dropped;
                prop_assert_eq!(plan.tokens_in + plan.tokens_padding, plan.tokens_out + lost, "{}", packing);
                prop_assert_eq!(plan.tokens_out, plan.sequences * length);
            }
        }
    }
}
