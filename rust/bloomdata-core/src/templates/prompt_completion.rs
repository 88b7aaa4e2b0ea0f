//! Records of prompts and completions, as in `generative_data_prep`.
//!
//! A record is an object or a list of objects. An object has a completion, and optionally a prompt and a
//! category.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::chat_template::TemplateOptions;
use super::gdp_chat::GdpChat;
use crate::document::BadRecord;
use crate::error::Result;
use crate::json_fields::{FieldPath, elements_of, extract_optional, invalid_utf8};
use crate::key_log::KeyLog;

/// How records are read, with the same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairOptions {
    /// Key of the prompt.
    pub prompt_keyword: String,
    /// Key of the completion.
    pub completion_keyword: String,
    /// Key of the category.
    pub category_keyword: String,
    /// Names of the categories; the id is the index in this list.
    pub categories: Option<Vec<String>>,
    /// Whether prompt and completion are separated by exactly one space.
    pub space_separator: bool,
    /// Text in front of every non-empty prompt.
    pub prompt_prefix: Option<String>,
    /// Text after every non-empty prompt.
    pub prompt_postfix: Option<String>,
    /// Whether to keep pairs with an empty completion, and rows on which nothing is trained.
    pub keep_prompt_only_sequences: bool,
    /// A chat template for pairs, as in `generative_data_prep`. With it there is no space separator, no
    /// pair is skipped, and categories are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_template: Option<TemplateOptions>,
}

/// One pair, ready to be tokenized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair<'record> {
    /// The prompt with its prefix and postfix; may be empty.
    pub prompt: Cow<'record, str>,
    /// The completion; empty only if such pairs are kept.
    pub completion: Cow<'record, str>,
    /// Id of the category; -1 for none.
    pub category: i32,
    /// Whether to drop a begin token that the tokenizer puts in front of the prompt.
    pub drops_bos: bool,
}

/// Reads records of pairs.
#[derive(Debug)]
pub struct PairReader {
    options: PairOptions,
    /// Prompt, completion, and the category if there are any.
    fields: Vec<FieldPath>,
    chat: Option<GdpChat>,
}

impl PairReader {
    /// A reader with these options.
    ///
    /// # Errors
    /// An unusable template.
    pub fn new(options: PairOptions) -> Result<Self> {
        let has_categories = options.categories.is_some() && options.pair_template.is_none();
        let category = has_categories.then_some(&options.category_keyword);
        let keywords = [&options.prompt_keyword, &options.completion_keyword].into_iter().chain(category);
        let fields = keywords.map(|keyword| FieldPath::of_key(keyword)).collect();
        let chat = options.pair_template.as_ref().map(|template| template.compile().map(GdpChat::new));
        Ok(Self { fields, chat: chat.transpose()?, options })
    }

    /// The pairs of a record, one for each object; `None` for a skipped object.
    ///
    /// # Errors
    /// Why the record cannot become a document.
    pub fn read<'record>(
        &self,
        record: &'record [u8],
        log: &mut KeyLog<'_>,
    ) -> std::result::Result<Vec<Option<Pair<'record>>>, BadRecord> {
        let text = simdutf8::basic::from_utf8(record).map_err(|_| invalid_utf8(record))?;
        let objects: Vec<&'record str> = if text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('[')
        {
            elements_of(text)?
        } else {
            vec![text]
        };
        match &self.chat {
            None => objects.into_iter().map(|object| self.pair(object, log)).collect(),
            Some(chat) => self.turns(chat, &objects, log),
        }
    }

    /// The turns that a chat template makes of all pairs.
    fn turns<'record>(
        &self,
        chat: &GdpChat,
        objects: &[&'record str],
        log: &mut KeyLog<'_>,
    ) -> std::result::Result<Vec<Option<Pair<'record>>>, BadRecord> {
        let mut texts = Vec::with_capacity(objects.len());
        for object in objects {
            let mut found = extract_optional(object, &self.fields, Some(log))?.into_iter();
            let mut next = || found.next().unwrap_or(Err(BadRecord::NotAnObject("something else")));
            let (prompt, completion) = (absent_is_none(next())?.unwrap_or_default(), next()?);
            texts.push((prompt, completion));
        }
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let pairs: Vec<(&str, &str)> =
            texts.iter().map(|(prompt, completion)| (&**prompt, &**completion)).collect();
        let turns = chat.apply(&pairs).map_err(BadRecord::Template)?;
        let pair = |(prompt, completion): (String, String)| {
            let (prompt, completion) = (self.wrap(prompt.into()), completion.into());
            Some(Pair { prompt, completion, category: -1, drops_bos: true })
        };
        Ok(turns.into_iter().map(pair).collect())
    }

    fn pair<'record>(
        &self,
        object: &'record str,
        log: &mut KeyLog<'_>,
    ) -> std::result::Result<Option<Pair<'record>>, BadRecord> {
        let mut texts = extract_optional(object, &self.fields, Some(log))?.into_iter();
        let mut next = || texts.next().unwrap_or(Err(BadRecord::NotAnObject("something else")));
        let (prompt, completion) = (next(), next());
        let prompt = absent_is_none(prompt)?.unwrap_or_default();
        let completion = completion?;
        let category = match &self.options.categories {
            None => -1,
            Some(known) => match absent_is_none(next())? {
                None => -1,
                Some(name) => {
                    id_of(known, &name).ok_or_else(|| BadRecord::UnknownCategory(name.into_owned()))?
                }
            },
        };
        if completion.is_empty() && !self.options.keep_prompt_only_sequences {
            return Ok(None);
        }
        let (prompt, completion) =
            if self.options.space_separator { separate(prompt, completion) } else { (prompt, completion) };
        Ok(Some(Pair { prompt: self.wrap(prompt), completion, category, drops_bos: false }))
    }

    fn wrap<'record>(&self, prompt: Cow<'record, str>) -> Cow<'record, str> {
        let PairOptions { prompt_prefix, prompt_postfix, .. } = &self.options;
        if prompt.is_empty() || (prompt_prefix.is_none() && prompt_postfix.is_none()) {
            return prompt;
        }
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        Cow::Owned(part(prompt_prefix) + &prompt + &part(prompt_postfix))
    }
}

/// Treats a missing or null field as `None`.
fn absent_is_none(
    found: std::result::Result<Cow<'_, str>, BadRecord>,
) -> std::result::Result<Option<Cow<'_, str>>, BadRecord> {
    match found {
        Err(BadRecord::MissingField(_) | BadRecord::NullField(_)) => Ok(None),
        other => other.map(Some),
    }
}

fn id_of(known: &[String], name: &str) -> Option<i32> {
    i32::try_from(known.iter().position(|known| known == name)?).ok()
}

/// Leaves exactly one space between prompt and completion, as part of the completion, even without a
/// prompt.
fn separate<'record>(
    prompt: Cow<'record, str>,
    completion: Cow<'record, str>,
) -> (Cow<'record, str>, Cow<'record, str>) {
    let prompt = match prompt {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(' ')),
        Cow::Owned(text) => Cow::Owned(text.trim_end_matches(' ').to_owned()),
    };
    if completion.is_empty() {
        return (prompt, completion);
    }
    let stripped = completion.trim_start_matches(' ');
    (prompt, Cow::Owned(format!(" {stripped}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(change: impl FnOnce(&mut PairOptions)) -> PairReader {
        let mut options = PairOptions {
            prompt_keyword: "prompt".into(),
            completion_keyword: "completion".into(),
            category_keyword: "category".into(),
            categories: None,
            space_separator: true,
            prompt_prefix: None,
            prompt_postfix: None,
            keep_prompt_only_sequences: false,
            pair_template: None,
        };
        change(&mut options);
        PairReader::new(options).unwrap()
    }

    fn texts(reader: &PairReader, record: &str) -> Vec<(String, String)> {
        let pairs = reader.read(record.as_bytes(), &mut KeyLog::default()).unwrap();
        pairs.into_iter().flatten().map(|pair| (pair.prompt.into(), pair.completion.into())).collect()
    }

    #[test]
    fn one_space_stands_between_the_two() {
        let plain = reader(|_| ());
        let one = |record| texts(&plain, record)[0].clone();
        assert_eq!(one(r#"{"prompt":"a  ","completion":"  b "}"#), ("a".into(), " b ".into()));
        assert_eq!(one(r#"{"completion":"b"}"#), (String::new(), " b".into()));
        assert_eq!(one(r#"{"prompt":null,"completion":"\tb"}"#), (String::new(), " \tb".into()));
        let bare = reader(|options| options.space_separator = false);
        assert_eq!(texts(&bare, r#"{"prompt":"a ","completion":"b"}"#), [("a ".into(), "b".into())]);
    }

    #[test]
    fn prefix_and_postfix_wrap_what_is_there() {
        let reader = reader(|options| {
            options.prompt_prefix = Some("<".into());
            options.prompt_postfix = Some(">".into());
        });
        let record =
            r#"[{"prompt":"a ","completion":"b"},{"prompt":" ","completion":"c"},{"completion":""}]"#;
        assert_eq!(texts(&reader, record), [("<a>".into(), " b".into()), (String::new(), " c".into())]);
    }

    #[test]
    fn every_kind_of_bad_record_has_its_reason() {
        let reader = reader(|options| options.categories = Some(vec!["x".into()]));
        let error = |record: &str| reader.read(record.as_bytes(), &mut KeyLog::default()).unwrap_err();
        assert!(matches!(error(r#"{"prompt":"a"}"#), BadRecord::MissingField(_)));
        assert!(matches!(error(r#"{"completion":null}"#), BadRecord::NullField(_)));
        assert!(matches!(error(r#"{"prompt":1,"completion":"a"}"#), BadRecord::NotAString(_)));
        assert!(matches!(error(r#"["a"]"#), BadRecord::NotAnObject(_)));
        assert!(matches!(error(r#"[{"completion":"a"}"#), BadRecord::MalformedJson(_)));
        assert!(matches!(error(r#"{"completion":"a","category":"y"}"#), BadRecord::UnknownCategory(_)));
        let pairs = reader.read(br#"{"completion":"a","category":"x"}"#, &mut KeyLog::default()).unwrap();
        assert_eq!(pairs[0].as_ref().unwrap().category, 0);
    }
}
