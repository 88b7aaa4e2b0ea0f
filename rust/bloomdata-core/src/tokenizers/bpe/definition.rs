//! What of a `tokenizer.json` can be done exactly here. Everything else is refused with a reason, never guessed.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::DecoderWrapper;

use super::added::Finder;
use super::around::around;
use super::file::read;
use super::model::Model;
use super::normalize::Normalizer;
use super::vocabulary::{Listed, Vocabulary};
use super::words::Words;
use crate::tokenizers::byte_lengths::ByteLengths;

/// A definition that can be done exactly.
pub(super) struct Definition {
    pub(super) vocabulary: Vocabulary,
    pub(super) model: Model,
    pub(super) normalizer: Normalizer,
    pub(super) words: Words,
    /// Added tokens of raw text, and those of normalized text.
    pub(super) added: [Option<Finder>; 2],
    /// Ids in front of every text and behind it.
    pub(super) around: (Vec<u32>, Vec<u32>),
    /// How many bytes each token stands for, where nothing is put in front of texts that is not in them.
    pub(super) lengths: Option<ByteLengths>,
}

/// The whole file. Of truncation and padding nothing is done, and what the crate does not know, it passes over.
#[derive(Deserialize)]
struct File<'json> {
    version: Option<String>,
    /// Parsed last: it is nearly all of the file.
    #[serde(borrow)]
    model: &'json RawValue,
    #[serde(default)]
    added_tokens: Vec<Listed>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    decoder: Option<DecoderWrapper>,
}

/// What kind a model is.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    name: Option<String>,
}

impl Definition {
    /// Parses a `tokenizer.json`.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if let Some(version) = file.version.filter(|version| version != "1.0") {
            return Err(format!("its version is {version:?}"));
        }
        let kind: Kind = serde_json::from_str(file.model.get()).map_err(|error| error.to_string())?;
        if let Some(name) = kind.name.filter(|name| name != "BPE") {
            return Err(format!("its model is {name:?}"));
        }
        let normalizer = Normalizer::parse(&file.normalizer)?;
        let words = Words::parse(&file.pre_tokenizer)?;
        let around = around(&file.post_processor)?;
        let model = read(file.model.get())?;
        let vocabulary = Vocabulary::new(&model, file.added_tokens, &normalizer, file.decoder)?;
        // A token that is found inside what one letter became leaves a rest that starts where the letter started.
        let may_move = match normalizer {
            Normalizer::None => false,
            Normalizer::Other(_) => true,
            _ => vocabulary.added().any(|(_, token)| token.normalized),
        };
        if words.ask_for_start() && may_move {
            return Err("its normalizer may move what its Metaspace asks for: the start of the text".into());
        }
        let mut model = match words {
            Words::Stages(_) => Model::of_bytes(&model)?,
            Words::Marks(_) => Model::of_pieces(&model)?,
        };
        let mut added = [Vec::new(), Vec::new()];
        for (id, mut token) in vocabulary.added() {
            if token.normalized {
                token.content = normalizer.apply(&token.content)?.into_owned();
            }
            added[usize::from(token.normalized)].push((id, token));
        }
        let [raw, normalized] = added.map(Finder::new);
        let added = [raw?, normalized?];
        let mut lengths = std::mem::take(&mut model.lengths);
        for (id, length) in added.iter().flatten().flat_map(Finder::lengths) {
            lengths.set(id, length);
        }
        let lengths = words.adds_nothing().then_some(lengths);
        Ok(Self { vocabulary, model, normalizer, words, added, around, lengths })
    }
}
