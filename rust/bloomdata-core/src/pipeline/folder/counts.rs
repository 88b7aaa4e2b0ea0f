//! Counts of an input, as the manifest has them.

use serde::{Deserialize, Serialize};

/// What became of one input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputCounts {
    /// Documents written.
    pub documents_kept: u64,
    /// Tokens of its documents, before packing.
    pub tokens: u64,
    /// What its conversations hold.
    #[serde(flatten)]
    pub chats: ChatCounts,
    /// Its conversations by length, entry i counts those of 2^i to 2^(i+1) - 1 tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub length_histogram: Vec<u64>,
}

/// What conversations hold, and special tokens in any text. All are zero, and not written, where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatCounts {
    /// Answers of the assistant.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turns: u64,
    /// Those that switches of their records leave out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turns_switched_off: u64,
    /// Tokens that are trained on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens_trained: u64,
    /// Tokens after the last answer, which are not trained on; they are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens_after_last_answer: u64,
    /// Tokens cut off the start of prompts, so that judged answers have room in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prompt_tokens_cut: u64,
    /// Special tokens of the tokenizer that are written in texts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub special_tokens_in_text: u64,
    /// Documents with any of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub documents_with_special_tokens: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl ChatCounts {
    /// Of a document whose texts hold so many special tokens.
    pub fn of_special_tokens(count: u64) -> Self {
        let documents_with_special_tokens = u64::from(count > 0);
        Self { special_tokens_in_text: count, documents_with_special_tokens, ..Self::default() }
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.turns += other.turns;
        self.turns_switched_off += other.turns_switched_off;
        self.tokens_trained += other.tokens_trained;
        self.tokens_after_last_answer += other.tokens_after_last_answer;
        self.prompt_tokens_cut += other.prompt_tokens_cut;
        self.special_tokens_in_text += other.special_tokens_in_text;
        self.documents_with_special_tokens += other.documents_with_special_tokens;
    }

    /// Takes back what was added.
    pub fn take_back(&mut self, other: Self) {
        self.turns -= other.turns;
        self.turns_switched_off -= other.turns_switched_off;
        self.tokens_trained -= other.tokens_trained;
        self.tokens_after_last_answer -= other.tokens_after_last_answer;
        self.prompt_tokens_cut -= other.prompt_tokens_cut;
        self.special_tokens_in_text -= other.special_tokens_in_text;
        self.documents_with_special_tokens -= other.documents_with_special_tokens;
    }
}
