//! Records become articles: token ids and what each token is.
//!
//! An article is what packing keeps together: a document, a chat, or a single pair of prompt and completion.
//!
//! - [`options`]: what a record is. `worker`: what the pool makes of a block.
//! - `texts`, `pairs`, `chats`, `preferences`: each kind of record; `sentences` of texts. `encoder`: what they share.
//! - [`special_tokens`]: special tokens in texts. [`packed`]: the tokens of a block.

pub(in crate::pipeline) mod chats;
pub(in crate::pipeline) mod encoder;
pub mod options;
pub mod packed;
mod pairs;
mod preferences;
mod sentences;
pub mod special_tokens;
pub(in crate::pipeline) mod texts;
pub(in crate::pipeline) mod worker;
