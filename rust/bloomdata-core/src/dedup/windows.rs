//! Hashes of some units in a row, by a rolling polynomial: shingles, windows and n-grams.

use crate::rng::mix;

/// Base of the polynomial: 2^64 divided by the golden ratio, odd.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// Hashes all windows of a size.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    size: usize,
    /// What the unit that leaves has been multiplied by.
    leaving: u64,
}

impl Windows {
    /// Windows of `size` units, 1 or more.
    pub fn new(size: usize) -> Self {
        let leaving = (0..size).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        Self { size: size.max(1), leaving }
    }

    /// Units of a window.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The hash of every window, in order; none for fewer units than a window has.
    #[inline]
    pub fn each(&self, units: &[u64], mut emit: impl FnMut(u64)) {
        let Some(first) = units.get(..self.size) else { return };
        let mut sum = polynomial(first);
        emit(mix(sum));
        for (entering, leaving) in units[self.size..].iter().zip(units) {
            sum = sum
                .wrapping_mul(BASE)
                .wrapping_add(*entering)
                .wrapping_sub(leaving.wrapping_mul(self.leaving));
            emit(mix(sum));
        }
    }

    /// The shingles of a document, in place of what `out` holds: its windows, or all of it if it is shorter than one.
    pub fn shingles(&self, units: &[u64], out: &mut Vec<u64>) {
        out.clear();
        if units.len() < self.size {
            out.extend((!units.is_empty()).then(|| window_hash(units)));
        } else {
            out.reserve(units.len());
            self.each(units, |hash| out.push(hash));
        }
    }
}

/// The hash of these units as one window.
pub fn window_hash(units: &[u64]) -> u64 {
    mix(polynomial(units))
}

fn polynomial(units: &[u64]) -> u64 {
    units.iter().fold(0, |sum: u64, unit| sum.wrapping_mul(BASE).wrapping_add(*unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolled_hash_is_that_of_its_window() {
        let units: Vec<u64> = (0..40).map(|at| mix(at + 1)).collect();
        for size in [1, 2, 5, 13, 40] {
            let mut rolled = Vec::new();
            Windows::new(size).each(&units, |hash| rolled.push(hash));
            let plain: Vec<u64> = units.windows(size).map(window_hash).collect();
            assert_eq!(rolled, plain);
        }
    }

    #[test]
    fn short_documents_have_one_shingle() {
        let mut out = vec![7];
        Windows::new(5).shingles(&[], &mut out);
        assert!(out.is_empty());
        Windows::new(5).shingles(&[1, 2], &mut out);
        assert_eq!(out, [window_hash(&[1, 2])]);
        Windows::new(5).shingles(&[1, 2, 3, 4, 5, 6], &mut out);
        assert_eq!(out, [window_hash(&[1, 2, 3, 4, 5]), window_hash(&[2, 3, 4, 5, 6])]);
    }
}
