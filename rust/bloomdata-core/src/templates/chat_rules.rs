//! What a record has to fulfil before a model is trained on it: every message says something, in text, and what it says
//! is in the rendered text.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::calls;
use super::chat::Chat;
use super::contents::{Standin, standin};
use super::jinja::{JinjaInput, JinjaTemplate, value_of};
use super::markers::marker;
use crate::conversation::{Role, SYSTEM_KEYS, usual_role};
use crate::document::BadRecord;

/// The most roles that are remembered.
const MAX_ROLES: usize = 64;

/// The rules for one template.
#[derive(Debug, Default)]
pub(super) struct ChatRules {
    /// Whether the template writes the text of a list of parts, for each role.
    takes_parts: Mutex<BTreeMap<String, bool>>,
    /// Whether the template writes descriptions of tools.
    writes_tools: OnceLock<bool>,
    /// Whether the template writes keys of messages that it does not name.
    writes_all_keys: OnceLock<bool>,
}

impl ChatRules {
    /// Puts a text in place of contents that are not strings. Null beside calls of tools stays null, unless the template
    /// would write the word None; parts of text stay a list, unless the template cannot read one. Switches decide what is
    /// trained on.
    ///
    /// # Errors
    /// A message that says nothing, or something else than text; a switch that is not understood.
    pub(super) fn complete(&self, jinja: &JinjaTemplate, chat: &mut Chat<'_>) -> Result<(), BadRecord> {
        Self::know_roles(jinja, chat)?;
        chat.obey_switches()?;
        let mut silent = Vec::new();
        for (number, content, has_calls) in chat.facts.without_text() {
            match standin(number, content)? {
                Standin::Joined(text) if !self.takes_parts(jinja, &chat.roles[number]) => {
                    chat.replace(number, Some(text));
                }
                Standin::Joined(_) => {}
                Standin::Nothing if has_calls => silent.push(number),
                Standin::Nothing => return Err(chat.says_nothing(number, content)),
            }
        }
        if silent.is_empty() {
            return Ok(());
        }
        let given = jinja.render(&chat.input()?, false);
        for &number in &silent {
            chat.replace(number, Some(String::new()));
        }
        let empty = jinja.render(&chat.input()?, false);
        let words = |text: &str| text.matches("None").count();
        if given.is_ok_and(|given| empty.is_err() || empty.is_ok_and(|empty| words(&given) <= words(&empty)))
        {
            for number in silent {
                chat.replace(number, None);
            }
        }
        Ok(())
    }

    /// Refuses what the record says beside its messages and the text would not: descriptions of tools, thoughts. The text
    /// of its system becomes the first message.
    ///
    /// # Errors
    /// What would be lost.
    pub(super) fn add_context(&self, jinja: &JinjaTemplate, chat: &mut Chat<'_>) -> Result<(), BadRecord> {
        let lost = |what: String| {
            Err(BadRecord::Template(format!(
                "{what}: it would be lost (ignore_fields names keys that may be)"
            )))
        };
        for (number, key) in chat.facts.thoughts() {
            if !jinja.mentions(key) && !chat.facts.ignores(key) {
                return lost(format!("message {number}: the template does not write {key}"));
            }
        }
        if chat.has_tools() {
            chat.parse_tools()?;
            if chat.has_tools() && !chat.facts.ignores("tools") && !self.writes_tools(jinja, chat)? {
                return lost("the template does not write tools".into());
            }
        }
        for (key, raw) in chat.facts.context() {
            if !SYSTEM_KEYS.contains(&key) {
                return lost(format!("{key} beside the messages"));
            }
            let Ok(text) = serde_json::from_str::<String>(raw) else {
                return Err(BadRecord::WrongForm(format!(
                    "{key}: expected a text, found another kind of value"
                )));
            };
            let has_same = chat.contents.first().is_some_and(|content| content.as_deref() == Some(&text));
            match chat.roles.first().map(AsRef::as_ref) {
                Some("system") if has_same => {}
                Some("system") => {
                    let reason =
                        format!("{key}: expected no other system text beside message 0 of the system");
                    return Err(BadRecord::WrongForm(reason));
                }
                _ => chat.prepend_system(text),
            }
        }
        Ok(())
    }

    /// Whether the template reads a key of a message: it looks for it, or writes all that there are.
    pub(super) fn reads_key(&self, jinja: &JinjaTemplate, key: &str) -> bool {
        jinja.looks_for(key) || *self.writes_all_keys.get_or_init(|| probe_keys(jinja))
    }

    /// Whether the template writes the tools of a conversation.
    fn writes_tools(&self, jinja: &JinjaTemplate, chat: &Chat<'_>) -> Result<bool, BadRecord> {
        if *self.writes_tools.get_or_init(|| probe_tools(jinja)) {
            return Ok(true);
        }
        let input = chat.input()?;
        let without = jinja.render(&JinjaInput { tools: None, ..input.clone() }, false);
        let with = jinja.render(&input, false).map_err(BadRecord::Template)?;
        // A template that fails without tools reads them.
        Ok(without.is_err() || without.is_ok_and(|without| without != with))
    }

    /// Gives roles the names that templates know: `gpt` is the assistant, ` User` the user. A template that names a role
    /// of tools or systems itself, or one that has no usual name, gets it as it is.
    ///
    /// # Errors
    /// A role that is not known.
    fn know_roles(jinja: &JinjaTemplate, chat: &mut Chat<'_>) -> Result<(), BadRecord> {
        for number in 0..chat.roles.len() {
            let role = &*chat.roles[number];
            if matches!(role, "user" | "assistant" | "system" | "tool") {
                continue;
            }
            match usual_role(role) {
                Some(Role::System | Role::Tool) | None if jinja.names(role) => {}
                Some(known) => chat.rename(number, known.name()),
                None => {
                    let reason = format!(
                        "message {number} has the unknown role {role:?}: expected system, user, assistant, tool, a usual \
                         name of one of these, or a role that the template names"
                    );
                    return Err(BadRecord::WrongForm(reason));
                }
            }
        }
        Ok(())
    }

    /// Refuses calls of tools that the template does not write; says so if it would with objects as arguments.
    ///
    /// # Errors
    /// Which call would be lost, and of which message.
    pub(super) fn check_calls(jinja: &JinjaTemplate, chat: &mut Chat<'_>) -> Result<(), BadRecord> {
        let Err(bad) = Self::refuse_lost_calls(jinja, chat) else { return Ok(()) };
        match (&bad, chat.parse_arguments()) {
            (BadRecord::Template(reason), Ok(Some(place)))
                if Self::refuse_lost_calls(jinja, chat).is_ok() =>
            {
                Err(BadRecord::Template(format!(
                    "{place} is a text; the template wants an object (tool_arguments=\"parsed\" parses it): {reason}"
                )))
            }
            _ => Err(bad),
        }
    }

    /// Refuses calls of tools that the template does not write.
    ///
    /// # Errors
    /// Which call would be lost, and of which message.
    fn refuse_lost_calls(jinja: &JinjaTemplate, chat: &Chat<'_>) -> Result<(), BadRecord> {
        let calling = chat.calling()?;
        if calling.is_empty() {
            return Ok(());
        }
        let (mut marked, mut marks) = (BTreeMap::new(), Vec::new());
        for (number, raw) in calling {
            let calls = calls::mark(raw, marks.len())
                .map_err(|reason| BadRecord::WrongForm(format!("message {number}: {reason}")))?;
            marked.insert(number, calls.json);
            marks.extend(calls.marks.into_iter().map(|(mark, told)| (number, mark, told)));
        }
        let text = jinja.render(&chat.input_with(&marked)?, false).map_err(BadRecord::Template)?;
        match marks.iter().find(|(_, mark, _)| !calls::holds(&text, mark)) {
            None => Ok(()),
            Some((number, _, told)) => Err(BadRecord::Template(format!(
                "message {number}: the template does not write {told}: it would be lost"
            ))),
        }
    }

    /// Whether the template writes the text of a list of parts in messages of this role.
    fn takes_parts(&self, jinja: &JinjaTemplate, role: &str) -> bool {
        let lock = || self.takes_parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&known) = lock().get(role) {
            return known;
        }
        let takes = probe_parts(jinja, role);
        let mut known = lock();
        if known.len() < MAX_ROLES {
            known.insert(role.to_owned(), takes);
        }
        takes
    }
}

/// Renders a short conversation with a tool.
fn probe_tools(jinja: &JinjaTemplate) -> bool {
    let tool = serde_json::json!([{"type": "function", "function": {
        "name": marker(0), "description": "text", "parameters": {"type": "object", "properties": {}, "required": []},
    }}]);
    let text = |role: &str| serde_json::json!({"role": role, "content": "text"});
    let messages = serde_json::json!([text("user"), text("assistant")]);
    let (Ok(messages), Ok(tools)) = (value_of(&messages.to_string()), value_of(&tool.to_string())) else {
        return false;
    };
    let text = jinja.render(&JinjaInput { messages, tools: Some(tools), documents: None }, false);
    text.is_ok_and(|text| calls::holds(&text, &marker(0)))
}

/// Renders a short conversation whose messages have a key that no template looks for.
fn probe_keys(jinja: &JinjaTemplate) -> bool {
    let message = |role: &str| serde_json::json!({"role": role, "content": "text", marker(0): marker(0)});
    let messages = serde_json::json!([message("user"), message("assistant")]);
    let Ok(messages) = value_of(&messages.to_string()) else { return false };
    let text = jinja.render(&JinjaInput { messages, tools: None, documents: None }, false);
    text.is_ok_and(|text| calls::holds(&text, &marker(0)))
}

/// Renders a short conversation in which a message of this role holds two parts.
fn probe_parts(jinja: &JinjaTemplate, role: &str) -> bool {
    let text = |role: &str| serde_json::json!({"role": role, "content": "text"});
    let part = |number: usize| serde_json::json!({"type": "text", "text": marker(number)});
    let parts = serde_json::json!({"role": role, "content": [part(0), part(1)]});
    let messages = match role {
        "assistant" => vec![text("user"), parts],
        "user" => vec![parts, text("assistant")],
        "system" => vec![parts, text("user"), text("assistant")],
        _ => vec![text("user"), text("assistant"), parts, text("assistant")],
    };
    let Ok(messages) = value_of(&serde_json::Value::from(messages).to_string()) else { return false };
    let text = jinja.render(&JinjaInput { messages, tools: None, documents: None }, false);
    // A template that knows no lists writes Python's repr of one.
    text.is_ok_and(|text| {
        text.contains(&marker(0))
            && text.contains(&marker(1))
            && !text.contains("'text'")
            && !text.contains("\"text\"")
    })
}
