//! Bands of signatures: two documents become a candidate pair if all rows of one band are equal.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{Error, Result};
use crate::token::double;

/// The least chance with which a pair at the threshold is to become a candidate.
const WANTED: f64 = 0.99;

/// How signatures are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bands {
    /// Bands.
    pub bands: usize,
    /// Slots of each.
    pub rows: usize,
}

impl Bands {
    /// The most rows for which a pair at the threshold becomes a candidate with a chance of 0.99.
    pub fn for_threshold(threshold: f64, num_perm: usize) -> Self {
        let cuts = (1..=num_perm).rev().map(|rows| Self { bands: num_perm / rows, rows });
        cuts.into_iter()
            .find(|bands| bands.chance(threshold) >= WANTED)
            .unwrap_or(Self { bands: num_perm, rows: 1 })
    }

    /// The bands that a user asks for.
    ///
    /// # Errors
    /// One number without the other, or more slots than a signature has.
    pub fn choose(
        threshold: f64,
        num_perm: usize,
        bands: Option<usize>,
        rows: Option<usize>,
    ) -> Result<Self> {
        let (Some(bands), Some(rows)) = (bands, rows) else {
            if bands.is_some() || rows.is_some() {
                return Err(Error::config("bands", "expected bands and rows together, got one of them"));
            }
            return Ok(Self::for_threshold(threshold, num_perm));
        };
        if bands == 0 || rows == 0 || bands.saturating_mul(rows) > num_perm {
            let reason = format!(
                "expected bands times rows from 1 to num_perm = {num_perm}, got {bands} times {rows}"
            );
            return Err(Error::config("bands", reason));
        }
        Ok(Self { bands, rows })
    }

    /// The chance that a pair of this similarity becomes a candidate: the S-curve.
    pub fn chance(&self, similarity: f64) -> f64 {
        1.0 - (1.0 - similarity.powf(double(self.rows as u64))).powf(double(self.bands as u64))
    }

    /// The key of a band of a signature.
    #[inline]
    pub fn key(&self, signature: &[u8], band: usize) -> u64 {
        xxh3_64_with_seed(&signature[2 * self.rows * band..2 * self.rows * (band + 1)], band as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_rows_are_taken_that_find_99_of_100() {
        for (threshold, bands, rows) in
            [(0.7, 32, 4), (0.75, 25, 5), (0.8, 21, 6), (0.85, 16, 8), (0.9, 12, 10)]
        {
            assert_eq!(Bands::for_threshold(threshold, 128), Bands { bands, rows });
        }
        assert_eq!(Bands::for_threshold(0.01, 128), Bands { bands: 128, rows: 1 });
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert_eq!(Bands::choose(0.8, 128, Some(9), Some(13)).unwrap(), Bands { bands: 9, rows: 13 });
        assert!(Bands::choose(0.8, 128, Some(10), Some(13)).is_err());
        assert!(Bands::choose(0.8, 128, Some(0), Some(13)).is_err());
        assert!(Bands::choose(0.8, 128, None, Some(13)).is_err());
    }
}
