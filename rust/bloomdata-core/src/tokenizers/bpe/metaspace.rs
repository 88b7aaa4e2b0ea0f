//! Metaspace: pre-tokens of SentencePiece-like tokenizers, in which `▁` stands for a space.
//!
//! If the tokenizer does not split at metaspaces, the whole text is one pre-token. It may still be split
//! wherever no token crosses.

use std::borrow::Cow;

use serde_json::Value;

use super::normalize::replace_spaces;
use super::pre_tokenizers::split_by;

/// When a metaspace is put in front of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prepend {
    Always,
    First,
    Never,
}

/// How metaspaces are handled.
#[derive(Debug)]
pub(in super::super) struct Metaspace {
    replacement: String,
    /// Whether spaces are replaced here (as the pre-tokenizer `Metaspace` does), and when one is put in
    /// front.
    prepend: Option<Prepend>,
    /// Whether every metaspace starts a pre-token.
    splits: bool,
    /// Whether numbers are split off, and if so, whether into single digits.
    digits: Option<bool>,
}

impl Metaspace {
    /// From pre-tokenizers: none, `Metaspace`, or `Metaspace` and `Digits`.
    ///
    /// # Errors
    /// Why they are not supported here.
    pub(super) fn parse(list: &[Value]) -> Result<Self, String> {
        let unknown = || "its pre-tokenizers are not supported".to_owned();
        let json = list.first().ok_or_else(unknown)?;
        if json.is_null() {
            return Ok(Self { replacement: "\u{2581}".into(), prepend: None, splits: false, digits: None });
        }
        let digits = match list {
            [_] => None,
            [_, digits] if digits.get("type").is_some_and(|kind| kind == "Digits") => {
                Some(digits.get("individual_digits").and_then(Value::as_bool).unwrap_or(false))
            }
            _ => return Err(unknown()),
        };
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let replacement =
            text("replacement").filter(|replacement| !replacement.is_empty() && *replacement != " ");
        let prepend = match text("prepend_scheme") {
            Some("always") => Prepend::Always,
            Some("first") => Prepend::First,
            Some("never") => Prepend::Never,
            _ => return Err("its Metaspace has an unknown prepend_scheme".into()),
        };
        let splits = json.get("split").and_then(Value::as_bool).unwrap_or(true);
        match (text("type"), replacement) {
            (Some("Metaspace"), Some(replacement)) => {
                Ok(Self { replacement: replacement.into(), prepend: Some(prepend), splits, digits })
            }
            (kind, _) => Err(format!("its pre-tokenizer {} is not supported", kind.unwrap_or("unknown"))),
        }
    }

    /// Whether the result depends on a text being the start of the input.
    pub(super) fn ask_for_start(&self) -> bool {
        self.prepend == Some(Prepend::First)
    }

    /// Replaces spaces; `is_first` tells whether the text is the start of the input.
    pub(super) fn apply<'text>(&self, text: &'text str, is_first: bool) -> Cow<'text, str> {
        let Some(prepend) = self.prepend else { return text.into() };
        let mut replaced = String::with_capacity(text.len() + text.len() / 2 + self.replacement.len());
        let has_metaspace = text.starts_with(' ') || text.starts_with(&self.replacement);
        if !has_metaspace && (prepend == Prepend::Always || (prepend == Prepend::First && is_first)) {
            replaced.push_str(&self.replacement);
        }
        replace_spaces(text, &self.replacement, &mut replaced);
        replaced.into()
    }

    /// Visits start and end of all pre-tokens of a text whose spaces are replaced.
    pub(super) fn split(
        &self,
        text: &str,
        may_cut: impl Fn(&[u8], usize, bool) -> bool,
        mut visit: impl FnMut(usize, usize),
    ) {
        let Some(individual) = self.digits else { return self.split_at_metaspaces(text, may_cut, visit) };
        // Numbers also end pre-tokens, so that other split points would be too early.
        self.split_at_metaspaces(
            text,
            |_, _, _| false,
            |start, end| {
                split_by(&text[start..end], char::is_numeric, individual, |from, end| {
                    visit(start + from, start + end);
                });
            },
        );
    }

    fn split_at_metaspaces(
        &self,
        text: &str,
        may_cut: impl Fn(&[u8], usize, bool) -> bool,
        mut visit: impl FnMut(usize, usize),
    ) {
        let bytes = text.as_bytes();
        let replacement = self.replacement.as_bytes();
        let (mut from, mut at) = (0, 1);
        while at < bytes.len() {
            let is_metaspace = bytes[at] == replacement[0] && bytes[at..].starts_with(replacement);
            // A boundary that no token crosses is as good as a metaspace.
            if at > from && ((is_metaspace && self.splits) || may_cut(bytes, at, is_metaspace)) {
                visit(from, at);
                from = at;
            }
            at += if is_metaspace { replacement.len() } else { 1 };
        }
        if from < bytes.len() {
            visit(from, bytes.len());
        }
    }
}
