//! Many texts at once, on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::scope;

use super::Tokenizer;
use crate::error::Result;
use crate::progress::Progress;

/// Bytes of text that a thread takes at a time.
const PART_BYTES: usize = 1 << 18;

/// Ids of texts: parts in order, and how many ids each text has.
#[derive(Debug, Default)]
pub struct Batch {
    /// The ids of all texts, one part after the other.
    pub parts: Vec<Vec<u32>>,
    /// Ids of each text.
    pub lengths: Vec<u64>,
}

/// Ids and lengths of a part, once it is done.
type Slot = Mutex<Option<Result<(Vec<u32>, Vec<u64>)>>>;

/// Encodes all texts, with or without what the tokenizer puts around them. With `keeps_ids` off, only counts are kept.
///
/// # Errors
/// What the backend reports, of the first text that fails; a stop that was asked for.
pub fn encode_batch(
    tokenizer: &dyn Tokenizer,
    texts: &[&str],
    adds_special: bool,
    keeps_ids: bool,
    num_threads: usize,
    progress: &Progress,
) -> Result<Batch> {
    let parts = parts(texts);
    let results: Vec<Slot> = parts.iter().map(|_| Mutex::new(None)).collect();
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while let Some(&(from, end)) = parts.get(next.fetch_add(1, Relaxed)) {
            if has_failed.load(Relaxed) {
                return;
            }
            let result = progress
                .check()
                .and_then(|()| encode_part(tokenizer, &texts[from..end], adds_special, keeps_ids));
            has_failed.fetch_or(result.is_err(), Relaxed);
            let place = parts.partition_point(|part| part.0 < from);
            if let Ok(mut slot) = results[place].lock() {
                *slot = Some(result);
            }
        }
    };
    if num_threads <= 1 || parts.len() <= 1 {
        work();
    } else {
        scope(|scope| {
            for _ in 0..num_threads.min(parts.len()) {
                scope.spawn(work);
            }
        });
    }
    let mut batch = Batch::default();
    for slot in results {
        // Only what comes behind a failed part can be missing.
        let Some(result) = slot.into_inner().unwrap_or_default() else { continue };
        let (ids, lengths) = result?;
        batch.parts.push(ids);
        batch.lengths.extend(lengths);
    }
    Ok(batch)
}

/// Ranges of texts, each of about as many bytes as a thread takes.
fn parts(texts: &[&str]) -> Vec<(usize, usize)> {
    let (mut parts, mut from, mut size) = (Vec::new(), 0, 0);
    for (at, text) in texts.iter().enumerate() {
        size += text.len();
        if size >= PART_BYTES {
            parts.push((from, at + 1));
            (from, size) = (at + 1, 0);
        }
    }
    if from < texts.len() {
        parts.push((from, texts.len()));
    }
    parts
}

fn encode_part(
    tokenizer: &dyn Tokenizer,
    texts: &[&str],
    adds_special: bool,
    keeps_ids: bool,
) -> Result<(Vec<u32>, Vec<u64>)> {
    let size: usize = texts.iter().map(|text| text.len()).sum();
    let (mut ids, mut lengths) = (Vec::new(), Vec::with_capacity(texts.len()));
    if keeps_ids {
        ids.reserve(size / 3);
    }
    for text in texts {
        let before = ids.len();
        if adds_special {
            tokenizer.encode(text, &mut ids)?;
        } else {
            tokenizer.encode_bare(text, &mut ids)?;
        }
        lengths.push((ids.len() - before) as u64);
        if !keeps_ids {
            ids.clear();
        }
    }
    ids.shrink_to_fit();
    Ok((ids, lengths))
}
