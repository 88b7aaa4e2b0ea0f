//! Sets of keys in bounded memory that may take a new key for one that they hold: a blocked Bloom filter for each band
//! (Putze, Sanders, Singler 2007; `LSHBloom`, Khan et al. 2024).

use crate::rng::mix;
use crate::token::{double, index, whole};

/// Bits of a block: a cache line.
const BLOCK_BITS: u64 = 512;
/// Bits that a key sets in its block at most.
const MAX_BITS: u64 = 16;

/// One filter for each band.
#[derive(Debug)]
pub struct BandFilters {
    words: Vec<u64>,
    bands: usize,
    blocks_of_band: u64,
    bits_of_key: u64,
}

impl BandFilters {
    /// Filters of `bytes` in all, for so many documents.
    pub fn new(bands: usize, bytes: u64, documents: u64) -> Self {
        let blocks_of_band = (bytes * 8 / BLOCK_BITS / bands as u64).max(1);
        let bits = double(blocks_of_band * BLOCK_BITS) / double(documents.max(1));
        let bits_of_key = whole((bits * std::f64::consts::LN_2).round()).clamp(1, MAX_BITS);
        let words = vec![0; bands * index(blocks_of_band * BLOCK_BITS / 64)];
        Self { words, bands, blocks_of_band, bits_of_key }
    }

    /// The chance that a document that resembles none is taken for a duplicate once so many documents are in the filters:
    /// blocks hold numbers of keys by Poisson's law.
    pub fn false_positive_rate(&self, documents: u64) -> f64 {
        let load = double(documents) / double(self.blocks_of_band);
        let spread = 12.0 * load.sqrt() + 24.0;
        let (first, last) = (whole((load - spread).max(0.0)), whole(load + spread));
        let bits = double(BLOCK_BITS);
        let mut rate = 0.0;
        for keys in first..=last {
            let chance = (double(keys) * load.max(1e-300).ln() - load - ln_factorial(keys)).exp();
            let is_set = 1.0 - (1.0 - 1.0 / bits).powf(double(keys * self.bits_of_key));
            rate += chance * is_set.powf(double(self.bits_of_key));
        }
        1.0 - (1.0 - rate).powf(double(self.bands as u64))
    }

    /// Whether the key of any band is in its filter.
    pub fn contains_any(&self, keys: &[u64]) -> bool {
        keys.iter().enumerate().any(|(band, key)| {
            let (start, mut bits) = self.block(band, *key);
            (0..self.bits_of_key).all(|_| {
                let bit = next_bit(&mut bits);
                self.words[start + index(bit / 64)] >> (bit % 64) & 1 == 1
            })
        })
    }

    /// Adds the key of each band.
    pub fn insert(&mut self, keys: &[u64]) {
        for (band, key) in keys.iter().enumerate() {
            let (start, mut bits) = self.block(band, *key);
            for _ in 0..self.bits_of_key {
                let bit = next_bit(&mut bits);
                self.words[start + index(bit / 64)] |= 1 << (bit % 64);
            }
        }
    }

    /// Where the block of a key starts, and the state that its bits are drawn from.
    fn block(&self, band: usize, key: u64) -> (usize, u64) {
        let block = (u128::from(key) * u128::from(self.blocks_of_band)) >> 64;
        let block = u64::try_from(block).unwrap_or_default() + band as u64 * self.blocks_of_band;
        (index(block * BLOCK_BITS / 64), mix(key ^ 0x5851_F42D_4C95_7F2D))
    }
}

/// The next bit of a block.
fn next_bit(state: &mut u64) -> u64 {
    let bit = *state >> 55;
    *state = mix(state.wrapping_add(0x9E37_79B9_7F4A_7C15));
    bit
}

/// By Stirling's series; exact enough from 0 on.
fn ln_factorial(number: u64) -> f64 {
    if number < 16 {
        return (2..=number).map(|factor| double(factor).ln()).sum();
    }
    let n = double(number);
    n * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI * n).ln() + 1.0 / (12.0 * n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::key;

    #[test]
    fn what_was_added_is_found_and_the_rest_as_often_as_computed() {
        for (bytes, documents) in [(64 << 10, 4000), (16 << 10, 4000), (8 << 10, 2000)] {
            let bands = 4;
            let mut filters = BandFilters::new(bands, bytes, documents);
            let keys = |seed: u64, document: u64| -> Vec<u64> {
                (0..bands as u64).map(|band| key(seed, band, document)).collect()
            };
            for document in 0..documents {
                filters.insert(&keys(1, document));
            }
            assert!((0..documents).all(|document| filters.contains_any(&keys(1, document))));
            let trials = 200_000;
            let hits =
                (0..trials).filter(|&document| filters.contains_any(&keys(2, document))).count() as u64;
            let expected = filters.false_positive_rate(documents);
            let error = (expected * (1.0 - expected) * double(trials)).sqrt();
            let found = double(hits);
            assert!(
                (found - expected * double(trials)).abs() < 6.0 * error + 0.1 * expected * double(trials),
                "{bytes} bytes: {found} of {trials}, expected a rate of {expected}"
            );
        }
    }
}
