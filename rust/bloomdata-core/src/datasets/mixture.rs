//! A mixture of sources as a function: position -> (source, epoch, row), with exact counts and without an index.
//!
//! Positions come in blocks. After every whole block each source has its share of all positions so far, rounded by the
//! largest remainder: less than one sample off, and never drifting. Inside a block a keyed permutation decides which
//! position is whose. A block has 65,536 positions, or as many more as the smallest weight needs for one sample of it.

use crate::datasets::order::{BLEND_STREAM, Permutation, ROW_STREAM};
use crate::error::{Error, Result};
use crate::token::index;

/// Positions of a block, unless a weight is so small that it would have none of them.
pub const BLOCK_SAMPLES: u64 = 65_536;
/// Blocks do not get larger: a weight below 2^-40 of the sum is a mistake.
const MAX_BLOCK_SAMPLES: u64 = 1 << 40;

/// A source of a blend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its samples.
    pub num_samples: u64,
    /// Its share, relative to the other weights.
    pub weight: u64,
}

/// Where a position of a blend is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the source.
    pub source: usize,
    /// How often the source was gone through before.
    pub epoch: u64,
    /// Sample of the source.
    pub row: u64,
}

/// A planned mixture.
#[derive(Debug, Clone)]
pub struct Mixture {
    sources: Vec<Source>,
    total_weight: u128,
    num_samples: u64,
    block_samples: u64,
    seed: u64,
    shuffles: bool,
}

/// One block: where it starts, and the shares of the sources.
#[derive(Debug)]
pub struct Block {
    number: u64,
    /// Samples of each source before the block.
    before: Vec<u64>,
    /// Where each source's slots end.
    ends: Vec<u64>,
    order: Permutation,
}

impl Mixture {
    /// A blend of `num_samples` samples. With `shuffles`, rows of a source come in an order of their own in every
    /// epoch; else in the source's order.
    ///
    /// # Errors
    /// No source with a weight, a weight without samples, or one that is too small to be drawn.
    pub fn new(sources: Vec<Source>, num_samples: u64, seed: u64, shuffles: bool) -> Result<Self> {
        let total_weight: u128 = sources.iter().map(|source| u128::from(source.weight)).sum();
        let smallest = sources.iter().map(|source| source.weight).filter(|&weight| weight > 0).min();
        let Some(smallest) = smallest else {
            return Err(Error::config("weights", "no source has a weight above 0"));
        };
        if let Some(at) = sources.iter().position(|source| source.weight > 0 && source.num_samples == 0) {
            return Err(Error::config("weights", format!("source {at} has a weight but no samples")));
        }
        if i64::try_from(num_samples).is_err() {
            return Err(Error::config("num_samples", format!("{num_samples}, at most 2^63 - 1")));
        }
        let mut block_samples = BLOCK_SAMPLES;
        while u128::from(smallest) * u128::from(block_samples) < total_weight {
            block_samples *= 2;
            if block_samples > MAX_BLOCK_SAMPLES {
                return Err(Error::config(
                    "weights",
                    "a weight is below 2^-40 of the sum: it would never be drawn",
                ));
            }
        }
        Ok(Self { sources, total_weight, num_samples, block_samples, seed, shuffles })
    }

    /// Samples of the blend.
    pub const fn num_samples(&self) -> u64 {
        self.num_samples
    }

    /// Positions of a whole block.
    pub const fn block_samples(&self) -> u64 {
        self.block_samples
    }

    /// Samples that each source gives to a blend of `num_samples` samples.
    pub fn counts(&self, num_samples: u64) -> Vec<u64> {
        let whole = num_samples - num_samples % self.block_samples;
        let before = self.shares(whole);
        if whole == num_samples { before } else { self.last_shares(&before, num_samples) }
    }

    /// Shares after whole blocks, by the largest remainder; a tie goes to the earlier source. They never shrink from
    /// block to block, because each source gets at least one sample of a block.
    fn shares(&self, num_samples: u64) -> Vec<u64> {
        let mut shares = Vec::with_capacity(self.sources.len());
        let mut remainders = Vec::with_capacity(self.sources.len());
        let mut left = num_samples;
        for (number, source) in self.sources.iter().enumerate() {
            let product = u128::from(source.weight) * u128::from(num_samples);
            let share = low_64(product / self.total_weight);
            left -= share;
            shares.push(share);
            remainders.push((std::cmp::Reverse(product % self.total_weight), number));
        }
        remainders.sort_unstable();
        for &(_, number) in remainders.iter().take(index(left)) {
            shares[number] += 1;
        }
        shares
    }

    /// Shares at the end of a short last block: as above, but no source can give back what it gave before.
    fn last_shares(&self, before: &[u64], num_samples: u64) -> Vec<u64> {
        let mut remainders = Vec::with_capacity(before.len());
        let mut shares = Vec::with_capacity(before.len());
        for (number, (source, &before)) in self.sources.iter().zip(before).enumerate() {
            let product = u128::from(source.weight) * u128::from(num_samples);
            let target = low_64(product / self.total_weight);
            let remainder = if target < before { 0 } else { product % self.total_weight };
            shares.push(target.max(before));
            remainders.push((std::cmp::Reverse(remainder), number));
        }
        remainders.sort_unstable();
        let given: u64 = shares.iter().sum();
        for &(_, number) in remainders.iter().take(index(num_samples.saturating_sub(given))) {
            shares[number] += 1;
        }
        // Sources that are ahead of their share leave too little for the others: those nearest to a whole number wait.
        // They have got at least `excess` samples in this block, so the loop ends.
        let mut excess = given.saturating_sub(num_samples);
        while excess > 0 {
            for &(_, number) in remainders.iter().rev() {
                if excess > 0 && shares[number] > before[number] {
                    shares[number] -= 1;
                    excess -= 1;
                }
            }
        }
        shares
    }

    /// Block `number`, which must be inside the blend.
    ///
    /// # Errors
    /// None, for a block inside the blend.
    pub fn block(&self, number: u64) -> Result<Block> {
        let start = number * self.block_samples;
        let end = self.num_samples.min(start.saturating_add(self.block_samples));
        let before = self.shares(start);
        let after = self.counts(end);
        let mut slots = 0;
        let ends = before.iter().zip(&after).map(|(before, after)| {
            slots += after - before;
            slots
        });
        let ends = ends.collect();
        let order = Permutation::new(slots, self.seed, BLEND_STREAM, 0, number)?;
        Ok(Block { number, before, ends, order })
    }

    /// Where each of `positions` is found, in their order.
    ///
    /// # Errors
    /// A position outside the blend.
    pub fn locate(&self, positions: &[u64]) -> Result<Vec<Place>> {
        let mut current: Option<Block> = None;
        let mut places = Vec::with_capacity(positions.len());
        for &position in positions {
            if position >= self.num_samples {
                let reason = format!("{position} of a blend of {} samples", self.num_samples);
                return Err(Error::config("index", reason));
            }
            let number = position / self.block_samples;
            let block = match current.take().filter(|block| block.number == number) {
                Some(block) => block,
                None => self.block(number)?,
            };
            places.push(self.place(&block, position % self.block_samples)?);
            current = Some(block);
        }
        Ok(places)
    }

    fn place(&self, block: &Block, at: u64) -> Result<Place> {
        let slot = block.order.at(at)?;
        let source = block.ends.partition_point(|&end| end <= slot);
        let first = if source == 0 { 0 } else { block.ends[source - 1] };
        let drawn = block.before[source] + slot - first;
        let length = self.sources[source].num_samples;
        let (epoch, row) = (drawn / length, drawn % length);
        let row = if self.shuffles {
            Permutation::new(length, self.seed, ROW_STREAM, source as u64, epoch)?.at(row)?
        } else {
            row
        };
        Ok(Place { source, epoch, row })
    }
}

/// A share of 64-bit samples fits 64 bits.
fn low_64(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blend(weights: &[u64], lengths: &[u64], num_samples: u64) -> Mixture {
        let sources =
            weights.iter().zip(lengths).map(|(&weight, &num_samples)| Source { num_samples, weight });
        Mixture::new(sources.collect(), num_samples, 1, true).unwrap()
    }

    #[test]
    fn shares_stay_within_one_of_the_target_and_never_shrink() {
        let weights: Vec<u64> = (0..200).map(|at| crate::rng::key(1, 0, at) % 1_000 + 1).collect();
        let total: u64 = weights.iter().sum();
        let blend = blend(&weights, &[1_000; 200], 1 << 40);
        let mut last = vec![0; 200];
        for number in (0..200).chain([1 << 20, (1 << 20) + 1]) {
            let samples = number * blend.block_samples();
            let shares = blend.counts(samples);
            assert_eq!(shares.iter().sum::<u64>(), samples);
            for (at, &share) in shares.iter().enumerate() {
                let scaled = u128::from(share) * u128::from(total);
                let target = u128::from(weights[at]) * u128::from(samples);
                assert!(scaled.abs_diff(target) < u128::from(total), "source {at} after {number} blocks");
                assert!(share >= last[at]);
            }
            last = shares;
        }
    }

    #[test]
    fn every_position_of_a_short_blend_is_another_draw() {
        for num_samples in [1, 2, 3, 1_000, 65_535, 65_536, 65_537, 200_001] {
            let blend = blend(&[3, 0, 1, 70_000], &[10, 5, 7, 300_000], num_samples);
            let counts = blend.counts(num_samples);
            let positions: Vec<u64> = (0..num_samples).collect();
            let mut seen = std::collections::BTreeSet::new();
            let mut found = vec![0; 4];
            for place in blend.locate(&positions).unwrap() {
                assert!(seen.insert((place.source, place.epoch, place.row)));
                found[place.source] += 1;
            }
            assert_eq!(found, counts, "{num_samples}");
        }
    }

    #[test]
    fn a_tiny_weight_makes_blocks_larger_and_a_vanishing_one_is_refused() {
        assert_eq!(blend(&[1, 1_000_000], &[1, 1], 5).block_samples(), 1 << 20);
        let sources = vec![Source { num_samples: 1, weight: 1 }, Source { num_samples: 1, weight: 1 << 50 }];
        assert!(Mixture::new(sources, 5, 0, true).is_err());
    }

    #[test]
    fn a_position_far_away_is_found_at_once() {
        let blend = blend(&[1, 2], &[1_000_000_000, 77], 1 << 50);
        assert_eq!(blend.locate(&[(1 << 50) - 1]).unwrap().len(), 1);
        assert!(blend.locate(&[1 << 50]).is_err());
    }
}
