//! Which ids end and pad a document, from the files beside a `tokenizer.json`.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// The ids that mark documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    /// Ends every document.
    pub eos: u32,
    /// Pads sequences.
    pub pad: u32,
    /// Starts a text, if the tokenizer's files name such a token.
    pub bos: Option<u32>,
}

/// End-of-document tokens of known families; used only if exactly one of them is in the vocabulary.
const KNOWN_EOS: [&str; 8] = [
    "</s>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<eos>",
    "<|im_end|>",
    "<|end▁of▁sentence|>",
    "<｜end▁of▁sentence｜>",
    "[SEP]",
];
const FILES: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];

/// Finds the ids from the caller's names, else the files beside the tokenizer, else the known names.
///
/// Returns the ids, or why the end-of-document token is unknown: a guess would end documents wrongly.
///
/// # Errors
/// A token that is not in the vocabulary.
pub fn resolve(
    file: &Path,
    eos_token: Option<&str>,
    pad_token: Option<&str>,
    id_of: impl Fn(&str) -> Option<u32>,
) -> Result<std::result::Result<SpecialIds, String>> {
    let named = |option: &str, token: Option<String>| match token {
        None => Ok(None),
        Some(token) => match id_of(&token) {
            Some(id) => Ok(Some(id)),
            None => Err(Error::config(option, format!("{token:?} is not a token of {}", file.display()))),
        },
    };
    let eos_name = match eos_token {
        Some(token) => Some(token.to_owned()),
        None => configured(file, "eos_token")?,
    };
    let pad_name = match pad_token {
        Some(token) => Some(token.to_owned()),
        None => configured(file, "pad_token")?,
    };
    let eos = match named("eos_token", eos_name)? {
        Some(id) => Ok(id),
        None => known_eos(file, &id_of),
    };
    let bos = configured(file, "bos_token")?.and_then(|token| id_of(&token));
    let pad = named("pad_token", pad_name)?;
    Ok(eos.map(|eos| SpecialIds { eos, pad: pad.unwrap_or(eos), bos }))
}

fn known_eos(file: &Path, id_of: &impl Fn(&str) -> Option<u32>) -> std::result::Result<u32, String> {
    let candidates: Vec<(&str, u32)> =
        KNOWN_EOS.into_iter().filter_map(|token| id_of(token).map(|id| (token, id))).collect();
    if let [(_, id)] = candidates[..] {
        return Ok(id);
    }
    let names: Vec<&str> = candidates.iter().map(|(token, _)| *token).collect();
    Err(format!(
        "{} does not say which token ends a document (no {} beside it); candidates: {names:?}",
        file.display(),
        FILES.join(" or ")
    ))
}

/// A token named in a configuration file: a string, or an object with the string under `content`.
fn configured(file: &Path, key: &str) -> Result<Option<String>> {
    for name in FILES {
        let path = file.with_file_name(name);
        let Ok(text) = std::fs::read(&path) else { continue };
        let config: Value = serde_json::from_slice(&text)
            .map_err(|error| Error::corrupt(&path, 0, format!("malformed JSON: {error}")))?;
        let token =
            config.get(key).and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        if let Some(token) = token {
            return Ok(Some(token.to_owned()));
        }
    }
    Ok(None)
}
