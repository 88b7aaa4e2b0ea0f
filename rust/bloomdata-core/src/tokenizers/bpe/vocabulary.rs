//! Names of ids and decoding, as in the `tokenizers` crate: its own decoder runs on our names.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;
use tokenizers::{Decoder as _, DecoderWrapper};

use super::added::AddedToken;
use super::file::{File, Vocab};
use super::normalize::Normalizer;
use crate::token::narrow;

/// An added token of the file. The crate ignores its id.
#[derive(Deserialize)]
pub(super) struct Listed {
    #[serde(rename = "id")]
    _id: u32,
    #[serde(flatten)]
    token: tokenizers::AddedToken,
}

/// All tokens of a tokenizer.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Range in `text` of each id's name; `None` for an unused id.
    names: Vec<Option<(u32, u32)>>,
    text: String,
    added: BTreeMap<u32, tokenizers::AddedToken>,
    added_ids: BTreeMap<String, u32>,
    /// Normalized names of added tokens, which replace their own.
    normalized: BTreeMap<u32, String>,
    special: BTreeSet<String>,
    decoder: Option<DecoderWrapper>,
    size: u64,
}

impl Vocabulary {
    /// From the model, the listed added tokens, the normalizer and the decoder.
    ///
    /// # Errors
    /// What the normalizer reports.
    pub(super) fn new(
        file: &File,
        listed: Vec<Listed>,
        normalizer: &Normalizer,
        decoder: Option<DecoderWrapper>,
    ) -> Result<Self, String> {
        let mut text = String::new();
        let name = |name: Option<&str>| {
            let from = narrow(text.len());
            text.push_str(name?);
            Some((from, narrow(text.len())))
        };
        let names: Vec<_> = file.names().into_iter().map(name).collect();
        let mut vocabulary = Self {
            names,
            text,
            added: BTreeMap::new(),
            added_ids: BTreeMap::new(),
            normalized: BTreeMap::new(),
            special: BTreeSet::new(),
            decoder,
            size: 0,
        };
        vocabulary.add(&file.vocab, listed, normalizer)?;
        let highest = vocabulary.added_ids.values().max().map_or(0, |&id| u64::from(id) + 1);
        vocabulary.size = highest.max(vocabulary.names.len() as u64);
        Ok(vocabulary)
    }

    /// Mirrors `add_tokens` of the crate: tokens of the model keep their ids, others get the next free
    /// ones.
    fn add(&mut self, vocab: &Vocab, listed: Vec<Listed>, normalizer: &Normalizer) -> Result<(), String> {
        let mut next = narrow(vocab.len());
        for Listed { token, .. } in listed {
            let known = self.added_ids.get(&token.content).copied();
            if token.content.is_empty() || known.is_some_and(|id| self.added.get(&id) == Some(&token)) {
                continue;
            }
            let id = known.or_else(|| vocab.get(token.content.as_str()).copied()).unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            if token.normalized {
                let normalized = normalizer.apply(&token.content)?;
                if normalized != token.content {
                    self.normalized.insert(id, normalized.into_owned());
                }
            }
            self.added_ids.insert(token.content.clone(), id);
            if token.special {
                self.special.insert(token.content.clone());
            }
            self.added.insert(id, token);
        }
        Ok(())
    }

    /// Added tokens in the order of their ids.
    pub(super) fn added(&self) -> impl Iterator<Item = AddedToken> {
        self.added.iter().map(|(&id, token)| (id, token.clone()))
    }

    /// The same, with the content under which they are found in texts.
    pub(super) fn patterns(&self) -> impl Iterator<Item = AddedToken> {
        self.added().map(|(id, mut token)| {
            // The crate keeps the normalized name of a token that had the id before, so it counts as well.
            if token.normalized
                && let Some(text) = self.normalized.get(&id)
            {
                token.content.clone_from(text);
            }
            (id, token)
        })
    }

    /// One more than the highest id.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The id of a token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        let of_model =
            || (0..).zip(&self.names).find(|&(_, name)| self.text_of(*name) == Some(token)).map(|(id, _)| id);
        self.added_ids.get(token).copied().or_else(of_model)
    }

    /// The name of an id.
    pub(super) fn name(&self, id: u32) -> Option<&str> {
        let added = || self.normalized.get(&id).or_else(|| Some(&self.added.get(&id)?.content));
        added().map(String::as_str).or_else(|| self.model_name(id))
    }

    /// Decodes ids to text; bytes that are not valid UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// What the crate's decoder reports.
    pub(super) fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, String> {
        let names = ids.iter().filter_map(|&id| self.name(id));
        let names =
            names.filter(|&name| !skip_special_tokens || !self.special.contains(name)).map(str::to_owned);
        let names: Vec<String> = names.collect();
        let Some(decoder) = &self.decoder else { return Ok(names.join(" ")) };
        catch_unwind(AssertUnwindSafe(|| decoder.decode(names)))
            .map_err(|_| "its decoder panicked".to_owned())?
            .map_err(|error| error.to_string())
    }

    fn model_name(&self, id: u32) -> Option<&str> {
        self.text_of(*self.names.get(id as usize)?)
    }

    fn text_of(&self, place: Option<(u32, u32)>) -> Option<&str> {
        let (from, end) = place?;
        Some(&self.text[from as usize..end as usize])
    }
}
