//! Packed files as samples: which sample comes when, and what it holds; the left end of the second line.
//!
//! Orders of our own are functions of (files, seed, position); Megatron's are indices that are built.
//!
//! - [`order`]: a keyed permutation of `0..n` in constant memory: the order of an epoch.
//! - [`mixture`]: position -> (source, epoch, row) of a mixture, with exact counts and without an index.
//! - [`labels`]: tokens and their types -> labels, loss weights, positions, document boundaries.
//! - [`rows`]: rows of files -> batches.
//! - [`pair_set`]: any number of token pairs seen as one. [`open_files`]: files opened when they are needed.
//! - [`split`]: split strings such as `969,30,1`.
//! - [`mt19937`]: NumPy's legacy random numbers, which Megatron's order is made of.
//! - [`gpt_plan`]: epochs and samples of Megatron's order, before anything is built.
//! - [`gpt_indices`]: its document, sample and shuffle index; [`sample_index`] makes the second, in parallel.
//! - [`index_cache`]: the three as files, built once on each machine.
//! - [`gpt`]: samples, in Megatron's order or as they lie in the files; [`columns`]: what a sample is for a model.
//! - [`megatron_blend`]: Megatron's order of several data sets.

pub mod columns;
pub mod gpt;
pub mod gpt_indices;
pub mod gpt_plan;
pub mod index_cache;
pub mod labels;
pub mod megatron_blend;
pub mod mixture;
pub mod mt19937;
pub mod open_files;
pub mod order;
pub mod pair_set;
pub mod rows;
pub mod sample_index;
pub mod split;
