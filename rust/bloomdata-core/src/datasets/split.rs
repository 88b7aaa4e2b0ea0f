//! Split strings: `"969,30,1"` are shares of training, validation and test data.
//!
//! Origin: `parse_and_normalize_split` and `convert_split_vector_to_split_matrix` of
//! `megatron/core/datasets/blended_megatron_dataset_config.py` (0.16.1); for the older rule,
//! `get_train_valid_test_split_` of `megatron/data/dataset_utils.py` (bigscience Megatron-DeepSpeed, `AscendSpeed`).

use std::ops::Range;

use crate::error::{Error, Result};
use crate::token::{double, whole};

/// Which rule makes ranges of shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitRule {
    /// Megatron-core: each bound is rounded by itself; any characters may stand between the numbers.
    Core,
    /// Older: rounded widths are added up, and what is too much is taken from every bound after the first; `,` or `/`
    /// stand between the numbers, those after the third are dropped.
    Legacy,
}

/// Bounds of the three splits as shares of the whole; `None` where a split is empty.
///
/// # Errors
/// No numbers, too many, or none above zero.
pub fn split_matrix(text: &str) -> Result<[Option<(f64, f64)>; 3]> {
    let numbers: Vec<&str> = text
        .split(|character: char| !(character.is_ascii_digit() || character == '.'))
        .filter(|part| !part.is_empty())
        .collect();
    if numbers.len() > 3 {
        return Err(bad(text, "more than three numbers"));
    }
    let shares = shares(text, &numbers)?;
    let mut bounds = [0.0; 4];
    for (at, share) in shares.iter().enumerate() {
        bounds[at + 1] = bounds[at] + share;
    }
    Ok(std::array::from_fn(|at| (bounds[at + 1] > bounds[at]).then_some((bounds[at], bounds[at + 1]))))
}

/// The sequences of each split of `size` sequences.
///
/// # Errors
/// As [`split_matrix`].
pub fn split_ranges(text: &str, size: u64, rule: SplitRule) -> Result<[Range<u64>; 3]> {
    let round = |value: f64| whole(value.round_ties_even());
    if rule == SplitRule::Core {
        let matrix = split_matrix(text)?;
        return Ok(matrix.map(|bounds| {
            let (start, end) = bounds.unwrap_or_default();
            let (start, end) = (round(start * double(size)).min(size), round(end * double(size)).min(size));
            start..end.max(start)
        }));
    }
    let separator = if text.contains(',') { ',' } else { '/' };
    let numbers: Vec<&str> = text.split(separator).map(str::trim).take(3).collect();
    let mut bounds = [0_u64; 4];
    for (at, share) in shares(text, &numbers)?.iter().enumerate() {
        bounds[at + 1] = bounds[at] + round(share * double(size));
    }
    let last = bounds[3];
    for bound in &mut bounds[1..] {
        // The older code can go below zero here, and then repeats the last sequence: we do not.
        *bound = (*bound + size).saturating_sub(last);
    }
    Ok(std::array::from_fn(|at| bounds[at]..bounds[at + 1].max(bounds[at])))
}

/// The sequences of a range of shares, such as 0 to 0.95, of `size` sequences.
///
/// Origin: `get_split_by_range_` of bigscience Megatron-DeepSpeed.
///
/// # Errors
/// A range that is empty or not within 0 to 1.
pub fn range_of_shares((start, end): (f64, f64), size: u64) -> Result<Range<u64>> {
    if !(0.0 <= start && start < end && end <= 1.0) {
        let reason = format!("expected 0 <= start < end <= 1, got {start} to {end}");
        return Err(Error::config("split_range", reason));
    }
    let round = |share: f64| whole((share * double(size)).round_ties_even());
    Ok(round(start)..round(end))
}

fn shares(text: &str, numbers: &[&str]) -> Result<[f64; 3]> {
    let mut shares = [0.0_f64; 3];
    for (share, number) in shares.iter_mut().zip(numbers) {
        *share = number.parse().map_err(|_| bad(text, &format!("expected a number, got {number:?}")))?;
        if !share.is_finite() || *share < 0.0 {
            return Err(bad(text, &format!("expected a share of 0 or more, got {number:?}")));
        }
    }
    let sum = shares[0] + shares[1] + shares[2];
    if !(sum > 0.0 && sum.is_finite()) {
        return Err(bad(text, "at least one number must be above zero"));
    }
    Ok(shares.map(|share| share / sum))
}

fn bad(text: &str, reason: &str) -> Error {
    Error::config("split", format!("{text:?}: {reason}; expected shares such as \"969,30,1\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_shares_meet_and_are_rounded_to_even() {
        for (shares, range) in [((0.0, 0.95), 0..950), ((0.95, 1.0), 950..1000), ((0.0005, 0.0015), 0..2)] {
            assert_eq!(range_of_shares(shares, 1000).unwrap(), range);
        }
        for shares in [(1.0, 0.0), (0.5, 0.5), (0.0, 1.1), (-0.1, 1.0), (f64::NAN, 1.0), (0.0, f64::NAN)] {
            assert!(range_of_shares(shares, 10).is_err(), "{shares:?}");
        }
    }

    #[test]
    fn the_documented_example_splits_as_documented() {
        for rule in [SplitRule::Core, SplitRule::Legacy] {
            assert_eq!(split_ranges("969,30,1", 1000, rule).unwrap(), [0..969, 969..999, 999..1000]);
            assert_eq!(split_ranges("969/30/1", 1000, rule).unwrap(), [0..969, 969..999, 999..1000]);
            assert_eq!(
                split_ranges("100", 7, rule).unwrap(),
                [0..7, 7..7, 7..7].map(|range: Range<u64>| {
                    if rule == SplitRule::Core && range.start == 7 { 0..0 } else { range }
                })
            );
        }
    }

    #[test]
    fn halves_are_rounded_to_even() {
        assert_eq!(split_ranges("1,1", 5, SplitRule::Core).unwrap(), [0..2, 2..5, 0..0]);
        assert_eq!(split_ranges("1,1", 5, SplitRule::Legacy).unwrap(), [0..3, 3..5, 5..5]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "a", "0,0,0", "1,2,3,4", "1.2.3", "."] {
            assert!(split_matrix(text).is_err(), "{text}");
        }
        for text in ["", "0", "1,x", "-1,2", "nan", "inf,1"] {
            assert!(split_ranges(text, 9, SplitRule::Legacy).is_err(), "{text}");
        }
    }
}
