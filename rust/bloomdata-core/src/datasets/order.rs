//! A keyed permutation of `0..n`: the order of an epoch as a function, in constant memory, seekable and invertible.
//!
//! An alternating Feistel network over the bits that `n - 1` needs, with cycle walking: what lands at `n` or above is
//! sent through again, less than twice on average. Format 1: changing any of it changes the order of every run.
//!
//! Origin: M. Luby, C. Rackoff, "How to construct pseudorandom permutations" (1988); J. Black, P. Rogaway, "Ciphers
//! with arbitrary finite domains" (2002). Not a cipher: it mixes well, it keeps no secrets.

use crate::error::{Error, Result};
use crate::rng::{key, mix};

/// Use of the seed for the order of rows (see [`key`]).
pub const ROW_STREAM: u64 = 5;
/// Use of the seed for the order inside blocks of a blend.
pub const BLEND_STREAM: u64 = 6;

/// Four are enough for large halves (Luby, Rackoff); twelve leave a margin.
const ROUNDS: usize = 12;
/// Small halves need more until every order is equally likely: with 24, orders of 7 elements still show a bias.
const ROUNDS_OF_SMALL: usize = 32;
/// Up to here an order counts as small.
const SMALL_BITS: u32 = 16;

/// One order of `0..len`.
#[derive(Debug, Clone)]
pub struct Permutation {
    len: u64,
    /// Bits of the left and of the right half.
    widths: [u32; 2],
    keys: [u64; ROUNDS_OF_SMALL],
    rounds: usize,
}

impl Permutation {
    /// The order of `source` in `epoch` under `seed`; `stream` separates uses of one seed.
    ///
    /// # Errors
    /// More than 2^63 - 1 elements.
    pub fn new(len: u64, seed: u64, stream: u64, source: u64, epoch: u64) -> Result<Self> {
        if i64::try_from(len).is_err() {
            return Err(Error::config("n", format!("{len} elements; at most 2^63 - 1 are supported")));
        }
        let bits = (u64::BITS - len.saturating_sub(1).leading_zeros()).max(2);
        let base = key(seed, stream, source);
        let rounds = if bits <= SMALL_BITS { ROUNDS_OF_SMALL } else { ROUNDS };
        let mut keys = [0; ROUNDS_OF_SMALL];
        for (round, slot) in (0..).zip(&mut keys[..rounds]) {
            *slot = key(base, epoch, round);
        }
        Ok(Self { len, widths: [bits / 2, bits - bits / 2], keys, rounds })
    }

    /// Number of elements.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is at position `index`.
    ///
    /// # Errors
    /// A position that is not below `len`.
    pub fn at(&self, index: u64) -> Result<u64> {
        self.walk(index, Self::forward)
    }

    /// The position of `value`: the inverse of [`Self::at`].
    ///
    /// # Errors
    /// A value that is not below `len`.
    pub fn position(&self, value: u64) -> Result<u64> {
        self.walk(value, Self::backward)
    }

    /// Through the network until the result is inside. It ends, because the walk would come back to where it began.
    fn walk(&self, from: u64, step: fn(&Self, u64) -> u64) -> Result<u64> {
        if from >= self.len {
            return Err(Error::config("index", format!("{from} of a permutation of {} elements", self.len)));
        }
        let mut at = step(self, from);
        while at >= self.len {
            at = step(self, at);
        }
        Ok(at)
    }

    fn forward(&self, value: u64) -> u64 {
        let (mut left, mut right) = self.split(value);
        for pair in self.keys[..self.rounds].as_chunks::<2>().0 {
            left ^= mix(right.wrapping_add(pair[0])) >> (u64::BITS - self.widths[0]);
            right ^= mix(left.wrapping_add(pair[1])) >> (u64::BITS - self.widths[1]);
        }
        left << self.widths[1] | right
    }

    fn backward(&self, value: u64) -> u64 {
        let (mut left, mut right) = self.split(value);
        for pair in self.keys[..self.rounds].as_chunks::<2>().0.iter().rev() {
            right ^= mix(left.wrapping_add(pair[1])) >> (u64::BITS - self.widths[1]);
            left ^= mix(right.wrapping_add(pair[0])) >> (u64::BITS - self.widths[0]);
        }
        left << self.widths[1] | right
    }

    const fn split(&self, value: u64) -> (u64, u64) {
        (value >> self.widths[1], value & ((1 << self.widths[1]) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::index;

    fn all(len: u64, seed: u64, epoch: u64) -> Vec<u64> {
        let order = Permutation::new(len, seed, ROW_STREAM, 0, epoch).unwrap();
        (0..len).map(|at| order.at(at).unwrap()).collect()
    }

    #[test]
    fn every_size_up_to_five_thousand_is_a_permutation_with_its_inverse() {
        for len in 0..=5_000 {
            let order = Permutation::new(len, len ^ 7, ROW_STREAM, len % 3, len % 5).unwrap();
            let mut seen = vec![false; index(len)];
            for at in 0..len {
                let value = order.at(at).unwrap();
                assert!(!std::mem::replace(&mut seen[index(value)], true), "{len}: {value} twice");
                assert_eq!(order.position(value).unwrap(), at);
            }
        }
    }

    #[test]
    fn large_sizes_invert() {
        for draw in 0..2_000_u64 {
            let len = key(3, 0, draw) % 1_000_000_000_000 + 1;
            let order = Permutation::new(len, draw, ROW_STREAM, 0, draw).unwrap();
            let at = key(4, 0, draw) % len;
            assert_eq!(order.position(order.at(at).unwrap()).unwrap(), at);
            assert_eq!(order.at(order.position(at).unwrap()).unwrap(), at);
        }
        let widest = Permutation::new(i64::MAX.cast_unsigned(), 0, ROW_STREAM, 0, 0).unwrap();
        assert_eq!(widest.position(widest.at(12_345).unwrap()).unwrap(), 12_345);
        assert!(Permutation::new(1 << 63, 0, ROW_STREAM, 0, 0).is_err());
    }

    #[test]
    fn every_order_of_a_few_elements_is_about_equally_likely() {
        for len in [2, 3, 4, 5, 6] {
            let orders: u64 = (1..=len).product();
            let draws = 1_000 * orders;
            let mut counts = std::collections::BTreeMap::new();
            for seed in 0..draws {
                *counts.entry(all(len, seed, 0)).or_insert(0_u32) += 1;
            }
            assert_eq!(counts.len() as u64, orders, "{len}");
            // Chi-squared with `orders - 1` degrees of freedom: six standard deviations above its mean.
            let chi: f64 = counts.values().map(|&count| (f64::from(count) - 1_000.0).powi(2) / 1_000.0).sum();
            let free = f64::from(u32::try_from(orders).unwrap() - 1);
            assert!(chi < free + 6.0 * (2.0 * free).sqrt(), "{len}: {chi} of {free}");
        }
    }

    #[test]
    fn epochs_and_sources_have_orders_of_their_own() {
        assert_ne!(all(1000, 0, 0), all(1000, 0, 1));
        assert_ne!(all(1000, 0, 0), all(1000, 1, 0));
        let same = all(1000, 0, 0).iter().zip(&all(1000, 0, 1)).filter(|(a, b)| a == b).count();
        assert!(same < 10, "{same} of 1000 stay where they were");
    }

    #[test]
    fn a_position_outside_is_an_error_and_does_not_hang() {
        let order = Permutation::new(5, 0, ROW_STREAM, 0, 0).unwrap();
        assert!(order.at(5).is_err() && order.position(7).is_err() && order.at(u64::MAX).is_err());
        assert!(Permutation::new(0, 0, ROW_STREAM, 0, 0).unwrap().at(0).is_err());
    }
}
