//! Megatron's order of several data sets: each sample comes from the one that is furthest behind its share.
//!
//! Origin: `build_blending_indices` and `build_exhaustive_blending_indices` of `megatron/core/datasets/helpers.cpp`
//! (0.16.1), behaviour only: for sample i, the data set with the largest `weight x max(i, 1) - count` in double
//! precision, the first of equals. Here, counts are doubles (exact to 2^53) and errors are made eight at a time.

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::token::{double, index};

const LANES: usize = 8;
/// Samples between looks at the stop flag.
const CHECKED: usize = 1 << 16;
/// Megatron-core's limit: data sets are counted in int16.
pub const MAX_DATASETS: usize = 32_766;

/// Shares and counts; as many places as are a multiple of the lanes, those that may not be chosen at minus infinity.
struct Shares {
    weights: Vec<f64>,
    counts: Vec<f64>,
    errors: Vec<f64>,
}

impl Shares {
    fn new(weights: Vec<f64>) -> Self {
        let (len, full) = (weights.len(), weights.len().next_multiple_of(LANES));
        let mut shares = Self { weights, counts: vec![0.0; len], errors: vec![0.0; full] };
        shares.weights.resize(full, 0.0);
        shares.counts.resize(full, f64::INFINITY);
        shares
    }

    /// The data set that is furthest behind.
    fn furthest_behind(&mut self, sample: f64) -> usize {
        let mut largest = [f64::NEG_INFINITY; LANES];
        let lanes = self.weights.as_chunks::<LANES>().0.iter().zip(self.counts.as_chunks::<LANES>().0);
        for (errors, (weights, counts)) in self.errors.as_chunks_mut::<LANES>().0.iter_mut().zip(lanes) {
            for lane in 0..LANES {
                let error = weights[lane] * sample - counts[lane];
                errors[lane] = error;
                largest[lane] = if error > largest[lane] { error } else { largest[lane] };
            }
        }
        let largest = largest.into_iter().fold(f64::NEG_INFINITY, f64::max);
        #[allow(clippy::float_cmp, reason = "the largest is one of them")]
        self.errors.iter().position(|&error| error == largest).unwrap_or(0)
    }

    /// Fills the indices; `take` says whether a data set has no more, given how many were taken of it.
    fn fill(
        &mut self,
        dataset_index: &mut [i16],
        dataset_sample_index: &mut [i64],
        progress: &Progress,
        is_spent: impl Fn(usize, i64) -> bool,
    ) -> Result<Vec<i64>> {
        let mut taken = vec![0_i64; self.weights.len()];
        let places = dataset_index.iter_mut().zip(dataset_sample_index.iter_mut());
        for (sample, (dataset, dataset_sample)) in places.enumerate() {
            if sample % CHECKED == 0 {
                progress.check()?;
            }
            let chosen = self.furthest_behind(double(sample.max(1) as u64));
            *dataset = i16::try_from(chosen).unwrap_or(i16::MAX);
            *dataset_sample = taken[chosen];
            taken[chosen] += 1;
            self.counts[chosen] += 1.0;
            if is_spent(chosen, taken[chosen]) {
                self.counts[chosen] = f64::INFINITY;
            }
        }
        Ok(taken)
    }
}

/// Indices of a blend by weight: which data set sample i comes from, and which of its samples that is. Returns how many
/// samples are taken of each.
///
/// # Errors
/// No data sets, too many, or a weight that is not above zero; outputs of different length; or interrupted.
pub fn blend(
    weights: &[f64],
    dataset_index: &mut [i16],
    dataset_sample_index: &mut [i64],
    progress: &Progress,
) -> Result<Vec<i64>> {
    check(weights.len(), dataset_index.len(), dataset_sample_index.len())?;
    if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
        return Err(Error::config("weights", format!("{weight} is not above zero")));
    }
    let mut taken =
        Shares::new(weights.to_vec()).fill(dataset_index, dataset_sample_index, progress, |_, _| false)?;
    taken.truncate(weights.len());
    Ok(taken)
}

/// Indices of a blend that takes every sample of every data set once.
///
/// # Errors
/// As [`blend`], for sizes; outputs that are not as long as all together.
pub fn blend_exhaustively(
    sizes: &[u64],
    dataset_index: &mut [i16],
    dataset_sample_index: &mut [i64],
    progress: &Progress,
) -> Result<Vec<i64>> {
    check(sizes.len(), dataset_index.len(), dataset_sample_index.len())?;
    let total = sizes.iter().try_fold(0_u64, |sum, &size| sum.checked_add(size));
    let total = total.filter(|&total| i64::try_from(total).is_ok() && index(total) == dataset_index.len());
    let total = total.ok_or_else(|| Error::config("sizes", "do not sum up to the size of the index"))?;
    if sizes.contains(&0) {
        return Err(Error::config("sizes", "a data set has no samples"));
    }
    let weights = sizes.iter().map(|&size| double(size) / double(total)).collect();
    let mut taken =
        Shares::new(weights).fill(dataset_index, dataset_sample_index, progress, |chosen, taken| {
            taken.cast_unsigned() == sizes[chosen]
        })?;
    taken.truncate(sizes.len());
    Ok(taken)
}

fn check(num_datasets: usize, num_samples: usize, also_samples: usize) -> Result<()> {
    if !(1..=MAX_DATASETS).contains(&num_datasets) {
        return Err(Error::config("datasets", format!("{num_datasets} is outside 1 to {MAX_DATASETS}")));
    }
    if num_samples != also_samples {
        return Err(Error::mismatch("number of samples", num_samples, also_samples));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_go_around() {
        let (mut datasets, mut samples) = ([0; 6], [0; 6]);
        blend(&[0.5, 0.5], &mut datasets, &mut samples, &Progress::default()).unwrap();
        assert_eq!((datasets, samples), ([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2]));
    }

    #[test]
    fn every_sample_is_taken_once() {
        let sizes = [3, 1, 40, 7, 1, 1, 2, 2, 90];
        let (mut datasets, mut samples) = ([0; 147], [0; 147]);
        blend_exhaustively(&sizes, &mut datasets, &mut samples, &Progress::default()).unwrap();
        let mut pairs: Vec<(i16, i64)> = datasets.into_iter().zip(samples).collect();
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), 147);
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        let (mut datasets, mut samples) = ([0; 2], [0; 2]);
        for weights in
            [vec![], vec![0.5, 0.0], vec![f64::NAN], vec![f64::INFINITY], vec![1.0; MAX_DATASETS + 1]]
        {
            assert!(blend(&weights, &mut datasets, &mut samples, &Progress::default()).is_err());
        }
        for sizes in [vec![], vec![2, 0], vec![1], vec![u64::MAX, 3]] {
            assert!(blend_exhaustively(&sizes, &mut datasets, &mut samples, &Progress::default()).is_err());
        }
    }
}
