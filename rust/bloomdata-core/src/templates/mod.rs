//! Records become texts with roles, before tokenization.
//!
//! - [`prompt_completion`]: pairs of prompt and completion.
//! - [`gdp_chat`]: chat templates around such pairs.
//! - [`chat_template`]: renders conversations, and determines what is trained on.
//! - [`chat`]: a conversation, as input for templates; `chat_rules`: what a record of one has to fulfil;
//!   `chat_facts`: what it says beside roles and texts; `chat_keys`: where it does.
//! - `contents`: contents that are no strings; `calls`: whether a template writes the calls of tools.
//! - [`tool_arguments`]: arguments of calls that are JSON in a text.
//! - [`builtin`]: templates that are selected by name.
//! - [`jinja`]: any other template.
//! - [`spans`]: which parts of a rendered text are trained on.
//! - [`message`]: one message of a record.
//! - `markers`: stand-ins for message contents while a template is probed.
//! - `plan`: the text of all conversations with the same roles, with slots for contents.
//! - `planner`: caches plans, and decides when a plan replaces running the template.
//! - `prefixes`: renders the beginnings of a conversation.
//! - [`quoted`]: special tokens that messages hold as text.
//! - `proof`: when filling in a plan equals running the template.

pub mod builtin;
mod calls;
pub mod chat;
mod chat_facts;
mod chat_keys;
mod chat_rules;
pub mod chat_template;
mod contents;
pub mod gdp_chat;
pub mod jinja;
mod markers;
pub mod message;
mod plan;
mod planner;
mod prefixes;
pub mod prompt_completion;
mod proof;
pub mod quoted;
pub mod spans;
pub mod tool_arguments;

pub use jinja::Variable;
pub use plan::Rendered;
