//! Renders the beginnings of a conversation, for templates that inspect contents.

use minijinja::Value;

use super::chat::{Chat, messages_of};
use super::jinja::{JinjaInput, JinjaTemplate};
use super::markers::padded;
use super::spans::Prefixes;

/// A conversation with its real contents.
pub(super) struct WithContents<'run> {
    jinja: &'run JinjaTemplate,
    chat: &'run Chat<'run>,
    input: &'run JinjaInput,
    messages: Vec<Value>,
}

impl<'run> WithContents<'run> {
    /// From a conversation and its template input.
    ///
    /// # Errors
    /// Messages that are not a list.
    pub(super) fn new(
        jinja: &'run JinjaTemplate,
        chat: &'run Chat<'run>,
        input: &'run JinjaInput,
    ) -> Result<Self, String> {
        Ok(Self { jinja, chat, input, messages: list(&input.messages)? })
    }

    fn run(&self, messages: Vec<Value>, asking: bool) -> Result<String, String> {
        self.jinja.render(&JinjaInput { messages: messages.into(), ..self.input.clone() }, asking)
    }
}

impl Prefixes for WithContents<'_> {
    fn render(&self, count: usize, asking: bool) -> Result<String, String> {
        self.run(self.messages[..count].to_vec(), asking)
    }

    fn probe(&self, message: usize) -> Result<String, String> {
        let mut messages = self.messages[..=message].to_vec();
        messages[message] = plain(&self.chat.roles[message], &padded(message));
        self.run(messages, false)
    }

    fn others(&self, message: usize) -> Result<(String, String), String> {
        // Contents other than texts stay as they are, since templates inspect their type.
        let marked = |(number, value): (usize, &Value)| match self.chat.contents[number] {
            Some(_) if number < message => with_content(value, &padded(number)),
            _ => Ok(value.clone()),
        };
        let mut messages: Vec<Value> =
            self.messages[..=message].iter().enumerate().map(marked).collect::<Result<_, String>>()?;
        let with = self.run(messages.clone(), false)?;
        messages.pop();
        Ok((with, self.run(messages, true)?))
    }
}

/// The first `count` messages of a conversation.
///
/// # Errors
/// Messages that are not a list.
pub(super) fn first(input: &JinjaInput, count: usize) -> Result<JinjaInput, String> {
    Ok(JinjaInput { messages: list(&input.messages)?[..count].to_vec().into(), ..input.clone() })
}

fn list(messages: &Value) -> Result<Vec<Value>, String> {
    Ok(messages.try_iter().map_err(|error| error.to_string())?.collect())
}

fn plain(role: &str, content: &str) -> Value {
    messages_of([(role, content)].into_iter()).get_item_by_index(0).unwrap_or_default()
}

/// A message with its content replaced.
fn with_content(message: &Value, content: &str) -> Result<Value, String> {
    let explain = |error: minijinja::Error| error.to_string();
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    for key in message.try_iter().map_err(explain)? {
        let value = if key.as_str() == Some("content") {
            Value::from(content)
        } else {
            message.get_item(&key).map_err(explain)?
        };
        pairs.push((key, value));
    }
    Ok(Value::from_pairs(pairs))
}
