//! Parses a `tokenizer.json` and decides whether our BPE reproduces it exactly. Anything else is rejected
//! with a reason.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PaddingParams, PostProcessorWrapper, PreTokenizerWrapper,
    TruncationParams,
};

use super::added::Finder;
use super::file::read;
use super::model::Model;
use super::normalize::Normalizer;
use super::pieces;
use super::post_processor::affixes;
use super::pre_tokenizer::PreTokenizer;
use super::vocabulary::{Listed, Vocabulary};
use crate::tokenizers::byte_lengths::ByteLengths;

/// A definition that our BPE reproduces exactly.
pub(super) struct Definition {
    pub(super) vocabulary: Vocabulary,
    pub(super) model: Model,
    pub(super) normalizer: Normalizer,
    pub(super) pre_tokenizer: PreTokenizer,
    /// Added tokens of raw text, and those of normalized text.
    pub(super) added: [Option<Finder>; 2],
    /// Ids that the post-processor adds in front of every text and after it.
    pub(super) affixes: (Vec<u32>, Vec<u32>),
    /// Bytes that each token stands for; `None` if text is put in front of the input.
    pub(super) lengths: Option<ByteLengths>,
}

/// The whole file in the crate's own types, so that whatever the crate rejects is rejected here. Truncation
/// and padding are ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'json> {
    #[serde(default = "version")]
    version: String,
    #[serde(rename = "truncation")]
    _truncation: Option<TruncationParams>,
    #[serde(rename = "padding")]
    _padding: Option<PaddingParams>,
    /// Parsed last, as it is nearly all of the file.
    #[serde(borrow)]
    model: &'json RawValue,
    #[serde(default)]
    added_tokens: Vec<Listed>,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
    post_processor: Option<PostProcessorWrapper>,
    decoder: Option<DecoderWrapper>,
}

fn version() -> String {
    "1.0".into()
}

/// The type of a model.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", default = "bpe")]
    name: String,
}

/// The type that the crate tries first if the model names none.
fn bpe() -> String {
    "BPE".into()
}

/// A part as the crate understood it, with defaults filled in and older forms converted.
fn understood(part: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(part).map_err(|error| error.to_string())
}

impl Definition {
    /// Parses a `tokenizer.json`.
    ///
    /// # Errors
    /// Why our BPE does not reproduce it.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        // Serde would accept the fields as an array, too.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err("it is not a JSON object".into());
        }
        let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if file.version != version() {
            return Err(format!("its version is {:?}, expected {:?}", file.version, version()));
        }
        let kind: Kind = serde_json::from_str(file.model.get()).map_err(|error| error.to_string())?;
        if kind.name != bpe() {
            return Err(format!("its model is {:?}, expected {:?}", kind.name, bpe()));
        }
        let normalizer = Normalizer::parse(&understood(&file.normalizer)?)?;
        let pre_tokenizer = PreTokenizer::parse(&understood(&file.pre_tokenizer)?)?;
        let affixes = file.post_processor.as_ref().map(affixes).transpose()?.unwrap_or_default();
        let model = read(file.model.get())?;
        let vocabulary = Vocabulary::new(&model, file.added_tokens, &normalizer, file.decoder)?;
        // An added token found within the normalized form of one character leaves a rest that, for the
        // crate, starts where that character started.
        let may_move = match normalizer {
            Normalizer::None => false,
            Normalizer::Other(_) => true,
            _ => vocabulary.added().any(|(_, token)| token.normalized),
        };
        if pre_tokenizer.ask_for_start() && may_move {
            return Err(
                "its normalizer may move the start of the text, on which its Metaspace depends".into()
            );
        }
        let mut model = match pre_tokenizer {
            PreTokenizer::Sequence(_) => Model::of_bytes(&model)?,
            PreTokenizer::Metaspace(_) => Model::new(pieces::merger(&model)?),
        };
        let mut added = [Vec::new(), Vec::new()];
        for (id, token) in vocabulary.patterns() {
            added[usize::from(token.normalized)].push((id, token));
        }
        let [raw, normalized] = added.map(Finder::new);
        let added = [raw?, normalized?];
        let mut lengths = std::mem::take(&mut model.lengths);
        for (id, length) in added.iter().flatten().flat_map(Finder::lengths) {
            lengths.set(id, length);
        }
        let lengths = pre_tokenizer.adds_nothing().then_some(lengths);
        Ok(Self { vocabulary, model, normalizer, pre_tokenizer, added, affixes, lengths })
    }
}
