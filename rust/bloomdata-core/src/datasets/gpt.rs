//! Samples of token pairs, in Megatron's order or as they lie in the files.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::datasets::columns::{ColumnOptions, Columns};
use crate::datasets::gpt_indices::{Builder, GptIndices};
use crate::datasets::gpt_plan::{GptOptions, GptPlan};
use crate::datasets::index_cache::{load, load_or_build};
use crate::datasets::pair_set::PairSet;
use crate::datasets::split::{SplitRule, range_of_shares, split_ranges};
use crate::error::{Error, Result};
use crate::formats::token_pair::{ReadMode, Token};
use crate::hash::hash_bytes;
use crate::progress::Progress;
use crate::token::index;

/// Counts up when the same options give other samples.
const ALGORITHM_VERSION: u32 = 1;

/// Which sample is number i.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As Megatron-core's `GPTDataset` has it.
    Megatron,
    /// Tokens i x L and those that follow: no index, nothing to build.
    Sequential,
}

/// Everything about a data set.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptConfig {
    /// Paths of pairs without suffix, in order.
    pub paths: Vec<PathBuf>,
    /// How files are read.
    pub mode: ReadMode,
    /// Pairs that stay open at once.
    pub max_open_files: usize,
    /// Which sample is number i.
    pub order: Order,
    /// Shares of the splits; `None` for all sequences.
    pub split: Option<String>,
    /// How ranges are made of shares.
    pub split_rule: SplitRule,
    /// 0 training, 1 validation, 2 test.
    pub split_index: usize,
    /// A range of shares, in place of a split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_range: Option<(f64, f64)>,
    /// What determines the order.
    pub options: GptOptions,
    /// What samples are.
    pub columns: ColumnOptions,
    /// Folder of index files; in memory without one.
    pub cache_folder: Option<PathBuf>,
    /// Index files that are there, without `-document_index.npy` and so on.
    pub indices: Option<PathBuf>,
    /// Threads that build indices.
    pub num_threads: usize,
}

/// Where samples are.
#[derive(Debug)]
enum Samples {
    Megatron(Box<(GptPlan, GptIndices)>),
    Sequential { tokens: Range<u64>, num_samples: u64 },
}

/// An open data set.
#[derive(Debug)]
pub struct GptDataset {
    pairs: PairSet,
    config: GptConfig,
    sequences: Range<u64>,
    samples: Samples,
    fingerprint: OnceLock<String>,
}

impl GptDataset {
    /// Opens the pairs; builds or loads the indices if the order needs them.
    ///
    /// # Errors
    /// Options that cannot work, damaged files, or the run was interrupted.
    pub fn open(config: GptConfig, progress: &Progress) -> Result<Self> {
        config.options.validate()?;
        config.columns.validate()?;
        let pairs = PairSet::open(&config.paths, config.mode, config.max_open_files)?;
        let all = pairs.num_sequences();
        let sequences = match (&config.split, config.split_range) {
            (None, None) => 0..all,
            (None, Some(range)) => range_of_shares(range, all)?,
            (Some(_), Some(_)) => {
                return Err(Error::config("split_range", "expected none with a split, or split=None"));
            }
            (Some(split), None) => {
                split_ranges(split, all, config.split_rule)?.get(config.split_index).cloned().ok_or_else(
                    || Error::config("split_index", format!("{}, expected 0 to 2", config.split_index)),
                )?
            }
        };
        let fingerprint = OnceLock::new();
        let samples = match config.order {
            Order::Sequential => sequential(&pairs, &config.options, &sequences)?,
            Order::Megatron => megatron(&pairs, &config, &sequences, progress)?,
        };
        Ok(Self { pairs, config, sequences, samples, fingerprint })
    }

    /// Number of samples.
    pub fn num_samples(&self) -> u64 {
        match &self.samples {
            Samples::Megatron(order) => order.1.shuffle.len(),
            Samples::Sequential { num_samples, .. } => *num_samples,
        }
    }

    /// Megatron's numbers and indices, if it is its order.
    pub fn megatron(&self) -> Option<(&GptPlan, &GptIndices)> {
        match &self.samples {
            Samples::Megatron(order) => Some((&order.0, &order.1)),
            Samples::Sequential { .. } => None,
        }
    }

    /// Sequences of the split.
    pub fn sequences(&self) -> Range<u64> {
        self.sequences.clone()
    }

    /// The pairs.
    pub fn pairs(&self) -> &PairSet {
        &self.pairs
    }

    /// Hash of all that determines samples: data, split, options.
    ///
    /// # Errors
    /// A damaged index, or the run was interrupted.
    pub fn fingerprint(&self, progress: &Progress) -> Result<String> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let order = description(&self.pairs, &self.config, &self.sequences, progress)?;
        let columns = serde_json::to_string(&self.config.columns)
            .map_err(|error| Error::Internal(error.to_string()))?;
        let hash = hash_bytes(format!("{order}{columns}").as_bytes());
        Ok(self.fingerprint.get_or_init(|| hash).clone())
    }

    /// Fills columns with samples, one row each.
    ///
    /// # Errors
    /// No such sample, a damaged index, or columns of another size.
    pub fn read<T: Token>(&self, samples: &[u64], mut columns: Columns<'_, T>) -> Result<()> {
        let length = index(self.config.options.sequence_length);
        columns.check(samples.len(), length)?;
        let mut text = vec![T::default(); length + index(self.config.options.extra())];
        let mut starts = Vec::new();
        let needs_starts = columns.needs_starts(&self.config.columns);
        let pad = T::try_from(self.config.columns.pad_token_id)
            .map_err(|_| Error::config("pad_token_id", "does not fit 32 bits"))?;
        for (row, &sample) in samples.iter().enumerate() {
            starts.clear();
            let filled = match &self.samples {
                Samples::Megatron(order) => self.read_shuffled(&order.1, sample, &mut text, &mut starts)?,
                Samples::Sequential { tokens, num_samples } => {
                    if sample >= *num_samples {
                        return Err(no_sample(sample, *num_samples));
                    }
                    let from = tokens.start + sample * self.config.options.sequence_length;
                    let to = tokens.end.min(from + text.len() as u64);
                    let wanted = needs_starts.then_some(&mut starts);
                    self.read_range(from..to, &mut text, wanted)?
                }
            };
            text[filled..].fill(pad);
            columns.fill(row, length, &text, &mut starts, &self.config.columns);
        }
        if let Some(cu_seqlens) = columns.cu_seqlens {
            cu_seqlens.push(i32::try_from(samples.len() * length).unwrap_or(i32::MAX));
        }
        Ok(())
    }

    /// Tokens of a sample of Megatron's order, document by document.
    fn read_shuffled<T: Token>(
        &self,
        indices: &GptIndices,
        sample: u64,
        text: &mut [T],
        starts: &mut Vec<usize>,
    ) -> Result<usize> {
        let wrong = |what: &str| {
            let found = format!("sample {sample}: {what}");
            Error::Mismatch { what: "index".into(), expected: "entries that fit the data".into(), found }
        };
        let shuffled = indices.shuffle.get(sample).ok_or_else(|| no_sample(sample, indices.shuffle.len()))?;
        let row = u64::try_from(shuffled).ok().and_then(|row| row.checked_mul(2));
        let row =
            row.filter(|&row| row < indices.samples.len()).ok_or_else(|| wrong("not in the sample index"))?;
        let entry = |at: u64| indices.samples.get(at).ok_or_else(|| wrong("beyond the sample index"));
        let (first, offset) = (entry(row)?, entry(row + 1)?);
        let (last, end) = (entry(row + 2)?, entry(row + 3)?);
        let end = end.saturating_add_unsigned(self.config.options.extra());
        let mut filled = 0;
        for place in first..=last {
            let sequence = u64::try_from(place).ok().and_then(|place| indices.documents.get(place));
            let sequence = sequence.and_then(|sequence| u64::try_from(sequence).ok());
            let sequence = sequence.filter(|sequence| self.sequences.contains(sequence));
            let sequence = sequence.ok_or_else(|| wrong("a document outside the split"))?;
            let (pair, within) = self.pairs.of_sequence(sequence)?;
            let (start, length) = pair.sequence(within)?;
            let from = if place == first { u64::try_from(offset).unwrap_or(u64::MAX) } else { 0 };
            let to = if place == last { u64::try_from(end).unwrap_or(u64::MAX) } else { length };
            let count =
                to.checked_sub(from).filter(|&count| to <= length && count <= (text.len() - filled) as u64);
            let count = index(count.ok_or_else(|| wrong("tokens outside a document"))?);
            if count > 0 {
                starts.push(filled);
                pair.read(start + from, &mut text[filled..filled + count])?;
                filled += count;
            }
        }
        Ok(filled)
    }

    /// Tokens of a range, from as many pairs as it spans.
    fn read_range<T: Token>(
        &self,
        range: Range<u64>,
        text: &mut [T],
        mut starts: Option<&mut Vec<usize>>,
    ) -> Result<usize> {
        let (mut at, mut filled) = (range.start, 0);
        while at < range.end {
            let (pair, within) = self.pairs.of_token(at)?;
            let count = (range.end - at).min(pair.header().num_tokens - within);
            pair.read(within, &mut text[filled..filled + index(count)])?;
            if let Some(starts) = starts.as_deref_mut() {
                for sequence in pair.sequence_at(within)?..pair.header().num_sequences {
                    let (start, length) = pair.sequence(sequence)?;
                    if start >= within + count {
                        break;
                    }
                    if start >= within && length > 0 {
                        starts.push(filled + index(start - within));
                    }
                }
            }
            at += count;
            filled += index(count);
        }
        Ok(filled)
    }
}

fn no_sample(sample: u64, num_samples: u64) -> Error {
    Error::mismatch("sample", format!("one of {num_samples}"), sample)
}

fn sequential(pairs: &PairSet, options: &GptOptions, sequences: &Range<u64>) -> Result<Samples> {
    let tokens = pairs.token_of_sequence(sequences.start)?..pairs.token_of_sequence(sequences.end)?;
    let there = options.samples_of(tokens.end.saturating_sub(tokens.start));
    let num_samples = options.num_samples.unwrap_or(there);
    if num_samples > there {
        let reason =
            format!("{num_samples}, but the split has {there}; order=\"megatron\" goes around several times");
        return Err(Error::config("num_samples", reason));
    }
    Ok(Samples::Sequential { tokens, num_samples })
}

fn megatron(
    pairs: &PairSet,
    config: &GptConfig,
    sequences: &Range<u64>,
    progress: &Progress,
) -> Result<Samples> {
    let lengths = pairs.lengths(progress)?;
    let mut tokens = 0_u64;
    for bytes in lengths.bytes().get(index(sequences.start)..index(sequences.end)).unwrap_or_default() {
        // A length below zero is found when the index is built.
        tokens += u64::try_from(i32::from_le_bytes(*bytes)).unwrap_or_default();
    }
    let plan = GptPlan::new(&config.options, sequences.clone(), tokens)?;
    let num_threads = config.num_threads;
    let builder = Builder { plan: &plan, options: &config.options, lengths: &lengths, num_threads, progress };
    let indices = if let Some(prefix) = &config.indices {
        let indices = load(prefix)?;
        indices.check(&plan)?;
        indices
    } else if let Some(folder) = &config.cache_folder {
        let description = description(pairs, config, sequences, progress)?;
        let hash = hash_bytes(description.as_bytes());
        let name = ["train", "valid", "test"].get(config.split_index).copied().unwrap_or("train");
        let key = hash.get(..32).unwrap_or(&hash);
        load_or_build(&folder.join(format!("{key}-GPTDataset-{name}")), &description, &builder)?
    } else {
        GptIndices::build(&builder)?
    };
    Ok(Samples::Megatron(Box::new((plan, indices))))
}

/// What determines which tokens sample i has, as JSON.
fn description(
    pairs: &PairSet,
    config: &GptConfig,
    sequences: &Range<u64>,
    progress: &Progress,
) -> Result<String> {
    let facts = serde_json::json!({
        "algorithm_version": ALGORITHM_VERSION,
        "data": pairs.fingerprint(progress)?,
        "options": config.options,
        "order": config.order,
        "sequences": [sequences.start, sequences.end],
    });
    serde_json::to_string_pretty(&facts).map_err(|error| Error::Internal(error.to_string()))
}
