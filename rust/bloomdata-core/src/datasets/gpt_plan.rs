//! Epochs and samples of Megatron's order: pure arithmetic, before anything is built.
//!
//! Origin: `GPTDataset._build_document_sample_shuffle_indices` and `_get_num_epochs` of
//! `megatron/core/datasets/gpt_dataset.py` (0.16.1), and the number of samples of `build_sample_idx` in `helpers.cpp`.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::token::{double, whole};

/// What determines the order, besides the data.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptOptions {
    /// Tokens of a sample that a model sees.
    pub sequence_length: u64,
    /// Samples that are wanted; as many as one epoch has if `None`.
    pub num_samples: Option<u64>,
    /// Of the random numbers.
    pub seed: u32,
    /// The last epoch is shuffled by itself when fewer than this share of it is needed.
    pub separate_threshold: f64,
    /// Samples have one more token, so that labels are a sample shifted by one.
    pub add_extra_token: bool,
    /// Whether tokens after the last full sample are dropped; else they become a sample that is padded.
    pub drop_last_partial_sample: bool,
}

impl GptOptions {
    /// Tokens beyond `sequence_length`: 0 or 1.
    pub fn extra(&self) -> u64 {
        u64::from(self.add_extra_token)
    }

    /// # Errors
    /// A sequence length outside 1 to 2^31 - 2, or an invalid share.
    pub fn validate(&self) -> Result<()> {
        if !(1..=0x7FFF_FFFE).contains(&self.sequence_length) {
            let reason = format!("{} is outside 1 to 2147483646", self.sequence_length);
            return Err(Error::config("sequence_length", reason));
        }
        if !(0.0..=1.0).contains(&self.separate_threshold) {
            let reason = format!("{} is outside 0 to 1", self.separate_threshold);
            return Err(Error::config("separate_threshold", reason));
        }
        Ok(())
    }

    /// Full samples, and one that is not full if it is kept, of a row of tokens.
    pub fn samples_of(&self, num_tokens: u64) -> u64 {
        let usable = num_tokens.saturating_sub(self.extra());
        if self.drop_last_partial_sample {
            usable / self.sequence_length
        } else {
            usable.div_ceil(self.sequence_length)
        }
    }
}

/// The numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptPlan {
    /// Sequences of the split.
    pub sequences: Range<u64>,
    /// Tokens of the split.
    pub tokens_per_epoch: u64,
    /// How often each sequence occurs.
    pub num_epochs: u64,
    /// Samples in all: as many as wanted, or more.
    pub num_samples: u64,
    /// Samples that are shuffled first, where the last epoch is separate.
    pub samples_before_last_epoch: Option<u64>,
}

impl GptPlan {
    /// Plans.
    ///
    /// # Errors
    /// A split without tokens, or numbers beyond what indices hold.
    pub fn new(options: &GptOptions, sequences: Range<u64>, tokens_per_epoch: u64) -> Result<Self> {
        options.validate()?;
        if tokens_per_epoch == 0 {
            let reason = format!("sequences {} to {} have no tokens", sequences.start, sequences.end);
            return Err(Error::config("split", reason));
        }
        let too_many = || Error::config("num_samples", "more tokens than 63 bits can count");
        let (length, extra) = (options.sequence_length, options.extra());
        let num_epochs = match options.num_samples {
            None => 1,
            Some(wanted) => {
                let tokens = wanted.checked_mul(length).and_then(|tokens| tokens.checked_add(extra));
                tokens.ok_or_else(too_many)?.div_ceil(tokens_per_epoch).max(1)
            }
        };
        let num_tokens =
            num_epochs.checked_mul(tokens_per_epoch).filter(|&tokens| i64::try_from(tokens).is_ok());
        let num_tokens = num_tokens.ok_or_else(too_many)?;
        if sequences.end > u64::from(i32::MAX.cast_unsigned()) {
            let reason = format!("{} sequences, Megatron's document index holds 2147483647", sequences.end);
            return Err(Error::config("path", reason));
        }
        let num_samples = if options.drop_last_partial_sample {
            options.samples_of(num_tokens)
        } else {
            padded_samples(num_tokens - extra, length)
        };
        let mut samples_before_last_epoch = None;
        if num_epochs > 1 {
            let before = ((num_epochs - 1) * tokens_per_epoch - extra) / length;
            let of_last = options.num_samples.unwrap_or_default().saturating_sub(before);
            let per_epoch = (tokens_per_epoch - extra) / length;
            if double(of_last) < (options.separate_threshold * double(per_epoch)).floor() {
                samples_before_last_epoch = Some(before);
            }
        }
        Ok(Self { sequences, tokens_per_epoch, num_epochs, num_samples, samples_before_last_epoch })
    }

    /// Entries of the document index.
    ///
    /// # Errors
    /// More than memory can ever hold.
    pub fn num_documents(&self) -> Result<u64> {
        let documents = self.num_epochs.checked_mul(self.sequences.end - self.sequences.start);
        documents
            .filter(|&documents| documents < 1 << 48)
            .ok_or_else(|| Error::config("num_samples", format!("{} epochs are too many", self.num_epochs)))
    }
}

/// Samples including the one that is not full. Megatron-core divides in single precision, which rounds: beyond 2^24
/// tokens it can lose a few samples, which we do too; where it would invent some it aborts, and we do not.
fn padded_samples(usable_tokens: u64, sequence_length: u64) -> u64 {
    #[allow(clippy::cast_precision_loss, reason = "the rounding is what must be matched")]
    let rounded = (usable_tokens as f32 / sequence_length as f32).ceil();
    whole(f64::from(rounded)).min(usable_tokens.div_ceil(sequence_length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(num_samples: u64) -> GptOptions {
        GptOptions {
            sequence_length: 10,
            num_samples: Some(num_samples),
            seed: 0,
            separate_threshold: 0.8,
            add_extra_token: true,
            drop_last_partial_sample: true,
        }
    }

    #[test]
    fn the_last_epoch_is_separate_when_little_of_it_is_needed() {
        // 101 tokens are 10 samples of 10, two epochs 20, three 30.
        for (wanted, epochs, separate) in [
            (0, 1, None),
            (10, 1, None),
            (11, 2, Some(10)),
            (17, 2, Some(10)),
            (18, 2, None),
            (21, 3, Some(20)),
        ] {
            let plan = GptPlan::new(&options(wanted), 0..5, 101).unwrap();
            assert_eq!((plan.num_epochs, plan.samples_before_last_epoch), (epochs, separate), "{wanted}");
            assert!(plan.num_samples >= wanted);
        }
    }

    #[test]
    fn hostile_numbers_are_refused_without_an_allocation() {
        assert!(GptPlan::new(&options(u64::MAX), 0..5, 101).is_err());
        assert!(GptPlan::new(&options(1), 0..5, 0).is_err());
        let many = GptPlan::new(&options(1 << 50), 0..5, 1).unwrap();
        assert!(many.num_documents().is_err());
        assert!(GptPlan::new(&options(1), 0..1 << 31, 5).is_err());
    }

    #[test]
    fn partial_samples_are_counted_in_single_precision() {
        assert_eq!(padded_samples(21, 10), 3);
        assert_eq!(padded_samples(20, 10), 2);
        assert_eq!(padded_samples((1 << 24) + 1, 1), 1 << 24);
    }
}
