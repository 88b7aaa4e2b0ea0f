//! Megatron's three indices of one data set: documents in the order of all epochs, samples over them, samples shuffled.
//!
//! Origin: `_build_document_index`, `_build_shuffle_index` and their caller in `megatron/core/datasets/gpt_dataset.py`
//! (0.16.1). One stream of random numbers shuffles documents first, then samples; here both are done at the same time,
//! the second after skipping what the first draws.

use crate::datasets::gpt_plan::{GptOptions, GptPlan};
use crate::datasets::mt19937::Mt19937;
use crate::datasets::pair_set::Lengths;
use crate::datasets::sample_index::{SampleOptions, build_sample_index};
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

    /// An element; `None` behind the end.
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
    /// Builds the indices of a plan.
    ///
    /// # Errors
    /// Too many documents for the memory, a damaged index, or the run was interrupted.
    pub fn build(
        plan: &GptPlan,
        options: &GptOptions,
        lengths: &Lengths,
        num_threads: usize,
        progress: &Progress,
    ) -> Result<Self> {
        let num_documents = index(plan.num_documents()?);
        let per_epoch = index(plan.sequences.end - plan.sequences.start);
        // Documents that are shuffled together, first and then.
        let first_documents = match plan.samples_before_last_epoch {
            Some(_) => num_documents - per_epoch,
            None => num_documents,
        };
        let shuffle = || -> Result<IndexArray> {
            let mut random = Mt19937::new(options.seed);
            for len in [first_documents, num_documents - first_documents] {
                random.skip_shuffle(len, progress)?;
            }
            shuffle_index(plan, &mut random, progress)
        };
        let rest = || -> Result<(IndexArray, IndexArray)> {
            let documents = document_index(plan, num_documents, first_documents, options.seed, progress)?;
            // Megatron-core also looks at the longest length; an int32, it never decides.
            let needs_wide = i32::try_from(documents.len()).is_err();
            let wanted = SampleOptions {
                sequence_length: options.sequence_length,
                extra: options.extra(),
                num_samples: plan.num_samples,
            };
            let lengths = lengths.bytes();
            let samples = if needs_wide {
                IndexArray::Int64(build_sample_index(lengths, &documents, wanted, num_threads, progress)?)
            } else {
                IndexArray::Int32(build_sample_index(lengths, &documents, wanted, num_threads, progress)?)
            };
            Ok((IndexArray::Int32(documents), samples))
        };
        let (rest, shuffle) = if num_threads > 1 {
            std::thread::scope(|scope| {
                let shuffle = scope.spawn(shuffle);
                let rest = rest();
                let shuffle =
                    shuffle.join().unwrap_or_else(|_| Err(Error::Internal("a thread panicked".into())));
                (rest, shuffle)
            })
        } else {
            (rest(), shuffle())
        };
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
            ("sample index", 2 * (plan.num_samples + 1), self.samples.len()),
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

fn document_index(
    plan: &GptPlan,
    num_documents: usize,
    first_documents: usize,
    seed: u32,
    progress: &Progress,
) -> Result<Vec<i32>> {
    let mut documents = reserve(num_documents)?;
    let bound = |sequence: u64| i32::try_from(sequence).unwrap_or(i32::MAX);
    let epoch = bound(plan.sequences.start)..bound(plan.sequences.end);
    for _ in 0..plan.num_epochs {
        progress.check()?;
        documents.extend(epoch.clone());
    }
    let mut random = Mt19937::new(seed);
    let (first, last) = documents.split_at_mut(first_documents);
    random.shuffle(first, progress)?;
    random.shuffle(last, progress)?;
    Ok(documents)
}

fn shuffle_index(plan: &GptPlan, random: &mut Mt19937, progress: &Progress) -> Result<IndexArray> {
    let total = plan.num_samples;
    // Samples before the last epoch can outnumber all only if both are equal to none.
    let first = index(plan.samples_before_last_epoch.unwrap_or(total).min(total));
    if total >= u64::from(u32::MAX) - 1 {
        let mut samples: Vec<i64> = reserve(index(total))?;
        samples.extend(0..total.cast_signed());
        let (head, tail) = samples.split_at_mut(first);
        random.shuffle(head, progress)?;
        random.shuffle(tail, progress)?;
        return Ok(IndexArray::Int64(samples));
    }
    let mut samples: Vec<u32> = reserve(index(total))?;
    samples.extend(0..u32::try_from(total).unwrap_or(u32::MAX));
    let (head, tail) = samples.split_at_mut(first);
    random.shuffle(head, progress)?;
    random.shuffle(tail, progress)?;
    Ok(IndexArray::Uint32(samples))
}

fn reserve<T>(len: usize) -> Result<Vec<T>> {
    let mut items = Vec::new();
    items
        .try_reserve_exact(len)
        .map_err(|error| Error::config("num_samples", format!("an index of {len}: {error}")))?;
    Ok(items)
}
