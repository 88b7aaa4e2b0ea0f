//! Packed files as samples: which sample comes when, and what it holds. All of it is a function of (files, seed,
//! position): nothing is built when a data set is opened, and nothing is walked through to get to a position.
//!
//! - [`order`]: a keyed permutation of `0..n` in constant memory: the order of an epoch.
//! - [`mixture`]: position -> (source, epoch, row) of a mixture, with exact counts and without an index.
//! - [`labels`]: tokens and their types -> labels, loss weights, positions, document boundaries.
//! - [`rows`]: rows of files -> batches.

pub mod labels;
pub mod mixture;
pub mod order;
pub mod rows;
