//! The pre-tokenizer of a definition: how text is split into pre-tokens.

use std::borrow::Cow;

use serde_json::Value;
use tokenizers::utils::SysRegex;

use super::super::byte_alphabet::bytes_to_chars;
use super::metaspace::Metaspace;
use super::pattern::Pattern;
use super::pre_tokenizers::{ByteStep, Sequence, TextStep};
use super::split::Splitter;

/// A pre-tokenizer that is supported here.
#[derive(Debug)]
pub(in super::super) enum PreTokenizer {
    /// A sequence that ends in bytes.
    Sequence(Sequence),
    /// The metaspaces of `SentencePiece`.
    Metaspace(Metaspace),
}

impl PreTokenizer {
    /// From the `pre_tokenizer` of a `tokenizer.json`.
    ///
    /// # Errors
    /// Why it is not supported here.
    pub(in super::super) fn parse(json: &Value) -> Result<Self, String> {
        let kind = |json: &Value| json.get("type").and_then(Value::as_str).map(str::to_owned);
        let list = match json.get("pretokenizers").and_then(Value::as_array) {
            Some(list) if kind(json).as_deref() == Some("Sequence") => list.as_slice(),
            _ => std::slice::from_ref(json),
        };
        let first = list.first().and_then(kind);
        Ok(if matches!(first.as_deref(), None | Some("Metaspace")) {
            Self::Metaspace(Metaspace::parse(list)?)
        } else {
            Self::Sequence(sequence(list)?)
        })
    }

    /// Whether pre-tokens are bytes, not characters.
    pub(in super::super) fn are_bytes(&self) -> bool {
        matches!(self, Self::Sequence(_))
    }

    /// Whether pre-tokens are the bytes of the text, with nothing put in front.
    pub(super) fn adds_nothing(&self) -> bool {
        matches!(self, Self::Sequence(sequence) if !sequence.adds_space)
    }

    /// Whether the result depends on a text being the start of the input.
    pub(super) fn ask_for_start(&self) -> bool {
        matches!(self, Self::Metaspace(metaspace) if metaspace.ask_for_start())
    }

    /// The text that is split; `is_first` tells whether it is the start of the input.
    pub(in super::super) fn apply<'text>(&self, text: &'text str, is_first: bool) -> Cow<'text, str> {
        match self {
            Self::Sequence(sequence) => sequence.apply(text),
            Self::Metaspace(metaspace) => metaspace.apply(text, is_first),
        }
    }

    /// Visits start and end of all pre-tokens in order; together they cover the text. `may_cut` tells
    /// whether no token crosses a boundary; without its flag, only boundaries between ASCII characters
    /// count.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "`visit` is the hottest call of all")]
    pub(in super::super) fn split(
        &self,
        text: &str,
        may_cut: impl Fn(&[u8], usize, bool) -> bool,
        visit: impl FnMut(usize, usize),
    ) {
        match self {
            Self::Sequence(sequence) => sequence.split(text, visit),
            Self::Metaspace(metaspace) => metaspace.split(text, may_cut, visit),
        }
    }
}

/// Parses a sequence of pre-tokenizers that ends in bytes.
fn sequence(list: &[Value]) -> Result<Sequence, String> {
    let is_number = bytes_to_chars().into_iter().map(char::is_numeric).collect();
    let mut sequence = Sequence { text: Vec::new(), bytes: Vec::new(), is_number, adds_space: false };
    let mut is_bytes = false;
    for json in list {
        let kind = json.get("type").and_then(Value::as_str).unwrap_or("none");
        let unknown = || format!("its pre-tokenizer {kind} is not supported as configured");
        let flag = |key: &str, default| json.get(key).and_then(Value::as_bool).unwrap_or(default);
        match kind {
            // A space in front of every text is supported, one in front of every piece of a text is not.
            "ByteLevel" if !is_bytes && (sequence.text.is_empty() || !flag("add_prefix_space", true)) => {
                is_bytes = true;
                sequence.adds_space = flag("add_prefix_space", true);
                if flag("use_regex", true) {
                    sequence.text.push(TextStep::Known(Splitter::Gpt2));
                }
            }
            "Digits" if is_bytes => {
                sequence.bytes.push(ByteStep::Digits { individual: flag("individual_digits", false) });
            }
            "Digits" => sequence.text.push(TextStep::Digits { individual: flag("individual_digits", false) }),
            "Punctuation" if !is_bytes && json.get("behavior").is_some_and(|name| name == "Contiguous") => {
                sequence.text.push(TextStep::Punctuation);
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
                    sequence.bytes.push(ByteStep::ThreeDigits);
                } else if let Some(splitter) = Splitter::of_pattern(pattern) {
                    sequence.text.push(TextStep::Known(splitter));
                } else if let Ok(pattern) = Pattern::new(pattern) {
                    sequence.text.push(TextStep::Pattern(Box::new(pattern)));
                } else {
                    let regex = SysRegex::new(pattern).map_err(|error| error.to_string())?;
                    sequence.text.push(TextStep::Regex(regex));
                }
            }
            _ => return Err(unknown()),
        }
    }
    if is_bytes { Ok(sequence) } else { Err("its pre-tokenizers lack ByteLevel".into()) }
}
