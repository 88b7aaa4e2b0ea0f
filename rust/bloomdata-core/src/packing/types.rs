//! What each token of a sequence is, as in `token_type_ids` (GD-07).

/// Part of a prompt: seen, not trained on.
pub const PROMPT: u32 = 0;
/// Text that is trained on.
pub const COMPLETION: u32 = 1;
/// Fills up a sequence.
pub const PADDING: u32 = 2;
/// Last token of an attention unit; trained on. What follows must not attend to what is before.
pub const SEPARATOR: u32 = 3;

/// Datasets of a file of rows, in their order in the file; the last one only when there are categories.
pub const COLUMNS: [&str; 3] = ["input_ids", "token_type_ids", "category_ids"];
