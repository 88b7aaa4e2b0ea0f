//! What of a `tokenizer.json` can be done exactly here. Everything else is refused with a reason, never guessed.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::utils::SysRegex;

use super::added::{AddedToken, Finder};
use super::marks::Marks;
use super::model::{Model, byte_letters};
use super::normalize::Normalizer;
use super::split::Splitter;
use super::stages::{ByteStage, Stage, Stages};

/// A definition that can be done exactly.
pub(super) struct Definition {
    pub(super) model: Model,
    pub(super) normalizer: Normalizer,
    pub(super) words: Words,
    /// Added tokens of raw text, and those of normalized text.
    pub(super) added: [Option<Finder>; 2],
}

#[derive(Deserialize)]
struct File<'json> {
    /// Parsed last: it is nearly all of the file.
    #[serde(borrow)]
    model: &'json RawValue,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
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
        let kind: Kind = serde_json::from_str(file.model.get()).map_err(|error| error.to_string())?;
        if let Some(name) = kind.name.filter(|name| name != "BPE") {
            return Err(format!("its model is {name:?}"));
        }
        let normalizer = Normalizer::parse(&file.normalizer)?;
        let kind = file.pre_tokenizer.get("type").and_then(Value::as_str);
        let (words, model) = if matches!(kind, None | Some("Metaspace")) {
            (Words::Marks(Marks::parse(&file.pre_tokenizer)?), Model::parse_pieces(file.model.get())?)
        } else {
            (Words::Stages(stages(&file.pre_tokenizer)?), Model::parse(file.model.get())?)
        };
        let mut added = [Vec::new(), Vec::new()];
        for mut token in file.added_tokens.into_iter().filter(|token| !token.content.is_empty()) {
            if token.normalized {
                token.content = normalizer.apply(&token.content)?.into_owned();
            }
            added[usize::from(token.normalized)].push(token);
        }
        let [raw, normalized] = added.map(Finder::new);
        Ok(Self { model, normalizer, words, added: [raw?, normalized?] })
    }
}

/// How words are cut.
#[derive(Debug)]
pub(super) enum Words {
    /// By pre-tokenizers that end in bytes.
    Stages(Stages),
    /// At the marks of `SentencePiece`.
    Marks(Marks),
}

/// The pre-tokenizers, in their order.
fn stages(json: &Value) -> Result<Stages, String> {
    let is_sequence = json.get("type").and_then(Value::as_str) == Some("Sequence");
    let list = match json.get("pretokenizers").and_then(Value::as_array) {
        Some(list) if is_sequence => list.as_slice(),
        _ => std::slice::from_ref(json),
    };
    let is_number = byte_letters().into_iter().map(char::is_numeric).collect();
    let mut stages = Stages { text: Vec::new(), bytes: Vec::new(), is_number, adds_space: false };
    let mut is_bytes = false;
    for json in list {
        let kind = json.get("type").and_then(Value::as_str).unwrap_or("none");
        let unknown = || format!("its pre-tokenizer {kind} is of a form that is not known");
        let flag = |key: &str, default| json.get(key).and_then(Value::as_bool).unwrap_or(default);
        match kind {
            // A space in front of every text; in front of every piece of a text is not done here.
            "ByteLevel" if !is_bytes && (stages.text.is_empty() || !flag("add_prefix_space", true)) => {
                is_bytes = true;
                stages.adds_space = flag("add_prefix_space", true);
                if flag("use_regex", true) {
                    stages.text.push(Stage::Known(Splitter::Gpt2));
                }
            }
            "Digits" if is_bytes => {
                stages.bytes.push(ByteStage::Digits { individual: flag("individual_digits", false) });
            }
            "Digits" => stages.text.push(Stage::Digits { individual: flag("individual_digits", false) }),
            "Punctuation" if !is_bytes && json.get("behavior").is_some_and(|name| name == "Contiguous") => {
                stages.text.push(Stage::Punctuation);
            }
            "Split"
                if json.get("behavior").is_some_and(|name| name == "Isolated") && !flag("invert", false) =>
            {
                let pattern = json.get("pattern").and_then(|pattern| pattern.get("Regex")?.as_str());
                let pattern = pattern.ok_or_else(unknown)?;
                if is_bytes {
                    if pattern != "[0-9][0-9][0-9]" {
                        return Err(unknown());
                    }
                    stages.bytes.push(ByteStage::ThreeDigits);
                } else if let Some(splitter) = Splitter::of_pattern(pattern) {
                    stages.text.push(Stage::Known(splitter));
                } else {
                    let regex = SysRegex::new(pattern).map_err(|error| error.to_string())?;
                    stages.text.push(Stage::Pattern(regex));
                }
            }
            _ => return Err(unknown()),
        }
    }
    if is_bytes { Ok(stages) } else { Err("its pre-tokenizer does not make bytes".into()) }
}
