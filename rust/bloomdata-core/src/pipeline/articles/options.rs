//! Options that say how a record becomes articles. Same names as in Python and on the command line.

use serde::{Deserialize, Serialize};

use super::special_tokens::SpecialTokensInText;
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::sources::columns::Columns;
use crate::stages::RecordSource;
use crate::stages::preference::Judgement;
use crate::templates::chat_template::TemplateOptions;
use crate::templates::message::MessageKeys;
use crate::templates::prompt_completion::PairOptions;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// An object with one or several fields of text.
    Text,
    /// A pair of prompt and completion, or a list of them.
    PromptCompletion,
    /// A conversation, rendered by a template.
    Messages,
}

/// How far something reaches. Names are those of `generative_data_prep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Over a whole record.
    Jsonl,
    /// Over one pair of a record.
    PromptCompletionPair,
}

/// How records become conversations, and these become text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatOptions {
    /// The template.
    #[serde(flatten)]
    pub template: TemplateOptions,
    /// Key of the list of messages.
    pub messages_keyword: String,
    /// Keys of a message.
    #[serde(flatten)]
    pub keys: MessageKeywords,
    /// Keys of records and messages that may be lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_fields: Vec<String>,
    /// The source whose records these are; none for records with messages.
    pub source: Option<RecordSource>,
}

/// Keys of a message; the usual ones are not written, so that manifests of before stay the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageKeywords {
    /// Key of the role.
    #[serde(skip_serializing_if = "is_role")]
    pub role_keyword: String,
    /// Key of the content.
    #[serde(skip_serializing_if = "is_content")]
    pub content_keyword: String,
}

impl Default for MessageKeywords {
    fn default() -> Self {
        let MessageKeys { role, content } = MessageKeys::default();
        Self { role_keyword: role, content_keyword: content }
    }
}

impl MessageKeywords {
    /// The keys.
    ///
    /// # Errors
    /// One key for both.
    pub fn keys(&self) -> Result<MessageKeys> {
        let (role, content) = (self.role_keyword.clone(), self.content_keyword.clone());
        if role == content {
            return Err(Error::config("content_keyword", format!("{content:?} is the key of the role")));
        }
        Ok(MessageKeys { role, content })
    }
}

fn is_role(key: &str) -> bool {
    key == "role"
}

fn is_content(key: &str) -> bool {
    key == "content"
}

/// How a record becomes articles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordConfig {
    /// What a record is.
    pub record: RecordKind,
    /// Fields that hold text; each makes its own Megatron pair.
    pub text_field: Vec<String>,
    /// How pairs of prompt and completion are read.
    #[serde(flatten)]
    pub pairs: PairOptions,
    /// The source whose records are texts, with `record: text`; `chats` has that of conversations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RecordSource>,
    /// How conversations become text, with `record: messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chats: Option<ChatOptions>,
    /// What special tokens in texts are; `None` for what they are by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_tokens_in_text: Option<SpecialTokensInText>,
    /// Where one must not attend to what is before: behind articles, or behind each pair.
    pub attention_boundary: Boundary,
    /// What packing keeps together: articles, or single pairs.
    pub packing_boundary: Boundary,
}

impl RecordConfig {
    /// How answers are judged, where records are such.
    pub fn judgement(&self) -> Option<Judgement> {
        self.chats.as_ref()?.source.as_ref()?.judgement()
    }

    /// What special tokens in texts are.
    ///
    /// # Errors
    /// Pairs with a template, whose own tokens are in these texts.
    pub fn special_tokens_in_text(&self) -> Result<SpecialTokensInText> {
        // In a conversation, a user could end a turn with one, and begin another.
        let is_chat = self.record == RecordKind::Messages;
        let usual = if is_chat { SpecialTokensInText::Text } else { SpecialTokensInText::Token };
        let are = self.special_tokens_in_text.unwrap_or(usual);
        if self.pairs.pair_template.is_some() && are != SpecialTokensInText::Token {
            let reason = "pairs with a template hold its special tokens as well: expected \"token\"";
            return Err(Error::config("special_tokens_in_text", reason));
        }
        Ok(are)
    }

    /// The fields that hold text.
    ///
    /// # Errors
    /// A name that is not a field path.
    pub fn fields(&self) -> Result<Vec<FieldPath>> {
        self.text_field.iter().map(|field| FieldPath::parse(field)).collect()
    }

    /// The columns of tables that hold them.
    ///
    /// # Errors
    /// A name that is not a field path.
    pub fn columns(&self) -> Result<Columns> {
        let named = match self.record {
            RecordKind::Text if self.source.is_none() => {
                self.fields()?.iter().map(|field| field.column().to_owned()).collect()
            }
            // Keys may be missing: read every column.
            _ => Vec::new(),
        };
        Ok(Columns::named(named))
    }
}
