//! Megatron's sample index: where in the document index each sample starts.
//!
//! Row k is (place in the document index, offset in that document) of the first token of sample k; samples share their
//! last token with the first of the next one. Token k x L of the shuffled tokens is sought, so rows do not depend on the
//! rows before them: parts of the document index are walked in parallel once it is known how many tokens are before
//! each. Lengths are read once, in an order of chance, which is what takes the time.
//!
//! Origin: `build_sample_idx` of `megatron/core/datasets/helpers.cpp` (0.16.1), behaviour only.

use std::sync::{Condvar, Mutex};

use crossbeam_channel::bounded;

use crate::error::{Error, Result};
use crate::progress::Progress;

/// Documents of one part: their lengths stay in the second cache.
const PART: usize = 1 << 15;

/// An element: int32 or int64.
pub trait Entry: Copy + Default + Send + TryFrom<i64> {
    /// Appends it, little-endian.
    fn append_to(self, bytes: &mut Vec<u8>);
}
impl Entry for i32 {
    fn append_to(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}
impl Entry for i64 {
    fn append_to(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

/// What is sought.
#[derive(Debug, Clone, Copy)]
pub struct SampleOptions {
    /// Tokens of a sample without the extra one.
    pub sequence_length: u64,
    /// 1 if samples have one more token, else 0.
    pub extra: u64,
    /// Samples; the index has one row more.
    pub num_samples: u64,
}

/// Tokens before the parts, as far as they are known.
struct Starts {
    next_part: usize,
    tokens: u64,
    has_failed: bool,
}

/// Builds the index, (`num_samples` + 1) x 2, and hands out parts of it: the number of the first row, and rows. Parts come
/// in no order, each row once. `lengths` are little-endian int32, by sequence.
///
/// # Errors
/// A length below zero, a sequence that is not there, those of `keep`, or the run was interrupted.
pub fn build_sample_index<T: Entry>(
    lengths: &[[u8; 4]],
    documents: &[i32],
    options: SampleOptions,
    num_threads: usize,
    progress: &Progress,
    mut keep: impl FnMut(u64, &[T]) -> Result<()>,
) -> Result<()> {
    let rows = options.num_samples.saturating_add(1);
    keep(0, &[T::default(); 2])?;
    let num_parts = documents.len().div_ceil(PART);
    let starts = Mutex::new(Starts { next_part: 0, tokens: 0, has_failed: false });
    let (known, num_threads) = (Condvar::new(), num_threads.clamp(1, num_parts.max(1)));
    let mut found_rows = 1_u64;
    let done = std::thread::scope(|scope| {
        let (sender, receiver) = bounded::<Result<(u64, Vec<T>)>>(2 * num_threads);
        for thread in 0..num_threads {
            let (sender, starts, known) = (sender.clone(), &starts, &known);
            scope.spawn(move || {
                let mut part_lengths = Vec::with_capacity(PART);
                for part in (thread..num_parts).step_by(num_threads) {
                    let places = &documents[part * PART..documents.len().min((part + 1) * PART)];
                    let gathered = gather(lengths, places, &mut part_lengths).and_then(|sum| {
                        progress.check()?;
                        Ok(sum)
                    });
                    let start = take_turn(starts, known, part, gathered.as_ref().ok().copied());
                    let result = match (gathered, start) {
                        (Err(error), _) => Err(error),
                        (Ok(_), None) => return,
                        (Ok(_), Some(start)) => Ok(walk(&part_lengths, part * PART, start, options)),
                    };
                    let is_error = result.is_err();
                    if sender.send(result).is_err() || is_error {
                        // The receiver is gone: workers that wait for later parts must stop.
                        fail(starts, known);
                        return;
                    }
                }
            });
        }
        drop(sender);
        for message in receiver {
            let (first, part) = message?;
            found_rows += part.len() as u64 / 2;
            keep(first, &part)?;
        }
        Ok(())
    });
    done?;
    if found_rows + 1 == rows {
        // The last sample is not full: it ends with the last token of the last document.
        let last = documents.len().saturating_sub(1);
        let length = documents.last().map_or(0, |&document| length_of(lengths, document).unwrap_or_default());
        let offset = i64::from(length) - i64::from(options.extra == 1);
        keep(found_rows, &[entry(last as u64), T::try_from(offset).unwrap_or_default()])?;
        found_rows += 1;
    }
    if found_rows != rows {
        return Err(Error::Internal(format!("{found_rows} rows of the sample index, expected {rows}")));
    }
    Ok(())
}

/// Lets everybody know that there will be no further parts.
fn fail(starts: &Mutex<Starts>, known: &Condvar) {
    if let Ok(mut turn) = starts.lock() {
        turn.has_failed = true;
    }
    known.notify_all();
}

/// Waits until the tokens before a part are known, and says how many are before the next one.
fn take_turn(starts: &Mutex<Starts>, known: &Condvar, part: usize, sum: Option<u64>) -> Option<u64> {
    let mut turn = starts.lock().ok()?;
    while turn.next_part != part && !turn.has_failed {
        turn = known.wait(turn).ok()?;
    }
    let start = turn.tokens;
    turn.next_part += 1;
    match sum {
        Some(sum) => turn.tokens += sum,
        None => turn.has_failed = true,
    }
    known.notify_all();
    (!turn.has_failed).then_some(start)
}

fn length_of(lengths: &[[u8; 4]], document: i32) -> Option<u32> {
    let length = i32::from_le_bytes(*lengths.get(usize::try_from(document).ok()?)?);
    u32::try_from(length).ok()
}

/// Lengths of documents, and their sum.
fn gather(lengths: &[[u8; 4]], documents: &[i32], out: &mut Vec<u32>) -> Result<u64> {
    out.clear();
    for &document in documents {
        // What is not there becomes a mark, so that the loop has no exit and loads do not wait for each other.
        out.push(length_of(lengths, document).unwrap_or(u32::MAX));
    }
    if let Some(at) = out.iter().position(|&length| length == u32::MAX) {
        let reason = format!("sequence {} has no length of 0 or more", documents[at]);
        return Err(Error::Mismatch { what: "index".into(), expected: "lengths".into(), found: reason });
    }
    Ok(out.iter().map(|&length| u64::from(length)).sum())
}

/// Rows whose documents are in a part that `start` tokens are before; also the number of the first one.
fn walk<T: Entry>(lengths: &[u32], first_place: usize, start: u64, options: SampleOptions) -> (u64, Vec<T>) {
    let SampleOptions { sequence_length, extra, num_samples } = options;
    // Without an extra token, a row is where the sample before it ends, which may be behind a document's last token.
    let shift = 1 - extra;
    let first = (start + shift).div_ceil(sequence_length).max(1);
    let (mut row, mut rows) = (first, Vec::new());
    let mut sought = first * sequence_length - shift;
    let mut position = start;
    for (place, &length) in lengths.iter().enumerate() {
        let end = position + u64::from(length);
        while sought < end && row <= num_samples {
            rows.push(entry((first_place + place) as u64));
            rows.push(entry(sought + shift - position));
            sought += sequence_length;
            row += 1;
        }
        position = end;
    }
    (first, rows)
}

/// A number as an element. The caller has chosen a type that is wide enough.
fn entry<T: Entry>(value: u64) -> T {
    T::try_from(value.cast_signed()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::key;

    /// The walk of the specification: SYSTEMS 6.4, step 5.
    fn slow(lengths: &[i32], documents: &[i32], options: SampleOptions) -> Vec<i64> {
        let (mut rows, mut place, mut offset) = (vec![0, 0], 0, 0);
        let extra = options.extra.cast_signed();
        let length = |place: usize| i64::from(lengths[usize::try_from(documents[place]).unwrap()]);
        for _ in 0..options.num_samples {
            let mut need = options.sequence_length.cast_signed() + extra;
            loop {
                let available = length(place) - offset;
                need -= available;
                if need <= 0 {
                    offset += need + available - extra;
                    break;
                }
                if place + 1 == documents.len() {
                    offset = length(place) - extra;
                    break;
                }
                place += 1;
                offset = 0;
            }
            rows.extend([i64::try_from(place).unwrap(), offset]);
        }
        rows
    }

    #[test]
    fn rows_are_those_of_the_plain_walk_for_any_number_of_threads() {
        for case in 0..300_u64 {
            let random = |index: u64, below: u64| key(case, 0, index) % below;
            let num_sequences = 1 + random(0, 40);
            let lengths: Vec<i32> = (0..num_sequences)
                .map(|at| i32::try_from(random(100 + at, 12).saturating_sub(3)).unwrap())
                .collect();
            let documents: Vec<i32> = (0..PART as u64 * (case % 3) + 50)
                .map(|at| i32::try_from(random(1000 + at, num_sequences)).unwrap())
                .collect();
            let tokens: u64 = documents
                .iter()
                .map(|&at| u64::try_from(lengths[usize::try_from(at).unwrap()]).unwrap())
                .sum();
            let (sequence_length, extra) = (1 + random(1, 20), random(2, 2));
            let partial = random(3, 2) == 1;
            let usable = tokens.saturating_sub(extra);
            let num_samples =
                if partial { usable.div_ceil(sequence_length) } else { usable / sequence_length };
            let options = SampleOptions { sequence_length, extra, num_samples };
            let bytes: Vec<[u8; 4]> = lengths.iter().map(|length| length.to_le_bytes()).collect();
            let expected = slow(&lengths, &documents, options);
            for num_threads in [1, 4] {
                let progress = Progress::default();
                let mut rows = vec![-1; expected.len()];
                let keep = |first: u64, part: &[i64]| {
                    let first = 2 * crate::token::index(first);
                    rows[first..first + part.len()].copy_from_slice(part);
                    Ok(())
                };
                build_sample_index(&bytes, &documents, options, num_threads, &progress, keep).unwrap();
                assert_eq!(rows, expected, "case {case}");
            }
        }
    }

    #[test]
    fn a_part_that_cannot_be_kept_ends_all_threads() {
        let documents = vec![0; 20 * PART];
        let options =
            SampleOptions { sequence_length: 1, extra: 1, num_samples: documents.len() as u64 * 5 - 1 };
        for good in [0, 1, 3] {
            let mut kept = 0;
            let keep = |_: u64, _: &[i32]| {
                kept += 1;
                if kept > good { Err(Error::Interrupted) } else { Ok(()) }
            };
            let progress = Progress::default();
            let lengths = [5_i32.to_le_bytes()];
            assert!(build_sample_index(&lengths, &documents, options, 4, &progress, keep).is_err());
        }
    }

    #[test]
    fn lengths_below_zero_and_missing_sequences_are_errors() {
        let options = SampleOptions { sequence_length: 2, extra: 1, num_samples: 1 };
        let lengths = [5_i32.to_le_bytes(), (-1_i32).to_le_bytes()];
        for documents in [vec![0, 1], vec![0, 2], vec![-1]] {
            let progress = Progress::default();
            let keep = |_: u64, _: &[i32]| Ok(());
            assert!(build_sample_index(&lengths, &documents, options, 2, &progress, keep).is_err());
        }
    }
}
