//! A `tokenizer.json` as it was read, shared by the backends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::{AddedToken, ModelWrapper};

use super::{SpecialIds, TokenizerOptions, other_files, special};
use crate::error::{Error, Result};
use crate::hash::hash_bytes;

/// A definition and the options it was loaded with.
#[derive(Debug)]
pub(super) struct Source {
    file: PathBuf,
    options: TokenizerOptions,
    /// The `tokenizer.json`, including the special tokens of the options.
    pub(super) definition: Vec<u8>,
    pub(super) fingerprint: String,
}

impl Source {
    /// Reads `file`.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not a tokenizer although tokens are to be added to it.
    pub(super) fn read(file: &Path, options: &TokenizerOptions) -> Result<Self> {
        let definition = std::fs::read(file).map_err(Error::io(file))?;
        let (file, options) = (file.to_owned(), options.clone());
        let mut source = Self { file, options, definition, fingerprint: String::new() };
        if let Some(found) = other_files::found_in(&source.definition) {
            return Err(source.refused(&format!("found {found}")));
        }
        if !source.options.special_tokens.is_empty() {
            let mut inner = source.load()?;
            let tokens =
                source.options.special_tokens.iter().map(|token| AddedToken::from(token.as_str(), true));
            inner.add_special_tokens(tokens).map_err(|error| source.refused(&error))?;
            // Stored beside the data as it was used, with the added tokens.
            source.definition = inner.to_string(false).map_err(|error| source.refused(&error))?.into_bytes();
        }
        source.fingerprint = hash_bytes(&source.definition);
        Ok(source)
    }

    /// Loads the crate's tokenizer, with the file's truncation and padding disabled: they would lose text.
    ///
    /// # Errors
    /// A file that is not a tokenizer.
    pub(super) fn load(&self) -> Result<tokenizers::Tokenizer> {
        // The crate panics on some broken files.
        let mut inner =
            catch_unwind(AssertUnwindSafe(|| tokenizers::Tokenizer::from_bytes(&self.definition)))
                .map_err(|_| match serde_json::from_slice::<Value>(&self.definition) {
                    Err(error) => self.refused(&error),
                    Ok(_) => self.refused(&"the tokenizers crate panicked on it"),
                })?
                .map_err(|error| self.refused(&error))?;
        let added = inner.get_added_tokens_decoder();
        if added.into_keys().any(|id| inner.id_to_token(id).is_some_and(|name| name.is_empty())) {
            // The crate would match it endlessly.
            return Err(self.refused(&"an added token is empty once it is normalized"));
        }
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some_and(|dropout| dropout != 0.0)
        {
            return Err(self.refused(&"its dropout would give a text other ids each time: set it to null"));
        }
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| {
            Error::corrupt(&self.file, 0, format!("truncation cannot be disabled: {error}"))
        })?;
        Ok(inner)
    }

    /// The error for a file that is not a tokenizer.
    pub(super) fn refused(&self, reason: &dyn std::fmt::Display) -> Error {
        // The crate slices `continuing_subword_prefix` by bytes, so that its message may not be valid
        // UTF-8.
        let reason = reason.to_string().into_bytes();
        let reason = String::from_utf8_lossy(&reason);
        Error::corrupt(&self.file, 0, format!("cannot be loaded as a tokenizer: {reason}"))
    }

    /// The ids that mark documents, or why they are unknown.
    ///
    /// # Errors
    /// A token that is not in the vocabulary.
    pub(super) fn special(
        &self,
        id_of: impl Fn(&str) -> Option<u32>,
    ) -> Result<std::result::Result<SpecialIds, String>> {
        let TokenizerOptions { eos_token, pad_token, .. } = &self.options;
        special::resolve(&self.file, eos_token.as_deref(), pad_token.as_deref(), id_of)
    }

    /// Those of the special tokens that the options did not add: who adds one wants it found in texts.
    pub(super) fn own<'run>(&self, special: impl Iterator<Item = &'run AddedToken>) -> Vec<String> {
        let names = special.filter(|token| token.special).map(|token| token.content.clone());
        names.filter(|name| !self.options.special_tokens.contains(name)).collect()
    }

    /// Whether the options added any.
    pub(super) fn adds_tokens(&self) -> bool {
        !self.options.special_tokens.is_empty()
    }

    /// Whether the tokens of the post-processor are added.
    pub(super) fn adds_special_tokens(&self) -> bool {
        self.options.add_special_tokens
    }
}
