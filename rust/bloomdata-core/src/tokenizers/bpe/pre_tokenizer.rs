//! How a tokenizer cuts words: its pre-tokenizers.

use std::borrow::Cow;

use serde_json::Value;
use tokenizers::utils::SysRegex;

use super::super::byte_alphabet::byte_letters;
use super::metaspace::Marks;
use super::pattern::Pattern;
use super::pre_tokenizers::{ByteStage, Stage, Stages};
use super::split::Splitter;

/// How words are cut.
#[derive(Debug)]
pub(in super::super) enum Words {
    /// By pre-tokenizers that end in bytes.
    Stages(Stages),
    /// At the marks of `SentencePiece`.
    Marks(Marks),
}

impl Words {
    /// From the `pre_tokenizer` of a `tokenizer.json`.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub(in super::super) fn parse(json: &Value) -> Result<Self, String> {
        let kind = |json: &Value| json.get("type").and_then(Value::as_str).map(str::to_owned);
        let list = match json.get("pretokenizers").and_then(Value::as_array) {
            Some(list) if kind(json).as_deref() == Some("Sequence") => list.as_slice(),
            _ => std::slice::from_ref(json),
        };
        let first = list.first().and_then(kind);
        Ok(if matches!(first.as_deref(), None | Some("Metaspace")) {
            Self::Marks(Marks::parse(list)?)
        } else {
            Self::Stages(stages(list)?)
        })
    }

    /// Whether words are bytes, not characters.
    pub(in super::super) fn are_bytes(&self) -> bool {
        matches!(self, Self::Stages(_))
    }

    /// Whether words are the bytes of the text, with nothing in front of it.
    pub(super) fn adds_nothing(&self) -> bool {
        matches!(self, Self::Stages(stages) if !stages.adds_space)
    }

    /// Whether it counts if a text is the start of what was given.
    pub(super) fn ask_for_start(&self) -> bool {
        matches!(self, Self::Marks(marks) if marks.ask_for_start())
    }

    /// The text as it is cut; `is_first` tells whether it is the start of what was given.
    pub(in super::super) fn apply<'text>(&self, text: &'text str, is_first: bool) -> Cow<'text, str> {
        match self {
            Self::Stages(stages) => stages.apply(text),
            Self::Marks(marks) => marks.apply(text, is_first),
        }
    }

    /// Visits where all words start and end, in order; together they are the text. `may_cut` tells whether nothing
    /// is ever merged across a place, if that is one between two ASCII characters or, with the flag, any place.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "`visit` is the hottest call of all")]
    pub(in super::super) fn split(
        &self,
        text: &str,
        may_cut: impl Fn(&[u8], usize, bool) -> bool,
        visit: impl FnMut(usize, usize),
    ) {
        match self {
            Self::Stages(stages) => stages.split(text, visit),
            Self::Marks(marks) => marks.split(text, may_cut, visit),
        }
    }
}

/// Pre-tokenizers that end in bytes, in their order.
fn stages(list: &[Value]) -> Result<Stages, String> {
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
                } else if let Ok(pattern) = Pattern::new(pattern) {
                    stages.text.push(Stage::Pattern(Box::new(pattern)));
                } else {
                    let regex = SysRegex::new(pattern).map_err(|error| error.to_string())?;
                    stages.text.push(Stage::Regex(regex));
                }
            }
            _ => return Err(unknown()),
        }
    }
    if is_bytes { Ok(stages) } else { Err("its pre-tokenizer does not make bytes".into()) }
}
