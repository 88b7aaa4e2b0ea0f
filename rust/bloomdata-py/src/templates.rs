//! Chat templates as objects.

use std::ops::Range;

use bloomdata_core::document::BadRecord;
use bloomdata_core::json_fields::FieldPath;
use bloomdata_core::key_log::KeyLog;
use bloomdata_core::templates::chat::{Chat, ChatKeys};
use bloomdata_core::templates::chat_template::{ChatTemplate as CoreTemplate, TemplateOptions};
use bloomdata_core::templates::message::MessageKeys;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::errors::{config_error, to_python};
use crate::tokenizer::Tokenizer;

/// Text, and the parts of it that are trained on, in characters.
type Trained = (String, Vec<(usize, usize)>);

/// A chat template. Args: options as JSON (see `bloomdata.chat_template`), and the tokenizer whose tokens end answers.
#[pyclass(frozen, module = "bloomdata._core")]
pub(crate) struct ChatTemplate {
    inner: CoreTemplate,
    keys: ChatKeys,
}

#[pymethods]
impl ChatTemplate {
    #[new]
    fn new(options: &str, tokenizer: Option<&Bound<'_, Tokenizer>>) -> PyResult<Self> {
        let options: TemplateOptions = serde_json::from_str(options).map_err(|error| config_error(&error))?;
        let end_tokens = tokenizer.map(|tokenizer| tokenizer.get().core().added_tokens()).unwrap_or_default();
        let keys = ChatKeys::new(FieldPath::of_key("messages"), MessageKeys::default());
        let keys = keys.giving(options.tool_arguments);
        CoreTemplate::new(&options, end_tokens).map(|inner| Self { inner, keys }).map_err(to_python)
    }

    /// Text of a record, which is JSON with `messages`.
    fn render(&self, py: Python<'_>, record: &str, add_generation_prompt: bool) -> PyResult<String> {
        py.detach(|| {
            self.inner
                .render(&Chat::parse(record, &self.keys, &mut KeyLog::default())?, add_generation_prompt)
        })
        .map_err(|bad| refused(&bad))
    }

    /// Text of messages that have a role and a text and nothing else; nothing for others, which go by `render`. What
    /// stands beside them is JSON.
    fn render_plain(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        tools: Option<&str>,
        documents: Option<&str>,
        add_generation_prompt: bool,
    ) -> PyResult<Option<String>> {
        let Some(plain) = plain(messages) else { return Ok(None) };
        let Some(chat) = chat_of(&plain, tools, documents) else { return Ok(None) };
        py.detach(|| self.inner.render(&chat, add_generation_prompt)).map(Some).map_err(|bad| refused(&bad))
    }

    /// Text of a record, and what of it is trained on.
    fn render_trained(&self, py: Python<'_>, record: &str) -> PyResult<Trained> {
        let rendered = py
            .detach(|| {
                self.inner.render_record(&mut Chat::parse(record, &self.keys, &mut KeyLog::default())?)
            })
            .map_err(|bad| refused(&bad))?;
        let mut characters = Characters::new(&rendered.text);
        let spans = rendered.trained.iter().map(|span| characters.span(span)).collect();
        Ok((rendered.text, spans))
    }
}

/// Where each id of a text ends, in characters; and the ids, without what the tokenizer puts around texts.
#[pyfunction]
pub(crate) fn encode_ends(tokenizer: &Bound<'_, Tokenizer>, text: &str) -> PyResult<(Vec<u32>, Vec<usize>)> {
    let (mut ids, mut ends) = (Vec::new(), Vec::new());
    tokenizer.get().core().encode_ends(text, &mut ids, &mut ends).map_err(to_python)?;
    let mut characters = Characters::new(text);
    // A part of a character ends where the character does.
    let whole = |end: usize| (end..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let ends = ends.into_iter().map(|end| characters.at(whole(end))).collect();
    Ok((ids, ends))
}

type Plain<'py> = Vec<(Bound<'py, PyString>, Bound<'py, PyString>)>;

/// Role and text of each message, if there is nothing else: without a way through JSON.
fn plain<'py>(messages: &Bound<'py, PyAny>) -> Option<Plain<'py>> {
    let messages = messages.cast::<PyList>().ok()?;
    let mut plain = Vec::with_capacity(messages.len());
    for message in messages {
        let message = message.cast_into_exact::<PyDict>().ok()?;
        if message.len() != 2 {
            return None;
        }
        let mut items = message.into_iter();
        let mut next = |name: &str| {
            let (key, value) = items.next()?;
            let is_it = key.cast::<PyString>().is_ok_and(|key| key == name);
            if is_it { value.cast_into_exact::<PyString>().ok() } else { None }
        };
        plain.push((next("role")?, next("content")?));
    }
    Some(plain)
}

fn chat_of<'plain>(
    plain: &'plain Plain<'_>,
    tools: Option<&'plain str>,
    documents: Option<&'plain str>,
) -> Option<Chat<'plain>> {
    let texts = plain.iter().map(|(role, content)| Some((role.to_str().ok()?, content.to_str().ok()?)));
    Chat::plain(texts.collect::<Option<_>>()?, tools, documents)
}

fn refused(bad: &BadRecord) -> PyErr {
    to_python(bloomdata_core::Error::config("messages", bad.to_string()))
}

/// Counts characters along a text.
struct Characters<'text> {
    text: &'text str,
    byte: usize,
    character: usize,
}

impl<'text> Characters<'text> {
    fn new(text: &'text str) -> Self {
        Self { text, byte: 0, character: 0 }
    }

    fn span(&mut self, span: &Range<usize>) -> (usize, usize) {
        (self.at(span.start), self.at(span.end))
    }

    /// Characters before a byte; bytes are asked for in order.
    fn at(&mut self, byte: usize) -> usize {
        self.character += self.text[self.byte..byte].chars().count();
        self.byte = byte;
        self.character
    }
}

/// Jinja source of a built-in template.
#[pyfunction]
pub(crate) fn builtin_template(name: &str) -> Option<&'static str> {
    bloomdata_core::templates::builtin::find(name).map(|builtin| builtin.source)
}
