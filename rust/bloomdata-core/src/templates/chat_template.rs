//! Conversations become text by a template, and it is known what of the text is trained on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::builtin;
use super::chat::{Chat, messages_of};
use super::jinja::{JinjaInput, JinjaTemplate, Variable};
use super::plan::{Plan, Rendered};
use super::prefixes::{Real, first};
use super::spans::{Question, TrainOn, asked};
use crate::document::BadRecord;
use crate::error::{Error, Result};

/// Plans that are kept: most conversations have roles that many others have.
const MAX_PLANS: usize = 4096;
/// Messages of a conversation whose plan is kept.
const MAX_PLANNED: usize = 256;
/// Messages of a conversation at most. Each answer asks for the text in front of it, so time grows with the square.
const MAX_MESSAGES: usize = 1024;

/// A template and how it is used. Same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateOptions {
    /// The name of one that is built in, or the source of a Jinja template.
    pub template: String,
    /// What else the template may use: `bos_token`, `eos_token`, switches of its own.
    pub template_variables: BTreeMap<String, Variable>,
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
    is_builtin: bool,
    end_tokens: Vec<String>,
    /// The token that begins texts, if it is another one than the one that ends them.
    bos_token: Option<String>,
    train_on: TrainOn,
    plans: Mutex<BTreeMap<Vec<u8>, Planned>>,
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
        let variable = |name: &str| options.template_variables.get(name).and_then(Variable::as_str);
        let (bos, eos) = (variable("bos_token"), variable("eos_token"));
        end_tokens.extend(eos.map(str::to_owned));
        let bos_token = bos.filter(|bos| !bos.is_empty() && Some(*bos) != eos).map(str::to_owned);
        let plans = Mutex::default();
        let is_builtin = builtin.is_some();
        Ok(Self { jinja, is_builtin, end_tokens, bos_token, train_on: options.train_on, plans })
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
        // A plan takes time with the square of the messages: it is for those that are kept.
        if self.is_builtin
            && !add_generation_prompt
            && chat.roles.len() <= MAX_PLANNED
            && !chat.holds_marks()
            && let (Ok(plan), Some(texts)) = (self.plan(chat).as_ref(), chat.texts())
        {
            return Ok(plan.fill(&texts).text);
        }
        self.jinja.render(&chat.input()?, add_generation_prompt).map_err(BadRecord::Template)
    }

    /// The text of a conversation, and what of it is trained on: the answers, and the tokens that end them.
    ///
    /// # Errors
    /// What the template objects to; a conversation in which nothing is trained on, or everything, or for which it
    /// cannot be told for sure; a text that begins with `bos_token` twice, as a template writes that names it and holds
    /// it, too.
    pub fn render_trained(&self, chat: &Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        if chat.holds_marks() {
            let reason = "a text holds one of U+FDD1 to U+FDD4, which are reserved and used as marks";
            return Err(BadRecord::Template(reason.into()));
        }
        if chat.roles.len() > MAX_MESSAGES {
            let reason =
                format!("{} messages: more than {MAX_MESSAGES} are no conversation", chat.roles.len());
            return Err(BadRecord::Template(reason));
        }
        let mut rendered = self.spans(chat)?;
        // An answer without a letter is no part of the text.
        rendered.trained.retain(|span| !span.is_empty());
        if let Some(bos) = &self.bos_token
            && rendered.text.strip_prefix(bos).is_some_and(|rest| rest.starts_with(bos))
        {
            return Err(BadRecord::Template(format!("its text begins with {bos} twice")));
        }
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
            return self.marked(chat);
        }
        let texts = chat.texts();
        if let (true, Some(texts)) = (self.is_builtin, &texts) {
            let plan = self.plan(chat);
            return match plan.as_ref() {
                Ok(plan) => Ok(plan.fill(texts)),
                Err(reason) => Err(BadRecord::Template(reason.clone())),
            };
        }
        let input = chat.input()?;
        let text = self.jinja.render(&input, false).map_err(BadRecord::Template)?;
        if chat.is_plain
            && let (Ok(plan), Some(texts)) = (self.plan(chat).as_ref(), &texts)
        {
            let filled = plan.fill(texts);
            if filled.text == text {
                return Ok(filled);
            }
        }
        let prefixes = Real::new(&self.jinja, chat, &input).map_err(BadRecord::Template)?;
        let roles: Vec<&str> = chat.roles.iter().map(AsRef::as_ref).collect();
        let (end_tokens, train_on) = (&self.end_tokens[..], self.train_on);
        let question = Question { roles: &roles, text: &text, prefixes: &prefixes, end_tokens, train_on };
        Ok(Rendered { trained: question.spans().map_err(BadRecord::Template)?, text })
    }

    /// What the template's own blocks say.
    fn marked(&self, chat: &Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        let input = chat.input()?;
        let render = |input: &JinjaInput| self.jinja.render_marked(input).map_err(BadRecord::Template);
        let (text, mut trained) = render(&input)?;
        if let (TrainOn::Last, Some(&last)) = (self.train_on, asked(&chat.roles, TrainOn::Last).first())
            && last > 0
        {
            // Blocks of the messages before are those of the conversation that ends there.
            let (_, before) = render(&first(&input, last).map_err(BadRecord::Template)?)?;
            if trained.get(..before.len()) != Some(&before[..]) {
                let reason = "its generation blocks are others when the conversation goes on";
                return Err(BadRecord::Template(reason.into()));
            }
            trained.drain(..before.len());
        }
        trained.retain(|span| !span.is_empty());
        Ok(Rendered { text, trained })
    }

    fn plan(&self, chat: &Chat<'_>) -> Planned {
        // With its length in front of each, no two lists of roles have the same key.
        let mut key = Vec::with_capacity(chat.roles.iter().map(|role| 8 + role.len()).sum());
        for role in &chat.roles {
            key.extend_from_slice(&(role.len() as u64).to_le_bytes());
            key.extend_from_slice(role.as_bytes());
        }
        let lock = || self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = lock().get(&key) {
            return Arc::clone(plan);
        }
        let roles: Vec<&str> = chat.roles.iter().map(AsRef::as_ref).collect();
        let render = |messages: &[(&str, &str)], asking: bool| {
            let messages = messages_of(messages.iter().copied());
            self.jinja.render(&JinjaInput { messages, tools: None, documents: None }, asking)
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
