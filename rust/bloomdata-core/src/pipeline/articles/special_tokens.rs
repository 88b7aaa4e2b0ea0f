//! Special tokens that texts hold: whether they are text or tokens.

use serde::{Deserialize, Serialize};

use crate::document::BadRecord;
use crate::error::{Error, Result};
use crate::templates::quoted::SpecialFinder;
use crate::tokenizers::Tokenizer;

/// What special tokens in texts are. What a template, the tokenizer or an option adds is always a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpecialTokensInText {
    /// Letters, as `split_special_tokens` of transformers has it.
    Text,
    /// The tokens that they spell.
    Token,
    /// No text: their records are bad ones.
    Refuse,
}

/// Finds special tokens, and says what they are.
#[derive(Debug)]
pub(in crate::pipeline) struct SpecialTokens {
    pub(in crate::pipeline) are: SpecialTokensInText,
    pub(in crate::pipeline) finder: Option<SpecialFinder>,
}

impl SpecialTokens {
    /// Those of a tokenizer.
    ///
    /// # Errors
    /// Too many to look for.
    pub(in crate::pipeline) fn new(are: SpecialTokensInText, tokenizer: &dyn Tokenizer) -> Result<Self> {
        let finder = SpecialFinder::new(&tokenizer.special_tokens());
        Ok(Self { are, finder: finder.map_err(|reason| Error::config("tokenizer", reason))? })
    }

    /// How many a text holds.
    ///
    /// # Errors
    /// Any, if they are refused.
    pub(in crate::pipeline) fn count(&self, text: &str) -> std::result::Result<u64, BadRecord> {
        self.finder.as_ref().map_or(Ok(0), |finder| self.allow(finder.count(text)))
    }

    /// Refuses any, if they are to be refused.
    ///
    /// # Errors
    /// As said.
    pub(in crate::pipeline) fn allow(&self, count: u64) -> std::result::Result<u64, BadRecord> {
        if count > 0 && self.are == SpecialTokensInText::Refuse {
            return Err(BadRecord::SpecialTokens(count));
        }
        Ok(count)
    }

    /// The finder, if what it finds has to become text, and there are so many.
    pub(in crate::pipeline) fn quoting(&self, count: u64) -> Option<&SpecialFinder> {
        self.finder.as_ref().filter(|_| count > 0 && self.are == SpecialTokensInText::Text)
    }

    /// Appends the ids of a text that holds so many, without the end token that the tokenizer adds.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub(in crate::pipeline) fn encode_open(
        &self,
        tokenizer: &dyn Tokenizer,
        (text, count): (&str, u64),
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let before = ids.len();
        self.encode(tokenizer, (text, count), ids)?;
        tokenizer.drop_added_eos(before, ids)
    }

    /// Appends the ids of a text that holds so many.
    ///
    /// # Errors
    /// What the tokenizer reports; one that knows them only as tokens.
    pub(in crate::pipeline) fn encode(
        &self,
        tokenizer: &dyn Tokenizer,
        (text, count): (&str, u64),
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let Some(finder) = self.quoting(count) else { return tokenizer.encode(text, ids) };
        if tokenizer.encode_quoted(text, &finder.find(text), ids)? {
            return Ok(());
        }
        let reason =
            format!("{} knows either all special tokens in texts as text, or none", tokenizer.backend());
        Err(Error::config("special_tokens_in_text", reason))
    }
}
