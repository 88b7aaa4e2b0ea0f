//! Which documents hold rows of a benchmark: pure functions of text. Frozen as format 1 in `FORMAT.md`.
//!
//! ```text
//! rows ─table→ n-grams        text ─scanner→ hits ─best_window→ score ─needed→ contaminated ─cut→ pieces
//! ```
//!
//! - [`rows`]: what is looked for, and how much of it is enough. [`table`]: its n-grams, and whose they are.
//! - [`scanner`]: n-grams of the table in a text. [`best_window`]: where most of a row's n-grams are.
//! - [`cut`]: what is left of a text. [`json_places`]: the same places in the JSON of a text.

pub mod best_window;
pub mod cut;
pub mod json_places;
pub mod rows;
pub mod scanner;
pub mod table;
