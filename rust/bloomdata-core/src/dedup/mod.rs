//! Which documents, or parts of documents, say the same: pure functions of text. Frozen as format 1 in `FORMAT.md`.
//!
//! ```text
//! text ─units→ hashes of words ─windows→ shingles ─minhash→ signature ─bands→ candidates ─jaccard→ edges ─keep→ kept
//! ```
//!
//! - [`char_kinds`]: letters, white space, scripts without blanks. [`units`]: the words of a text;
//!   [`word_hash`]: their hashes.
//! - [`windows`]: hashes of some units in a row. [`minhash`]: signatures. [`bands`]: of signatures, and their S-curve;
//!   [`bloom`]: bands in Bloom filters.
//! - [`segments`]: parts of a text that may be repeated; [`cut`]: texts without them. [`exact_key`]: the normalised text as
//!   a key. [`jaccard`]: the true similarity. [`keep`]: which documents stay.

pub mod bands;
pub mod bloom;
pub mod char_kinds;
pub mod cut;
pub mod exact_key;
pub mod jaccard;
pub mod keep;
pub mod minhash;
pub mod segments;
pub mod units;
pub mod windows;
pub mod word_hash;
