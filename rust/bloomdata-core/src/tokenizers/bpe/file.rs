//! The `model` of a `tokenizer.json`, parsed without copying token names.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

use hashbrown::HashMap;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// In place of an id: the byte is not in the vocabulary.
pub(super) const NO_ID: u32 = u32::MAX;

/// Token ids by name.
pub(super) type Vocab<'json> = HashMap<Name<'json>, u32>;

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'json"), deny_unknown_fields)]
pub(super) struct File<'json> {
    pub(super) vocab: Vocab<'json>,
    pub(super) merges: Vec<Merge<'json>>,
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
    /// Irrelevant: no model here has an unknown token.
    #[serde(rename = "fuse_unk")]
    _fuse_unk: Option<bool>,
    /// Checked before.
    #[serde(default, rename = "type")]
    _kind: IgnoredAny,
}

/// A string of the file, copied only if it has escapes.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Name<'json>(Cow<'json, str>);

/// Two tokens; in the older format, one string with a space between them.
pub(super) enum Merge<'json> {
    Text(Name<'json>),
    Pair(Name<'json>, Name<'json>),
}

/// Parses a model and rejects features that are not supported here.
///
/// # Errors
/// The first unsupported feature, or what is malformed.
pub(super) fn read(json: &str) -> Result<File<'_>, String> {
    let mut file: File = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let num_texts = file.merges.iter().filter(|merge| matches!(merge, Merge::Text(_))).count();
    if num_texts != 0 && num_texts != file.merges.len() {
        return Err("some of its merges are strings, others are pairs".into());
    }
    // The crate takes such a merge for the header of a merges file.
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
        return Err("two of its tokens share an id".into());
    }
    // Tables have an entry for every id.
    if let Some(&highest) = ids.last().filter(|&&id| id as usize > 4 * ids.len() + (1 << 20)) {
        return Err(format!("its highest id, {highest}, is far above the number of its tokens"));
    }
    Ok(file)
}

impl Merge<'_> {
    pub(super) fn pair(&self) -> Result<(&str, &str), String> {
        let pair = match self {
            Self::Pair(left, right) => Some((&**left, &**right)),
            Self::Text(text) => text.split_once(' ').filter(|(_, right)| !right.contains(' ')),
        };
        pair.ok_or_else(|| "a merge is not a pair of tokens".into())
    }
}

impl File<'_> {
    /// Token names by id.
    pub(super) fn names(&self) -> Vec<Option<&str>> {
        let highest = self.vocab.values().max();
        let mut names = vec![None; highest.map_or(0, |&id| id as usize + 1)];
        #[allow(clippy::iter_over_hash_type, reason = "each id has its own entry")]
        for (name, &id) in &self.vocab {
            names[id as usize] = Some(&**name);
        }
        names
    }
}

impl Deref for Name<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Hashes like `str`, so that names can be looked up by `str`.
impl Borrow<str> for Name<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl<'de: 'json, 'json> Deserialize<'de> for Name<'json> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'json> Visitor<'json> for NameVisitor {
    type Value = Name<'json>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a token")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'json str) -> Result<Self::Value, E> {
        Ok(Name(text.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Name(text.to_owned().into()))
    }
}

impl<'de: 'json, 'json> Deserialize<'de> for Merge<'json> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergeVisitor)
    }
}

struct MergeVisitor;

impl<'json> Visitor<'json> for MergeVisitor {
    type Value = Merge<'json>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a merge, which is a pair of tokens")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'json str) -> Result<Self::Value, E> {
        NameVisitor.visit_borrowed_str(text).map(Merge::Text)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        NameVisitor.visit_str(text).map(Merge::Text)
    }

    fn visit_seq<A: SeqAccess<'json>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let [left, right] = [list.next_element()?, list.next_element()?];
        match (left, right, list.next_element::<IgnoredAny>()?) {
            (Some(left), Some(right), None) => Ok(Merge::Pair(left, right)),
            _ => Err(Error::custom("a merge is not a pair of tokens")),
        }
    }
}

/// The ids of the 256 bytes, which are the first symbols.
///
/// # Errors
/// A byte is missing from the vocabulary, and the model has an unknown token.
pub(super) fn byte_ids(file: &File, letters: &[char]) -> Result<Vec<u32>, String> {
    let mut ids = Vec::with_capacity(256 + file.merges.len());
    for (byte, letter) in letters.iter().enumerate() {
        let id = file.vocab.get(letter.encode_utf8(&mut [0; 4]) as &str);
        ids.push(match id {
            Some(&id) => id,
            // Some bytes never occur in UTF-8; others are dropped silently, as the crate does.
            None if matches!(byte, 0xc0 | 0xc1 | 0xf5..) || file.unk_token.is_none() => NO_ID,
            None => return Err(format!("its vocabulary lacks byte {byte}")),
        });
    }
    Ok(ids)
}
