//! Normalizers: a quick check for those that leave most text unchanged; all others are the crate's own.

use std::borrow::Cow;

use serde_json::Value;
use tokenizers::{NormalizedString, Normalizer as _, NormalizerWrapper};
use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

/// What is done to text before pre-tokenization.
#[derive(Debug)]
pub(in super::super) enum Normalizer {
    /// Nothing.
    None,
    /// Canonical composition.
    Nfc,
    /// Compatibility composition.
    Nfkc,
    /// `SentencePiece`: one string is put in front, another replaces each space.
    Spaces { prepend: String, space: String },
    /// Any other.
    Other(Box<NormalizerWrapper>),
}

impl Normalizer {
    /// From the `normalizer` of a `tokenizer.json`.
    ///
    /// # Errors
    /// A normalizer that the crate does not know, or does not implement correctly.
    pub(in super::super) fn parse(json: &Value) -> Result<Self, String> {
        let kind = json.get("type").and_then(Value::as_str);
        if prepends_nothing(json) {
            return Err("its Prepend is empty, which the crate does not support".into());
        }
        Ok(match kind {
            None if json.is_null() => Self::None,
            Some("NFC") => Self::Nfc,
            Some("NFKC") => Self::Nfkc,
            _ => match spaces(json) {
                Some((prepend, space)) => Self::Spaces { prepend, space },
                None => Self::Other(serde_json::from_value(json.clone()).map_err(|error| error.to_string())?),
            },
        })
    }

    /// Whether a text, and thus every part of it, is known to stay unchanged.
    pub(super) fn leaves(&self, text: &str) -> bool {
        match self {
            Self::None => true,
            Self::Nfc => is_simple(text) || is_nfc_quick(without_cjk(text)) == IsNormalized::Yes,
            Self::Nfkc => text.is_ascii() || is_nfkc_quick(text.chars()) == IsNormalized::Yes,
            Self::Spaces { .. } | Self::Other(_) => false,
        }
    }

    /// The normalized text.
    ///
    /// # Errors
    /// What the crate's normalizer reports.
    pub(in super::super) fn apply<'text>(&self, text: &'text str) -> Result<Cow<'text, str>, String> {
        Ok(match self {
            _ if self.leaves(text) => text.into(),
            Self::None => text.into(),
            Self::Nfc => text.nfc().map(|(letter, _)| letter).collect(),
            Self::Nfkc => text.nfkc().map(|(letter, _)| letter).collect(),
            Self::Spaces { .. } if text.is_empty() => text.into(),
            Self::Spaces { prepend, space } => {
                let mut replaced = String::with_capacity(text.len() + text.len() / 2 + prepend.len());
                replaced.push_str(prepend);
                replace_spaces(text, space, &mut replaced);
                replaced.into()
            }
            Self::Other(normalizer) => {
                let mut normalized = NormalizedString::from(text);
                normalizer.normalize(&mut normalized).map_err(|error| error.to_string())?;
                normalized.get().to_owned().into()
            }
        })
    }
}

/// Appends a text with each space replaced.
pub(super) fn replace_spaces(text: &str, space: &str, out: &mut String) {
    let mut from = 0;
    for at in memchr::memchr_iter(b' ', text.as_bytes()) {
        out.push_str(&text[from..at]);
        out.push_str(space);
        from = at + 1;
    }
    out.push_str(&text[from..]);
}

/// A `Prepend` and a `Replace` of spaces, in this order, each at most once.
fn spaces(json: &Value) -> Option<(String, String)> {
    let list = match json.get("normalizers").and_then(Value::as_array) {
        Some(list) if json.get("type").is_some_and(|kind| kind == "Sequence") => list.as_slice(),
        _ => std::slice::from_ref(json),
    };
    let text = |json: &Value, key: &str| Some(json.get(key)?.as_str()?.to_owned());
    let replace = |json: &Value| {
        let is_space = json.get("type")? == "Replace" && json.get("pattern")?.get("String")? == " ";
        if is_space { text(json, "content") } else { None }
    };
    match list {
        [one] => Some((String::new(), replace(one)?)),
        [first, second] if first.get("type")? == "Prepend" => {
            let prepend = text(first, "prepend")?;
            // `Replace` would replace a prepended space, too.
            (!prepend.contains(' ')).then_some((prepend, replace(second)?))
        }
        _ => None,
    }
}

/// Whether a `Prepend` is empty, for which the crate loses track of offsets.
fn prepends_nothing(json: &Value) -> bool {
    let parts = json.get("normalizers").and_then(Value::as_array);
    json.get("prepend").is_some_and(|text| text == "")
        || parts.is_some_and(|parts| parts.iter().any(prepends_nothing))
}

/// Whether all characters are below U+0300, so that composition leaves them alone.
fn is_simple(text: &str) -> bool {
    text.bytes().all(|byte| byte < 0xcc)
}

/// Removes CJK ideographs and Hangul syllables, which never change and are most of such texts. The rest may
/// only look less normalized than the text is.
fn without_cjk(text: &str) -> impl Iterator<Item = char> {
    let is_plain = |letter: &char| matches!(letter, '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}');
    text.chars().filter(move |letter| !is_plain(letter))
}
