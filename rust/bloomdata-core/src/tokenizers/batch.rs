//! Encodes a batch of texts on several threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread::scope;

use super::{Leaving, Tokenizer};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Bytes of text that a thread takes at a time.
const PART_BYTES: usize = 1 << 18;

/// Token ids of a batch of texts.
#[derive(Debug, Default)]
pub struct Batch {
    /// The ids of all texts, concatenated.
    pub ids: Vec<u32>,
    /// Number of ids of each text.
    pub lengths: Vec<u64>,
}

impl Batch {
    /// Reserves room for the ids of `all` bytes, estimated from the ids that `some` bytes gave.
    fn reserve(&mut self, some: usize, all: usize) {
        let left = all.saturating_sub(some) as u128 * self.ids.len() as u128 / some.max(1) as u128;
        // An eighth more, as texts differ. Unused room costs nothing, and a failed reservation is no error.
        let left = usize::try_from(left + left / 8).unwrap_or(usize::MAX);
        self.ids.try_reserve_exact(left).unwrap_or_default();
    }
}

/// What to compute for each text.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Whether to add the tokens of the post-processor.
    pub special: bool,
    /// Whether to keep the ids; otherwise only their number.
    pub ids: bool,
}

/// Total bytes of texts.
fn size(texts: &[&str]) -> usize {
    texts.iter().map(|text| text.len()).sum()
}

/// Finished parts, put in order.
#[derive(Debug, Default)]
struct Done {
    batch: Batch,
    /// Bytes of the first part, and of all parts.
    first_bytes: usize,
    all_bytes: usize,
    /// Index of the next part to append.
    next: usize,
    /// Parts that finished before one in front of them.
    waiting: BTreeMap<usize, Batch>,
    /// The first part that failed, and its error.
    failed: Option<(usize, Error)>,
}

impl Done {
    /// Takes a finished part and leaves it empty for reuse.
    fn push(&mut self, number: usize, part: &mut Batch) {
        if number != self.next {
            self.waiting.insert(number, std::mem::take(part));
            return;
        }
        self.append(part);
        while let Some(mut part) = self.waiting.remove(&self.next) {
            self.append(&mut part);
        }
    }

    fn append(&mut self, part: &mut Batch) {
        self.batch.ids.append(&mut part.ids);
        self.batch.lengths.append(&mut part.lengths);
        if self.next == 0 {
            self.batch.reserve(self.first_bytes, self.all_bytes);
        }
        self.next += 1;
    }

    fn fail(&mut self, number: usize, error: Error) {
        if self.failed.as_ref().is_none_or(|&(first, _)| number < first) {
            self.failed = Some((number, error));
        }
    }
}

/// Encodes all texts. The ids reuse the memory of `spare`.
///
/// # Errors
/// The backend's error for the first text that fails; cancellation.
pub fn encode_batch(
    tokenizer: &dyn Tokenizer,
    texts: &[&str],
    wanted: Wanted,
    num_threads: usize,
    spare: Vec<u32>,
    progress: &Progress,
) -> Result<Batch> {
    let parts = parts(texts);
    if num_threads <= 1 || parts.len() <= 1 {
        let batch = Batch { ids: spare, ..Batch::default() };
        return encode_in_order(tokenizer, texts, &parts, wanted, batch, progress);
    }
    let (next, has_failed, done) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::<Done>::default());
    let lock = || done.lock().unwrap_or_else(PoisonError::into_inner);
    lock().batch.ids = spare;
    if let (true, Some(&(from, end))) = (wanted.ids, parts.first()) {
        let mut done = lock();
        (done.first_bytes, done.all_bytes) = (size(&texts[from..end]), size(texts));
    }
    let work = || {
        let _leaving = Leaving(tokenizer);
        let mut part = Batch::default();
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(&(from, end)) = parts.get(number) else { return };
            if has_failed.load(Relaxed) {
                return;
            }
            let texts = &texts[from..end];
            let result = progress.check();
            match result.and_then(|()| encode_part(tokenizer, texts, wanted, &mut part)) {
                Ok(()) => lock().push(number, &mut part),
                Err(error) => {
                    has_failed.store(true, Relaxed);
                    return lock().fail(number, error);
                }
            }
        }
    };
    scope(|scope| {
        for _ in 0..num_threads.min(parts.len()) {
            scope.spawn(work);
        }
    });
    let Done { batch, failed, .. } = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(batch), |(_, error)| Err(error))
}

/// The single-threaded case: ids are written in place, without a copy.
fn encode_in_order(
    tokenizer: &dyn Tokenizer,
    texts: &[&str],
    parts: &[(usize, usize)],
    wanted: Wanted,
    mut batch: Batch,
    progress: &Progress,
) -> Result<Batch> {
    for &(from, end) in parts {
        progress.check()?;
        encode_part(tokenizer, &texts[from..end], wanted, &mut batch)?;
        if from == 0 {
            batch.reserve(size(&texts[..end]), size(texts));
        }
    }
    Ok(batch)
}

/// Ranges of texts, each of about [`PART_BYTES`].
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

/// Appends the ids of texts, or only their number.
fn encode_part(tokenizer: &dyn Tokenizer, texts: &[&str], wanted: Wanted, part: &mut Batch) -> Result<()> {
    let Batch { ids, lengths } = part;
    for text in texts {
        let before = ids.len();
        if wanted.special {
            tokenizer.encode(text, ids)?;
        } else {
            tokenizer.encode_bare(text, ids)?;
        }
        lengths.push((ids.len() - before) as u64);
        if !wanted.ids {
            ids.clear();
        }
    }
    Ok(())
}
