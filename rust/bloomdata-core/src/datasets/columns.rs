//! What a sample is for a model: inputs, labels, which labels count, positions, where documents start.
//!
//! Origin: `GPTDataset.__getitem__` and `_get_ltor_masks_and_position_ids` of `megatron/core/datasets/gpt_dataset.py`
//! (0.16.1). Instead of a square mask, boundaries are given: `cu_seqlens`.

use crate::error::{Error, Result};
use crate::formats::token_pair::Token;

/// How columns are made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnOptions {
    /// Token that ends a document. Without it, documents start where sequences do in the files.
    pub eod_token_id: Option<i64>,
    /// Token that fills up samples: labels that are it do not count; it becomes 0.
    pub pad_token_id: i64,
    /// Whether labels of ends of documents do not count. (The label of the token that *is* an end, as Megatron does it.)
    pub eod_mask_loss: bool,
    /// Whether positions start anew in each document.
    pub reset_position_ids: bool,
    /// Whether `cu_seqlens` has the starts of documents, else those of rows only.
    pub reset_attention_mask: bool,
    /// Label where the loss does not count.
    pub ignore_index: Option<i64>,
}

impl ColumnOptions {
    /// # Errors
    /// `eod_mask_loss` without a token.
    pub fn validate(&self) -> Result<()> {
        if self.eod_mask_loss && self.eod_token_id.is_none() {
            return Err(Error::config("eod_mask_loss", "needs eod_token_id"));
        }
        Ok(())
    }
}

/// Rows of one batch to be filled, each `sequence_length` wide (`cu_seqlens` grows).
#[derive(Debug)]
pub struct Columns<'batch, T> {
    /// Tokens.
    pub input_ids: Option<&'batch mut [T]>,
    /// The next token of each.
    pub labels: Option<&'batch mut [T]>,
    /// 1 where the label counts, else 0.
    pub loss_mask: Option<&'batch mut [f32]>,
    /// Place of each token in its document or in the sample.
    pub position_ids: Option<&'batch mut [T]>,
    /// Where rows and documents start among all tokens of the batch, and how many tokens these are.
    pub cu_seqlens: Option<&'batch mut Vec<i32>>,
}

impl<T: Token> Columns<'_, T> {
    /// Checks that every column holds `num_rows`.
    ///
    /// # Errors
    /// One that does not.
    pub fn check(&self, num_rows: usize, length: usize) -> Result<()> {
        let widths = [
            ("input_ids", self.input_ids.as_deref().map(<[T]>::len)),
            ("labels", self.labels.as_deref().map(<[T]>::len)),
            ("loss_mask", self.loss_mask.as_deref().map(<[f32]>::len)),
            ("position_ids", self.position_ids.as_deref().map(<[T]>::len)),
        ];
        let wanted = num_rows.checked_mul(length).filter(|&tokens| i32::try_from(tokens).is_ok());
        let wanted = wanted.ok_or_else(|| {
            Error::config("indices", format!("a batch of {num_rows} x {length} tokens is over 2^31"))
        })?;
        for (name, found) in widths {
            if let Some(found) = found
                && found != wanted
            {
                return Err(Error::mismatch(format!("{name}: number of elements"), wanted, found));
            }
        }
        Ok(())
    }

    /// Whether rows need to know where sequences start.
    pub fn needs_starts(&self, options: &ColumnOptions) -> bool {
        options.eod_token_id.is_none()
            && ((self.cu_seqlens.is_some() && options.reset_attention_mask)
                || (self.position_ids.is_some() && options.reset_position_ids))
    }

    /// Fills one row. `text` are the sample's tokens, `length` of them or one more; `starts` is where sequences start in
    /// it, and gets where documents do.
    pub fn fill(
        &mut self,
        row: usize,
        length: usize,
        text: &[T],
        starts: &mut Vec<usize>,
        options: &ColumnOptions,
    ) {
        let (pad, zero) = (T::try_from(options.pad_token_id).ok(), T::default());
        let inputs = &text[..length];
        let eod = options.eod_token_id.map(|token| T::try_from(token).ok());
        if let Some(eod) = eod {
            starts.clear();
            let ends = inputs.iter().enumerate().filter(|(_, token)| Some(**token) == eod);
            starts.extend(ends.map(|(at, _)| at + 1));
        }
        starts.retain(|&start| start > 0 && start < length);
        let within = row * length..(row + 1) * length;
        if let Some(loss_mask) = &mut self.loss_mask {
            let loss_mask = &mut loss_mask[within.clone()];
            loss_mask.fill(1.0);
            each_masked(inputs, text, pad, eod.flatten().filter(|_| options.eod_mask_loss), |at| {
                loss_mask[at] = 0.0;
            });
        }
        if let Some(labels) = &mut self.labels {
            let labels = &mut labels[within.clone()];
            labels[..text.len() - 1].copy_from_slice(&text[1..]);
            // Without an extra token, the last label is padding.
            labels[text.len() - 1..].fill(zero);
            if let Some(pad) = pad {
                replace(labels, pad, zero);
            }
            if let Some(ignored) = options.ignore_index.and_then(|label| T::try_from(label).ok()) {
                let eod = eod.flatten().filter(|_| options.eod_mask_loss);
                each_masked(inputs, text, pad, eod, |at| labels[at] = ignored);
            }
        }
        if let Some(input_ids) = &mut self.input_ids {
            let input_ids = &mut input_ids[within.clone()];
            input_ids.copy_from_slice(inputs);
            if let Some(pad) = pad {
                replace(input_ids, pad, zero);
            }
        }
        if let Some(position_ids) = &mut self.position_ids {
            let mut rest = &mut position_ids[within];
            let mut start = 0;
            let resets = if options.reset_position_ids { starts.as_slice() } else { &[] };
            for &end in resets.iter().chain([&length]) {
                let (here, behind) = rest.split_at_mut(end - start);
                for (place, at) in here.iter_mut().zip(0_i32..) {
                    *place = at.into();
                }
                (rest, start) = (behind, end);
            }
        }
        if let Some(cu_seqlens) = &mut self.cu_seqlens {
            // Batches have fewer than 2^31 tokens: checked.
            let bound = |at: usize| i32::try_from(row * length + at).unwrap_or(i32::MAX);
            cu_seqlens.push(bound(0));
            let starts = if options.reset_attention_mask { starts.as_slice() } else { &[] };
            cu_seqlens.extend(starts.iter().map(|&start| bound(start)));
        }
    }
}

fn replace<T: Copy + PartialEq>(items: &mut [T], from: T, to: T) {
    for item in items {
        *item = if *item == from { to } else { *item };
    }
}

/// Calls `mask` for every place whose label does not count.
fn each_masked<T: Token>(
    inputs: &[T],
    text: &[T],
    pad: Option<T>,
    eod: Option<T>,
    mut mask: impl FnMut(usize),
) {
    if eod.is_some() {
        inputs.iter().enumerate().filter(|(_, token)| Some(**token) == eod).for_each(|(at, _)| mask(at));
    }
    // A pad below zero is in no file: only where a sample was filled up, at its end.
    if pad.is_some() {
        text[1..].iter().enumerate().filter(|(_, token)| Some(**token) == pad).for_each(|(at, _)| mask(at));
    }
    (text.len() - 1..inputs.len()).for_each(mask);
}
