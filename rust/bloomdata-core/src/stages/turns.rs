//! Turns of a conversation, as one document or as one each.

use serde::{Deserialize, Serialize};

use crate::conversation::{Conversation, Document, Message, Role};
use crate::stages::Verdict;

/// A question and its answer.
pub type Turn = (String, String);

/// What the turns of a record become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Turns {
    /// One conversation, as Open-Llama's first version does.
    #[default]
    Joined,
    /// A document each, which do not know of each other, as its second version does.
    Separate,
}

/// Options of sources with several turns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnsOptions {
    /// What the turns become.
    pub turns: Turns,
}

impl Turns {
    /// The documents of these turns; without any the record is dropped.
    pub fn verdict(self, turns: Vec<Turn>) -> Verdict {
        if turns.is_empty() {
            return Verdict::Drop("no valid turn");
        }
        match self {
            Self::Joined => Verdict::one(Document::Chat(conversation(turns))),
            Self::Separate => {
                let document = |(prompt, completion)| Document::Chat(Conversation::pair(prompt, completion));
                Verdict::Keep(turns.into_iter().map(document).collect())
            }
        }
    }
}

/// Turns as one conversation.
pub fn conversation(turns: Vec<Turn>) -> Conversation {
    let messages = turns.into_iter().flat_map(|(prompt, completion)| {
        [Message::new(Role::User, prompt), Message::new(Role::Assistant, completion)]
    });
    Conversation { messages: messages.collect(), strip: false }
}
