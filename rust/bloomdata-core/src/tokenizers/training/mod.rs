//! BPE training: pre-tokens are counted, then the most frequent pair is merged again and again.
//!
//! - [`counter`]: pre-tokens of texts, as a tokenizer's pre-tokenizers cut them, and how often each occurs.
//! - [`alphabet`]: the letters that tokens start from.
//! - [`trainer`]: merges, and the vocabulary.

mod alphabet;
pub mod counter;
mod table;
pub mod trainer;
