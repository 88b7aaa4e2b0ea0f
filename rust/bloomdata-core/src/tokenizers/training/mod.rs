//! BPE training: count the pre-tokens, then merge the most frequent pair again and again.
//!
//! - [`alphabet`]: the characters that merges start from.
//! - [`counter`]: pre-tokens of texts and how often each occurs.
//! - `table`: pairs of symbols, their counts, and where they occur.
//! - [`trainer`]: learns the merges and the vocabulary.
//! - [`word_file`]: pre-tokens and their counts as a file, for parts of a run.

mod alphabet;
pub mod counter;
mod table;
pub mod trainer;
pub mod word_file;
