//! The `model` of a `tokenizer.json`, as it stands in the file.

#![allow(clippy::disallowed_types, reason = "maps are looked up, their order is never seen")]

use std::collections::HashMap;

use serde::Deserialize;

use super::merges::NO_ID;

#[derive(Deserialize)]
pub(super) struct File {
    pub(super) vocab: HashMap<String, u32>,
    pub(super) merges: Vec<Merge>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Merge {
    Text(String),
    Pair(String, String),
}

/// Reads a model, and refuses what no model here may have.
///
/// # Errors
/// Which of it the model has.
pub(super) fn read(json: &str) -> Result<File, String> {
    let mut file: File = serde_json::from_str(json).map_err(|error| error.to_string())?;
    // In the older form the crate takes such a merge for the first line of a file of merges.
    file.merges.retain(|merge| !matches!(merge, Merge::Text(text) if text.starts_with("#version")));
    let is_empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    if file.dropout.is_some_and(|dropout| dropout != 0.0)
        || !is_empty(&file.continuing_subword_prefix)
        || !is_empty(&file.end_of_word_suffix)
    {
        return Err("its BPE has dropout, prefixes or suffixes".into());
    }
    let mut ids: Vec<u32> = file.vocab.values().copied().collect();
    ids.sort_unstable();
    if ids.windows(2).any(|two| two[0] == two[1]) {
        return Err("two of its tokens have one id".into());
    }
    Ok(file)
}

impl Merge {
    pub(super) fn pair(&self) -> Result<(&str, &str), String> {
        match self {
            Self::Pair(left, right) => Ok((left, right)),
            Self::Text(text) => text.split_once(' ').ok_or_else(|| "a merge is not two tokens".into()),
        }
    }
}

pub(super) fn byte_ids(file: &File, letters: &[char]) -> Result<Vec<u32>, String> {
    let mut ids = Vec::with_capacity(256 + file.merges.len());
    for (byte, letter) in letters.iter().enumerate() {
        let id = file.vocab.get(letter.encode_utf8(&mut [0; 4]) as &str);
        ids.push(match id {
            Some(&id) => id,
            // Some bytes are in no text; others are left out without a word, as the crate does.
            None if matches!(byte, 0xc0 | 0xc1 | 0xf5..) || file.unk_token.is_none() => NO_ID,
            None => return Err(format!("its vocabulary lacks byte {byte}")),
        });
    }
    Ok(ids)
}

/// GPT-2's letters for bytes: printable ones stand for themselves, the others follow from U+0100 on.
pub(in super::super) fn byte_letters() -> Vec<char> {
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
