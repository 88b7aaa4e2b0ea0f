//! Records become articles: token ids and what each token is.
//!
//! - [`worker`]: what the pool makes of a block of records.
//! - [`chats`]: conversations, by a template. `texts`: the texts of a record.

pub mod chats;
pub(crate) mod texts;
pub mod worker;
