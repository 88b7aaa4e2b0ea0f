//! Conversations become text by a template, and it is known what of the text is trained on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::builtin::{self, Builtin};
use super::chat::{Chat, messages_of};
use super::jinja::{JinjaInput, JinjaTemplate};
use super::plan::{Plan, Rendered, mark};
use super::spans::{Question, TrainOn};
use crate::document::BadRecord;
use crate::error::{Error, Result};

/// Plans that are kept: most conversations have roles that many others have.
const MAX_PLANS: usize = 4096;
/// Messages of a conversation whose plan is kept.
const MAX_PLANNED: usize = 256;
/// Messages of a conversation at most. Each answer asks for the text in front of it, so time grows with the square.
const MAX_MESSAGES: usize = 1024;
/// Characters that Unicode sets aside, by which parts of texts are marked here.
const RESERVED: std::ops::RangeInclusive<char> = '\u{fdd1}'..='\u{fdd4}';

/// A template and how it is used. Same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateOptions {
    /// The name of one that is built in, or the source of a Jinja template.
    pub template: String,
    /// What else the template may use: `bos_token`, `eos_token`, switches of its own.
    pub template_variables: BTreeMap<String, Json>,
    /// What `strftime_now` says, as `2026-01-31T00:00:00`; a template that asks is refused without it.
    pub template_date: Option<String>,
    /// Which answers are trained on.
    pub train_on: TrainOn,
}

impl TemplateOptions {
    /// Compiles the template alone.
    ///
    /// # Errors
    /// A template that is none, or that lacks a variable.
    pub fn compile(&self) -> Result<JinjaTemplate> {
        let bad = |reason: String| Error::config("template", reason);
        let builtin = builtin::find(&self.template);
        let source = builtin.map_or(self.template.as_str(), |builtin| builtin.source);
        if builtin.is_none() && !source.contains(['{', '\n']) {
            let names: Vec<&str> = builtin::BUILTIN.iter().map(|builtin| builtin.name).collect();
            return Err(bad(format!("{source:?} is none of {names:?}, and no Jinja template")));
        }
        for name in builtin.map_or(&[][..], |builtin| builtin.needs) {
            if !self.template_variables.contains_key(*name) {
                return Err(bad(format!("{:?} needs {name}, which is not known here", self.template)));
            }
        }
        let now = self.template_date.as_deref().map(date).transpose()?;
        let variables = self.template_variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        JinjaTemplate::new(source, variables.collect(), now).map_err(bad)
    }
}

/// A template, ready for use by all threads.
#[derive(Debug)]
pub struct ChatTemplate {
    jinja: JinjaTemplate,
    builtin: Option<Builtin>,
    end_tokens: Vec<String>,
    train_on: TrainOn,
    plans: Mutex<BTreeMap<String, Planned>>,
}

type Planned = Arc<std::result::Result<Plan, String>>;

impl ChatTemplate {
    /// Prepares a template. `end_tokens` are those of which the first behind an answer ends it, beside `eos_token`:
    /// the added tokens of the tokenizer.
    ///
    /// # Errors
    /// A template that is none, or that lacks a variable.
    pub fn new(options: &TemplateOptions, end_tokens: Vec<String>) -> Result<Self> {
        let jinja = options.compile()?;
        let builtin = builtin::find(&options.template);
        let mut end_tokens = end_tokens;
        end_tokens
            .extend(options.template_variables.get("eos_token").and_then(Json::as_str).map(str::to_owned));
        let plans = Mutex::default();
        Ok(Self { jinja, builtin, end_tokens, train_on: options.train_on, plans })
    }

    /// The text of a conversation, with the prompt for an answer if asked.
    ///
    /// # Errors
    /// What the template objects to.
    pub fn render(
        &self,
        chat: &Chat<'_>,
        add_generation_prompt: bool,
    ) -> std::result::Result<String, BadRecord> {
        self.jinja.render(&chat.input()?, add_generation_prompt).map_err(BadRecord::Template)
    }

    /// The text of a conversation, and what of it is trained on: the answers, and the tokens that end them.
    ///
    /// # Errors
    /// What the template objects to; a conversation in which nothing is trained on, or everything, or for which it
    /// cannot be told for sure.
    pub fn render_trained(&self, chat: &Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        for content in chat.contents.iter().flatten() {
            if content.contains('\u{fdd1}') || content.chars().any(|letter| RESERVED.contains(&letter)) {
                let reason = "a text holds one of U+FDD1 to U+FDD4, which are reserved and used as marks";
                return Err(BadRecord::Template(reason.into()));
            }
        }
        if chat.roles.len() > MAX_MESSAGES {
            let reason =
                format!("{} messages: more than {MAX_MESSAGES} are no conversation", chat.roles.len());
            return Err(BadRecord::Template(reason));
        }
        let rendered = self.spans(chat)?;
        let trained: usize = rendered.trained.iter().map(std::ops::Range::len).sum();
        let reason = match trained {
            0 => "nothing in it is trained on",
            all if all == rendered.text.len() => {
                "everything in it is trained on: the template tells no roles apart"
            }
            _ => return Ok(rendered),
        };
        Err(BadRecord::Template(reason.into()))
    }

    /// Whether a text ends with a token that ends answers.
    pub fn is_ended(&self, text: &str) -> bool {
        self.end_tokens.iter().any(|token| !token.is_empty() && text.ends_with(token.as_str()))
    }

    fn spans(&self, chat: &Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        if self.jinja.has_generation() {
            let (text, trained) = self.jinja.render_marked(&chat.input()?).map_err(BadRecord::Template)?;
            return Ok(Rendered { text, trained });
        }
        let texts = chat.texts();
        if let (Some(builtin), Some(texts)) = (self.builtin, &texts) {
            let plan = self.plan(chat);
            return match plan.as_ref() {
                Ok(plan) => Ok(plan.fill(texts, builtin.strips)),
                Err(reason) => Err(BadRecord::Template(reason.clone())),
            };
        }
        let input = chat.input()?;
        let text = self.jinja.render(&input, false).map_err(BadRecord::Template)?;
        if chat.is_plain
            && let (Ok(plan), Some(texts)) = (self.plan(chat).as_ref(), &texts)
            && let Some(trained) = plan.trained(&text, texts)
        {
            return Ok(Rendered { text, trained });
        }
        let trained = self.by_prefixes(chat, &input, &text).map_err(BadRecord::Template)?;
        Ok(Rendered { text, trained })
    }

    /// For templates that look at what is said: the conversation itself is rendered up to each answer.
    fn by_prefixes(
        &self,
        chat: &Chat<'_>,
        input: &JinjaInput,
        text: &str,
    ) -> std::result::Result<Vec<std::ops::Range<usize>>, String> {
        let messages: Vec<minijinja::Value> =
            input.messages.try_iter().map_err(|error| error.to_string())?.collect();
        let render = |count: usize, asking: bool| {
            let part = JinjaInput { messages: messages[..count].to_vec().into(), ..input.clone() };
            self.jinja.render(&part, asking)
        };
        let locate = |message: usize, part: &str| {
            let content = chat.contents[message].as_deref()?;
            let ways = [content, crate::conversation::python_strip(content)];
            ways.iter().find_map(|way| part.find(way).map(|at| at..at + way.len()))
        };
        let roles: Vec<&str> = chat.roles.iter().map(AsRef::as_ref).collect();
        let (end_tokens, train_on) = (&self.end_tokens[..], self.train_on);
        Question { roles: &roles, text, render: &render, locate: &locate, end_tokens, train_on }.spans()
    }

    fn plan(&self, chat: &Chat<'_>) -> Planned {
        let key = chat.roles.join("\n");
        let lock = || self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = lock().get(&key) {
            return Arc::clone(plan);
        }
        let roles: Vec<&str> = chat.roles.iter().map(AsRef::as_ref).collect();
        let marks: Vec<String> = (0..roles.len()).map(mark).collect();
        let render = |count: usize, asking: bool| {
            let messages = roles.iter().copied().zip(marks.iter().map(String::as_str)).take(count);
            let input = JinjaInput { messages: messages_of(messages), tools: None, documents: None };
            self.jinja.render(&input, asking)
        };
        let plan: Planned = Arc::new(Plan::new(&roles, &render, &self.end_tokens, self.train_on));
        let mut plans = lock();
        if plans.len() < MAX_PLANS && roles.len() <= MAX_PLANNED {
            plans.insert(key, Arc::clone(&plan));
        }
        plan
    }
}

fn date(text: &str) -> Result<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").map_err(|_| {
        Error::config("template_date", format!("{text:?} is not of the form 2026-01-31T00:00:00"))
    })
}
