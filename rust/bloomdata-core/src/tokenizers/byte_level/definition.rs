//! What of a `tokenizer.json` can be done exactly here. Everything else is refused with a reason, never guessed.

#![allow(clippy::disallowed_types, reason = "maps are looked up, their order is never seen")]

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::utils::SysRegex;

use super::merges::{Merger, NO_ID};
use super::split::Splitter;
use super::stages::{ByteStage, Stage, Stages};

/// A definition that can be done exactly.
pub(super) struct Definition {
    pub(super) merger: Merger,
    pub(super) stages: Stages,
    pub(super) is_nfc: bool,
    pub(super) added: Vec<(AhoCorasick, Vec<u32>)>,
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

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "as in the file")]
struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
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
        let is_nfc = match file.normalizer.get("type").and_then(Value::as_str) {
            None if file.normalizer.is_null() => false,
            Some("NFC") => true,
            other => return Err(format!("its normalizer is {}", other.unwrap_or("unknown"))),
        };
        let stages = stages(&file.pre_tokenizer)?;
        let added = added(file.added_tokens)?;
        let model: Model = serde_json::from_str(file.model.get()).map_err(|error| error.to_string())?;
        let is_empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
        if model.dropout.is_some_and(|dropout| dropout != 0.0)
            || model.byte_fallback
            || !is_empty(&model.continuing_subword_prefix)
            || !is_empty(&model.end_of_word_suffix)
        {
            return Err("its BPE has dropout, byte fallback, prefixes or suffixes".into());
        }
        Ok(Self { merger: merger(&model)?, stages, is_nfc, added })
    }
}

/// The pre-tokenizers, in their order.
fn stages(json: &Value) -> Result<Stages, String> {
    let is_sequence = json.get("type").and_then(Value::as_str) == Some("Sequence");
    let list = match json.get("pretokenizers").and_then(Value::as_array) {
        Some(list) if is_sequence => list.as_slice(),
        _ => std::slice::from_ref(json),
    };
    let is_number = byte_letters().into_iter().map(char::is_numeric).collect();
    let mut stages = Stages { text: Vec::new(), bytes: Vec::new(), is_number };
    let mut is_bytes = false;
    for json in list {
        let kind = json.get("type").and_then(Value::as_str).unwrap_or("none");
        let unknown = || format!("its pre-tokenizer {kind} is of a form that is not known");
        let flag = |key: &str, default| json.get(key).and_then(Value::as_bool).unwrap_or(default);
        match kind {
            "ByteLevel" if !is_bytes && !flag("add_prefix_space", true) => {
                is_bytes = true;
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

/// Finders of added tokens: first those of raw text, then those of normalized text.
fn added(tokens: Vec<AddedToken>) -> Result<Vec<(AhoCorasick, Vec<u32>)>, String> {
    let (normalized, raw): (Vec<_>, Vec<_>) =
        tokens.into_iter().filter(|token| !token.content.is_empty()).partition(|token| token.normalized);
    let mut finders = Vec::new();
    for tokens in [raw, normalized] {
        if let Some(token) = tokens.iter().find(|token| token.single_word || token.lstrip || token.rstrip) {
            return Err(format!("its added token {:?} takes spaces or whole words", token.content));
        }
        if !tokens.is_empty() {
            let finder = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(tokens.iter().map(|token| &token.content))
                .map_err(|error| error.to_string())?;
            finders.push((finder, tokens.iter().map(|token| token.id).collect()));
        }
    }
    Ok(finders)
}

fn merger(model: &Model) -> Result<Merger, String> {
    let letters = byte_letters();
    let bytes: HashMap<char, u8> = letters.iter().copied().zip(0..=u8::MAX).collect();
    // Tokens that are no bytes cannot come out of merges.
    let as_bytes =
        |token: &str| token.chars().map(|letter| bytes.get(&letter).copied()).collect::<Option<Vec<u8>>>();
    let mut byte_ids = vec![0; 256];
    for (byte, letter) in letters.iter().enumerate() {
        let id = model.vocab.get(letter.encode_utf8(&mut [0; 4]) as &str);
        // Some bytes are in no text.
        byte_ids[byte] = match id {
            Some(&id) => id,
            // Others are left out without a word, as the crate does.
            None if matches!(byte, 0xc0 | 0xc1 | 0xf5..) || model.unk_token.is_none() => NO_ID,
            None => return Err(format!("its vocabulary lacks byte {byte}")),
        };
    }
    let mut merges = Vec::with_capacity(model.merges.len());
    for merge in &model.merges {
        let (left, right) = match merge {
            Merge::Pair(left, right) => (left.as_str(), right.as_str()),
            Merge::Text(text) => text.split_once(' ').ok_or("a merge is not two tokens")?,
        };
        let id =
            |token: &str| model.vocab.get(token).copied().ok_or("a merge's token is not in its vocabulary");
        merges.push((id(left)?, id(right)?, id(&format!("{left}{right}"))?));
    }
    let whole = if model.ignore_merges {
        model
            .vocab
            .iter()
            .filter_map(|(token, &id)| Some((as_bytes(token)?.into_boxed_slice(), id)))
            .collect()
    } else {
        HashMap::new()
    };
    Ok(Merger::new(byte_ids, &merges, whole))
}

/// GPT-2's letters for bytes: printable ones stand for themselves, the others follow from U+0100 on.
fn byte_letters() -> Vec<char> {
    let mut next = 0x100;
    (0..=u8::MAX)
        .map(|byte| {
            let is_printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            if is_printable {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1).unwrap_or_default()
            }
        })
        .collect()
}
