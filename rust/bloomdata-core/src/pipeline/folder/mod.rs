//! The output folder of a run: what is in it, finished or not, and what it says about itself.
//!
//! - [`run`]: opening it: new, to be resumed, or finished already; and finishing it.
//! - [`claim`]: given back when nothing was done. [`leftovers`]: names of what a run leaves, and its removal.
//! - [`names`]: names of its files. [`journal`]: what an unfinished folder says. [`manifest`]: what a finished one says.
//! - [`books`]: the ledger, the quarantine and the place in the inputs, settled record by record, by the [`outcome`] of each;
//!   [`counts`]: of one input.
//! - [`plan`]: what all parts of a run agree on, [`counting`]: what they must know of each other, [`part_leftovers`]: what they
//!   leave.
//! - [`limits`]: what a run must not end with. [`sealer`]: a thread that syncs, renames and journals finished outputs in order.

pub mod books;
pub mod claim;
pub mod counting;
pub mod counts;
pub mod journal;
pub mod leftovers;
pub mod limits;
pub mod manifest;
pub mod names;
pub mod outcome;
pub mod part_leftovers;
pub mod plan;
pub mod run;
pub mod sealer;
