//! Records of a kind become texts with roles, before any token is made.
//!
//! - [`prompt_completion`]: pairs of prompt and completion, alone or in a list.

pub mod prompt_completion;
