//! Records of a kind become texts with roles, before any token is made.
//!
//! - [`prompt_completion`]: pairs of prompt and completion, alone or in a list.
//! - [`gdp_chat`]: chat templates around such pairs.
//! - [`chat_template`]: conversations become text, of which it is known what is trained on:
//!   [`chat`] (what goes in), [`builtin`] (templates with names), [`jinja`] (all others), `spans` (what is trained
//!   on), `plan` (the text of all conversations of the same roles), `proof` (that it is), `planner`
//!   (those that are kept), `prefixes` (how a conversation begins).

pub mod builtin;
pub mod chat;
pub mod chat_template;
pub mod gdp_chat;
pub mod jinja;
mod markers;
mod plan;
mod planner;
mod prefixes;
pub mod prompt_completion;
mod proof;
pub mod spans;

pub use jinja::Variable;
pub use plan::Rendered;
