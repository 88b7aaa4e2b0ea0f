//! Megatron's three indices of one data set: documents in the order of all epochs, samples over them, samples shuffled.
//!
//! Origin: `_build_document_index`, `_build_shuffle_index` and their caller in `megatron/core/datasets/gpt_dataset.py`
//! (0.16.1). One stream of random numbers shuffles documents first, then samples; here both are done at the same time,
//! the second after skipping what the first draws.

use crate::datasets::gpt_plan::{GptOptions, GptPlan};
use crate::datasets::mt19937::Mt19937;
use crate::datasets::pair_set::Lengths;
use crate::datasets::sample_index::{Entry, SampleOptions, build_sample_index};
use crate::error::{Error, Result};
use crate::formats::npy::{NpyDtype, NpyHeader};
use crate::io::map::FileBytes;
use crate::progress::Progress;
use crate::token::index;

/// An index in memory or in a mapped file.
#[derive(Debug)]
pub enum IndexArray {
    /// In memory.
    Int32(Vec<i32>),
    /// In memory.
    Uint32(Vec<u32>),
    /// In memory.
    Int64(Vec<i64>),
    /// In a file.
    File(NpyHeader, FileBytes),
}

impl IndexArray {
    /// Type of the elements.
    pub fn dtype(&self) -> NpyDtype {
        match self {
            Self::Int32(_) => NpyDtype::Int32,
            Self::Uint32(_) => NpyDtype::Uint32,
            Self::Int64(_) => NpyDtype::Int64,
            Self::File(header, _) => header.dtype,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> u64 {
        match self {
            Self::Int32(items) => items.len() as u64,
            Self::Uint32(items) => items.len() as u64,
            Self::Int64(items) => items.len() as u64,
            Self::File(header, _) => header.shape.iter().product(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element; `None` past the end.
    pub fn get(&self, at: u64) -> Option<i64> {
        let at = index(at);
        match self {
            Self::Int32(items) => items.get(at).map(|&item| item.into()),
            Self::Uint32(items) => items.get(at).map(|&item| item.into()),
            Self::Int64(items) => items.get(at).copied(),
            Self::File(header, bytes) => {
                let data = bytes.get(header.data_offset..)?;
                let word = || data.as_chunks::<4>().0.get(at).copied();
                match header.dtype {
                    NpyDtype::Int32 => word().map(|bytes| i32::from_le_bytes(bytes).into()),
                    NpyDtype::Uint32 => word().map(|bytes| u32::from_le_bytes(bytes).into()),
                    NpyDtype::Int64 => {
                        data.as_chunks::<8>().0.get(at).map(|bytes| i64::from_le_bytes(*bytes))
                    }
                }
            }
        }
    }

    /// Hands out all elements, little-endian, in pieces.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn each_piece(&self, mut write: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        const PIECE: usize = 1 << 14;
        let mut buffer = Vec::with_capacity(8 * PIECE);
        let mut hand_out = |buffer: &mut Vec<u8>| {
            let done = write(buffer);
            buffer.clear();
            done
        };
        match self {
            Self::Int32(items) => items.chunks(PIECE).try_for_each(|items| {
                buffer.extend(items.iter().flat_map(|item| item.to_le_bytes()));
                hand_out(&mut buffer)
            }),
            Self::Uint32(items) => items.chunks(PIECE).try_for_each(|items| {
                buffer.extend(items.iter().flat_map(|item| item.to_le_bytes()));
                hand_out(&mut buffer)
            }),
            Self::Int64(items) => items.chunks(PIECE).try_for_each(|items| {
                buffer.extend(items.iter().flat_map(|item| item.to_le_bytes()));
                hand_out(&mut buffer)
            }),
            Self::File(header, bytes) => write(bytes.get(header.data_offset..).unwrap_or_default()),
        }
    }
}

/// The three indices.
#[derive(Debug)]
pub struct GptIndices {
    /// Sequence of each place, int32.
    pub documents: IndexArray,
    /// (Place, offset) of each sample's first token and of the last one's end, int32 or int64.
    pub samples: IndexArray,
    /// Sample of each position, uint32 or int64.
    pub shuffle: IndexArray,
}

impl GptIndices {
    /// Builds the indices of a plan in memory.
    ///
    /// # Errors
    /// Too many documents for the memory, a damaged index, or the run was interrupted.
    pub fn build(builder: &Builder<'_>) -> Result<Self> {
        builder.check_memory()?;
        let (rest, shuffle) = builder.at_once(
            || {
                let documents = builder.documents()?;
                let samples = if Builder::needs_wide(&documents) {
                    IndexArray::Int64(builder.samples_in_memory(&documents)?)
                } else {
                    IndexArray::Int32(builder.samples_in_memory(&documents)?)
                };
                Ok((IndexArray::Int32(documents), samples))
            },
            || builder.shuffle(Vec::new()),
        );
        let (documents, samples) = rest?;
        Ok(Self { documents, samples, shuffle: shuffle? })
    }

    /// Checks that the indices are of a plan. Elements are checked when they are used.
    ///
    /// # Errors
    /// [`Error::Mismatch`] of a size.
    pub fn check(&self, plan: &GptPlan) -> Result<()> {
        let sizes = [
            ("document index", plan.num_documents()?, self.documents.len()),
            ("sample index", plan.num_samples.saturating_add(1).saturating_mul(2), self.samples.len()),
            ("shuffle index", plan.num_samples, self.shuffle.len()),
        ];
        for (what, expected, found) in sizes {
            if expected != found {
                return Err(Error::mismatch(format!("{what}: number of elements"), expected, found));
            }
        }
        Ok(())
    }
}

/// What indices are built from.
#[derive(Debug, Clone, Copy)]
pub struct Builder<'data> {
    /// Sizes.
    pub plan: &'data GptPlan,
    /// Seed and more.
    pub options: &'data GptOptions,
    /// Lengths of all sequences.
    pub lengths: &'data Lengths,
    /// Threads.
    pub num_threads: usize,
    /// Stops the run.
    pub progress: &'data Progress,
}

impl Builder<'_> {
    /// Runs two things at the same time, if there is more than one thread.
    pub fn at_once<A, B: Send>(
        &self,
        first: impl FnOnce() -> Result<A>,
        second: impl FnOnce() -> Result<B> + Send,
    ) -> (Result<A>, Result<B>) {
        if self.num_threads < 2 {
            return (first(), second());
        }
        std::thread::scope(|scope| {
            let second = scope.spawn(second);
            let first = first();
            let second = second.join().unwrap_or_else(|_| Err(Error::Internal("a thread panicked".into())));
            (first, second)
        })
    }

    /// Allocates all memory first: absurd sizes fail at once, not after hours.
    fn check_memory(&self) -> Result<()> {
        let bytes = self.plan.num_documents()?.saturating_mul(4);
        reserve::<u8>(index(bytes.saturating_add(self.plan.num_samples.saturating_mul(12)))).map(drop)
    }

    /// Documents that are shuffled together, and after them the last epoch's.
    fn document_parts(&self) -> Result<(usize, usize)> {
        let all = index(self.plan.num_documents()?);
        let last = index(self.plan.sequences.end - self.plan.sequences.start);
        Ok(if self.plan.samples_before_last_epoch.is_some() { (all - last, last) } else { (all, 0) })
    }

    /// The document index.
    ///
    /// # Errors
    /// Too many for the memory, or the run was interrupted.
    pub fn documents(&self) -> Result<Vec<i32>> {
        let (first, last) = self.document_parts()?;
        let mut documents = reserve(first + last)?;
        let bound = |sequence: u64| i32::try_from(sequence).unwrap_or(i32::MAX);
        let epoch = bound(self.plan.sequences.start)..bound(self.plan.sequences.end);
        for _ in 0..self.plan.num_epochs {
            self.progress.check()?;
            documents.extend(epoch.clone());
        }
        let mut random = Mt19937::new(self.options.seed);
        let (first, last) = documents.split_at_mut(first);
        random.shuffle(first, self.progress)?;
        random.shuffle(last, self.progress)?;
        Ok(documents)
    }

    /// Whether places need more than 32 bits. Megatron-core also looks at the longest length; an int32, it never decides.
    pub fn needs_wide(documents: &[i32]) -> bool {
        i32::try_from(documents.len()).is_err()
    }

    /// The sample index, part by part; see [`build_sample_index`].
    ///
    /// # Errors
    /// As there.
    pub fn samples<T: Entry>(
        &self,
        documents: &[i32],
        keep: impl FnMut(u64, &[T]) -> Result<()>,
    ) -> Result<()> {
        let wanted = SampleOptions {
            sequence_length: self.options.sequence_length,
            extra: self.options.extra(),
            num_samples: self.plan.num_samples,
        };
        build_sample_index(self.lengths.bytes(), documents, wanted, self.num_threads, self.progress, keep)
    }

    fn samples_in_memory<T: Entry>(&self, documents: &[i32]) -> Result<Vec<T>> {
        let elements = index(self.plan.num_samples).saturating_add(1).saturating_mul(2);
        let mut samples = reserve(elements)?;
        samples.resize(elements, T::default());
        self.samples(documents, |first, part| {
            let place = samples.get_mut(2 * index(first)..).and_then(|rest| rest.get_mut(..part.len()));
            place
                .ok_or_else(|| Error::Internal("rows beyond the sample index".into()))?
                .copy_from_slice(part);
            Ok(())
        })?;
        Ok(samples)
    }

    /// The shuffle index. Does not need the others: it draws what they draw, and throws it away. `room` is memory that is
    /// used if it is enough.
    ///
    /// # Errors
    /// Too many for the memory, or the run was interrupted.
    pub fn shuffle(&self, room: Vec<u32>) -> Result<IndexArray> {
        let mut random = Mt19937::new(self.options.seed);
        let (first, last) = self.document_parts()?;
        random.skip_shuffle(first, self.progress)?;
        random.skip_shuffle(last, self.progress)?;
        let total = self.plan.num_samples;
        let first = index(self.plan.samples_before_last_epoch.unwrap_or(total).min(total));
        if total >= u64::from(u32::MAX) - 1 {
            let mut samples: Vec<i64> = reserve(index(total))?;
            samples.extend(0..total.cast_signed());
            let (head, tail) = samples.split_at_mut(first);
            random.shuffle(head, self.progress)?;
            random.shuffle(tail, self.progress)?;
            return Ok(IndexArray::Int64(samples));
        }
        let mut samples = room;
        samples.clear();
        reserve_more(&mut samples, index(total))?;
        samples.extend(0..u32::try_from(total).unwrap_or(u32::MAX));
        let (head, tail) = samples.split_at_mut(first);
        random.shuffle(head, self.progress)?;
        random.shuffle(tail, self.progress)?;
        Ok(IndexArray::Uint32(samples))
    }
}

fn reserve<T>(len: usize) -> Result<Vec<T>> {
    let mut items = Vec::new();
    reserve_more(&mut items, len)?;
    Ok(items)
}

fn reserve_more<T>(items: &mut Vec<T>, len: usize) -> Result<()> {
    let reserved = items.try_reserve_exact(len);
    reserved.map_err(|error| Error::config("num_samples", format!("an index of {len} elements: {error}")))
}
