//! Words of SentencePiece-like tokenizers, in which `▁` stands for a space.
//!
//! Where the tokenizer does not cut at marks, the whole text is one word; it may be cut at marks all the same if no
//! token lies across.

use std::borrow::Cow;

use serde_json::Value;

use super::model::Model;
use super::normalize::replace_spaces;

/// When a mark is put in front of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prepend {
    Always,
    First,
    Never,
}

/// What is done with marks.
#[derive(Debug)]
pub(super) struct Marks {
    mark: String,
    /// Whether spaces become marks here, as `Metaspace` does, and when one is put in front.
    metaspace: Option<Prepend>,
    /// Whether every mark starts a word.
    splits: bool,
}

impl Marks {
    /// From a `pre_tokenizer` that is `Metaspace` or nothing.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub(super) fn parse(json: &Value) -> Result<Self, String> {
        if json.is_null() {
            return Ok(Self { mark: "\u{2581}".into(), metaspace: None, splits: false });
        }
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let mark = text("replacement").filter(|mark| !mark.is_empty() && *mark != " ");
        let prepend = match text("prepend_scheme") {
            Some("always") => Prepend::Always,
            Some("first") => Prepend::First,
            Some("never") => Prepend::Never,
            _ => return Err("its Metaspace is of a form that is not known".into()),
        };
        let splits = json.get("split").and_then(Value::as_bool).unwrap_or(true);
        match (text("type"), mark) {
            (Some("Metaspace"), Some(mark)) => {
                Ok(Self { mark: mark.into(), metaspace: Some(prepend), splits })
            }
            (kind, _) => Err(format!("its pre-tokenizer is {}", kind.unwrap_or("unknown"))),
        }
    }

    /// The text with marks; `is_first` tells whether it is the start of what was given.
    pub(super) fn apply<'text>(&self, text: &'text str, is_first: bool) -> Cow<'text, str> {
        let Some(prepend) = self.metaspace else { return text.into() };
        let mut marked = String::with_capacity(text.len() + text.len() / 2 + self.mark.len());
        let has_mark = text.starts_with(' ') || text.starts_with(&self.mark);
        if !has_mark && (prepend == Prepend::Always || (prepend == Prepend::First && is_first)) {
            marked.push_str(&self.mark);
        }
        replace_spaces(text, &self.mark, &mut marked);
        marked.into()
    }

    /// Visits where all words of a text with marks start and end.
    pub(super) fn split(&self, text: &str, model: &Model, mut visit: impl FnMut(usize, usize)) {
        let bytes = text.as_bytes();
        let mark = self.mark.as_bytes();
        let (mut from, mut at) = (0, 1);
        while at < bytes.len() {
            let is_mark = bytes[at] == mark[0] && bytes[at..].starts_with(mark);
            // No token lies across, which is as good as a mark.
            if at > from && ((is_mark && self.splits) || model.may_cut(bytes, at, is_mark)) {
                visit(from, at);
                from = at;
            }
            at += if is_mark { mark.len() } else { 1 };
        }
        if from < bytes.len() {
            visit(from, bytes.len());
        }
    }
}
