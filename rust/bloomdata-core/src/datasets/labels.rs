//! Tokens and their types -> labels, loss weights, positions, and the boundaries of documents.
//!
//! A document starts at the start of a row, after a token of type [`SEPARATOR`] or an end-of-document token, and where
//! padding starts or ends. What is trained: separators and completions with weight 1, prompts with a weight of the
//! caller's choice, padding never, and never the first token of a document. A label is [`IGNORED`] exactly where its
//! weight is 0.
//!
//! Origin: loss by token type as in the training of `BLOOMChat` (BC-11); the options about ends of documents as in Megatron's
//! `get_ltor_masks_and_position_ids` (AS-17), where the defaults are the opposite of ours.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::packing::types::{COMPLETION, PADDING, PROMPT, SEPARATOR};
use crate::token::{TokenDtype, index, signed};

/// Label of a position that is not trained on, as the loss functions of torch expect it.
pub const IGNORED: i32 = -100;

/// How rows become samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches, named as the tools name them")]
pub struct LabelRules {
    /// Loss weight of targets in prompts.
    pub prompt_loss_weight: f32,
    /// Token that ends a document, besides those of type separator.
    pub eod_token_id: Option<i32>,
    /// The first token of a document is no target.
    pub eod_mask_loss: bool,
    /// Positions start anew with every document.
    pub reset_position_ids: bool,
    /// Documents are boundaries in `cu_seqlens`; else only rows are.
    pub reset_attention_mask: bool,
    /// `labels[i]` is the token after `input_ids[i]`; else token `i` itself, for models that shift by themselves.
    pub shift_labels: bool,
    /// Integers of 8 bytes, else of 4.
    pub wide: bool,
    /// Batches have positions.
    pub positions: bool,
    /// Batches have loss weights.
    pub weights: bool,
}

impl LabelRules {
    /// Checks what can be wrong.
    ///
    /// # Errors
    /// A weight that is not a number of 0 or more.
    pub fn check(&self) -> Result<()> {
        if self.prompt_loss_weight.is_finite() && self.prompt_loss_weight >= 0.0 {
            return Ok(());
        }
        Err(Error::config("prompt_loss_weight", format!("{}, expected 0 or more", self.prompt_loss_weight)))
    }

    /// Bytes of one integer of a batch.
    pub const fn itemsize(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// Bytes of a batch of `num_tokens` tokens: ids, labels and positions as integers, weights as float32.
    pub const fn batch_bytes(&self, num_tokens: usize) -> usize {
        num_tokens * self.token_bytes()
    }

    /// Bytes of all that a batch says about a token.
    const fn token_bytes(&self) -> usize {
        self.itemsize() * (if self.positions { 3 } else { 2 }) + (if self.weights { 4 } else { 0 })
    }
}

/// The arrays of a batch, one after the other in one piece of memory.
#[derive(Debug)]
pub struct BatchBytes<'memory> {
    ids: &'memory mut [u8],
    labels: &'memory mut [u8],
    positions: &'memory mut [u8],
    weights: &'memory mut [u8],
}

impl<'memory> BatchBytes<'memory> {
    /// Cuts `memory`, which has [`LabelRules::batch_bytes`].
    pub fn new(memory: &'memory mut [u8], rules: &LabelRules) -> Self {
        let integers = memory.len() / rules.token_bytes() * rules.itemsize();
        let (ids, rest) = memory.split_at_mut(integers);
        let (labels, rest) = rest.split_at_mut(integers);
        let (positions, weights) = rest.split_at_mut(if rules.positions { integers } else { 0 });
        Self { ids, labels, positions, weights }
    }
}

/// Makes rows, one after the other; keeps its memory.
#[derive(Debug)]
pub struct RowMaker<'rules> {
    rules: &'rules LabelRules,
    /// 1 where a document starts; one more than the row has.
    starts: Vec<u8>,
    labels: Vec<i32>,
    /// What each token is as a target.
    roles: Vec<u8>,
    positions: Vec<i32>,
}

impl<'rules> RowMaker<'rules> {
    /// For rows of `length` tokens.
    pub fn new(rules: &'rules LabelRules, length: usize) -> Self {
        Self {
            rules,
            starts: vec![0; length + 1],
            labels: vec![IGNORED; length + 1],
            roles: vec![0; length + 1],
            positions: vec![0; length],
        }
    }

    /// Makes row `number` of a batch from its tokens and their types (see [`narrow_types`]), and appends its boundaries
    /// to `cu_seqlens`, without the end of the last document. No types: all is trained on.
    pub fn make(
        &mut self,
        number: usize,
        ids: &[i32],
        types: Option<&[u8]>,
        out: &mut BatchBytes<'_>,
        cu_seqlens: &mut Vec<i32>,
    ) {
        let length = ids.len();
        self.find_starts(ids, types);
        self.weigh(ids, types);
        let (starts, rules) = (&self.starts[..length], self.rules);
        let row = signed(number * length);
        if rules.reset_attention_mask {
            cu_seqlens.extend(memchr::memchr_iter(1, starts).map(|at| row + signed(at)));
        } else {
            cu_seqlens.push(row);
        }
        let shift = usize::from(rules.shift_labels);
        let integers = number * length * rules.itemsize()..(number + 1) * length * rules.itemsize();
        store(ids, rules.wide, &mut out.ids[integers.clone()]);
        store(&self.labels[shift..shift + length], rules.wide, &mut out.labels[integers.clone()]);
        if rules.positions {
            fill_positions(starts, rules.reset_position_ids, &mut self.positions);
            store(&self.positions, rules.wide, &mut out.positions[integers]);
        }
        if rules.weights {
            let floats = &mut out.weights[number * length * 4..(number + 1) * length * 4];
            let of_prompt = rules.prompt_loss_weight;
            for (slot, &role) in floats.as_chunks_mut::<4>().0.iter_mut().zip(&self.roles[shift..]) {
                let weight = if role == PROMPTED { of_prompt } else { f32::from(role) };
                *slot = weight.to_le_bytes();
            }
        }
    }

    fn find_starts(&mut self, ids: &[i32], types: Option<&[u8]>) {
        let starts = &mut self.starts[..=ids.len()];
        starts[0] = 1;
        let after = &mut starts[1..];
        if let Some(types) = types {
            let next = types.get(1..).unwrap_or_default();
            for ((slot, &here), &next) in after.iter_mut().zip(types).zip(next) {
                *slot = u8::from(here == LAST) | (u8::from(here == PADDED) ^ u8::from(next == PADDED));
            }
        } else {
            after.fill(0);
        }
        if let Some(eod) = self.rules.eod_token_id {
            for (slot, &id) in after.iter_mut().zip(ids) {
                *slot |= u8::from(id == eod);
            }
        }
    }

    /// Finds each target's role, and the labels that follow from it.
    fn weigh(&mut self, ids: &[i32], types: Option<&[u8]>) {
        let of_prompt = if self.rules.prompt_loss_weight > 0.0 { PROMPTED } else { 0 };
        let roles = &mut self.roles[..ids.len()];
        match types {
            None => roles.fill(1),
            Some(types) => {
                for (role, &kind) in roles.iter_mut().zip(types) {
                    // Completions and separators have an odd code.
                    *role = (kind & 1) | if kind == 0 { of_prompt } else { 0 };
                }
            }
        }
        if self.rules.eod_mask_loss {
            for (role, &start) in roles.iter_mut().zip(&self.starts) {
                *role = if start == 0 { *role } else { 0 };
            }
        }
        // Nothing is before it from which it could be told.
        if let Some(first) = roles.first_mut() {
            *first = 0;
        }
        for ((label, &role), &id) in self.labels.iter_mut().zip(&*roles).zip(ids) {
            *label = if role == 0 { IGNORED } else { id };
        }
    }
}

/// Roles of targets besides 0, not trained, and 1, trained with weight 1: trained with the weight of prompts.
const PROMPTED: u8 = 2;
/// Codes of token types in a byte.
const LAST: u8 = 3;
const PADDED: u8 = 2;
/// The highest token type.
pub const MAX_TYPE: u8 = 3;
const _: () =
    assert!(SEPARATOR == 3 && PADDING == 2 && COMPLETION == 1 && PROMPT == 0, "roles depend on the codes");

/// Token types as bytes.
///
/// # Errors
/// Index and code of the first invalid token type.
pub fn narrow_types(
    bytes: &[u8],
    dtype: TokenDtype,
    out: &mut [u8],
) -> std::result::Result<(), (usize, i64)> {
    let highest = match dtype {
        TokenDtype::Uint8 => {
            out.copy_from_slice(bytes);
            bytes.iter().fold(0, |codes, &code| codes | u32::from(code))
        }
        TokenDtype::Uint16 => out.iter_mut().zip(bytes.as_chunks::<2>().0).fold(0, |codes, (slot, &code)| {
            *slot = code[0];
            codes | u32::from(u16::from_le_bytes(code))
        }),
        TokenDtype::Int32 => out.iter_mut().zip(bytes.as_chunks::<4>().0).fold(0, |codes, (slot, &code)| {
            *slot = code[0];
            codes | u32::from_le_bytes(code)
        }),
    };
    if highest <= u32::from(MAX_TYPE) {
        return Ok(());
    }
    let codes = bytes.chunks_exact(dtype.itemsize()).map(|code| {
        let mut whole = [0; 4];
        whole[..code.len()].copy_from_slice(code);
        i64::from(i32::from_le_bytes(whole))
    });
    let wrong = codes.enumerate().find(|&(_, code)| !(0..=i64::from(MAX_TYPE)).contains(&code));
    Err(wrong.unwrap_or((0, i64::from(highest))))
}

/// Positions inside documents, or inside the row.
fn fill_positions(starts: &[u8], resets: bool, positions: &mut [i32]) {
    if !resets {
        for (position, slot) in (0..).zip(positions) {
            *slot = position;
        }
        return;
    }
    let mut begin = 0;
    let ends = memchr::memchr_iter(1, starts).skip(1).chain([starts.len()]);
    for end in ends {
        for (position, slot) in (0..).zip(&mut positions[begin..end]) {
            *slot = position;
        }
        begin = end;
    }
}

fn store(from: &[i32], wide: bool, to: &mut [u8]) {
    if wide {
        for (slot, &value) in to.as_chunks_mut::<8>().0.iter_mut().zip(from) {
            *slot = i64::from(value).to_le_bytes();
        }
    } else {
        for (slot, &value) in to.as_chunks_mut::<4>().0.iter_mut().zip(from) {
            *slot = value.to_le_bytes();
        }
    }
}

/// Makes a batch of rows that are in memory: `ids` and `types` are (rows, `length`). Returns `cu_seqlens`.
///
/// # Errors
/// Arrays that do not fit each other, or an invalid token type.
pub fn make_rows(
    rules: &LabelRules,
    ids: &[i32],
    types: Option<&[i32]>,
    length: u64,
    memory: &mut [u8],
) -> Result<Vec<i32>> {
    let length = index(length);
    let fits =
        length > 0 && ids.len().is_multiple_of(length) && types.is_none_or(|types| types.len() == ids.len());
    if !fits || memory.len() != rules.batch_bytes(ids.len()) {
        return Err(Error::config("types", "as many as tokens are needed, in whole rows"));
    }
    check_batch(ids.len())?;
    let mut out = BatchBytes::new(memory, rules);
    let mut maker = RowMaker::new(rules, length);
    let mut kinds = vec![0; length];
    let mut cu_seqlens = Vec::new();
    for (number, row) in ids.chunks_exact(length).enumerate() {
        let types = match types {
            Some(types) => {
                let codes =
                    types[number * length..(number + 1) * length].iter().flat_map(|code| code.to_le_bytes());
                let codes: Vec<u8> = codes.collect();
                narrow_types(&codes, TokenDtype::Int32, &mut kinds).map_err(|(at, code)| {
                    let reason =
                        format!("row {number}: token {at} has type {code}, expected 0 to {MAX_TYPE}");
                    Error::config("token_type_ids", reason)
                })?;
                Some(&kinds[..])
            }
            None => None,
        };
        maker.make(number, row, types, &mut out, &mut cu_seqlens);
    }
    cu_seqlens.push(signed(ids.len()));
    Ok(cu_seqlens)
}

/// `cu_seqlens` are int32, as attention kernels take them.
pub fn check_batch(num_tokens: usize) -> Result<()> {
    if i32::try_from(num_tokens).is_ok() {
        return Ok(());
    }
    Err(Error::config("indices", format!("a batch of {num_tokens} tokens; at most 2^31 - 1 are supported")))
}

/// Rules for tests: everything that can be made is made.
#[cfg(test)]
pub(super) fn plain_rules() -> LabelRules {
    LabelRules {
        prompt_loss_weight: 0.0,
        eod_token_id: None,
        eod_mask_loss: true,
        reset_position_ids: true,
        reset_attention_mask: true,
        shift_labels: true,
        wide: false,
        positions: true,
        weights: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(rules: &LabelRules, ids: &[i32], types: &[i32]) -> (Vec<Vec<i32>>, Vec<i32>) {
        let mut memory = vec![0; rules.batch_bytes(ids.len())];
        let cu_seqlens = make_rows(rules, ids, Some(types), ids.len() as u64, &mut memory).unwrap();
        let integers =
            |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|&b| i32::from_le_bytes(b)).collect();
        (memory.chunks(4 * ids.len()).map(integers).collect(), cu_seqlens)
    }

    #[test]
    fn a_row_with_two_documents_and_padding() {
        // p p c sep | p c sep | pad
        let (columns, cu_seqlens) =
            columns(&plain_rules(), &[1, 2, 3, 4, 5, 6, 7, 8], &[0, 0, 1, 3, 0, 1, 3, 2]);
        assert_eq!(columns[1], [-100, 3, 4, -100, 6, 7, -100, -100]);
        assert_eq!(columns[2], [0, 1, 2, 3, 0, 1, 2, 0]);
        assert_eq!(cu_seqlens, [0, 4, 7, 8]);
        let weights: Vec<f32> = columns[3].iter().map(|bits| f32::from_bits(bits.cast_unsigned())).collect();
        assert_eq!(weights, [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn an_unknown_token_type_is_refused() {
        let mut memory = vec![0; plain_rules().batch_bytes(2)];
        assert!(make_rows(&plain_rules(), &[1, 2], Some(&[1, 4]), 2, &mut memory).is_err());
        assert!(make_rows(&plain_rules(), &[1, 2], Some(&[-1, 1]), 2, &mut memory).is_err());
        assert!(make_rows(&plain_rules(), &[1, 2], Some(&[1]), 2, &mut memory).is_err());
    }
}
