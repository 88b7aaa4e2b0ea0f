//! Renders conversations by a template, and determines which parts of the text are trained on.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::builtin;
use super::chat::Chat;
use super::chat_keys::{ChatKeys, DOCUMENTS};
use super::chat_rules::ChatRules;
use super::jinja::{JinjaInput, JinjaTemplate, Variable};
use super::plan::Rendered;
use super::planner::Planner;
use super::prefixes::{WithContents, first};
use super::quoted::SpecialFinder;
use super::spans::{Locator, TrainOn, answers};
use super::tool_arguments::ToolArguments;
use crate::document::BadRecord;
use crate::error::{Error, Result};

/// Maximum number of messages. Each answer requires rendering the text before it, so that time is
/// quadratic.
const MAX_MESSAGES: usize = 1024;

/// A template and its options, with the same names as in Python and on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateOptions {
    /// The name of a built-in template, or the source of a Jinja template.
    pub template: String,
    /// Further variables of the template: `bos_token`, `eos_token`, or its own.
    pub template_variables: BTreeMap<String, Variable>,
    /// The result of `strftime_now`, such as `2026-01-31T00:00:00`; without it, templates that call it
    /// fail.
    pub template_date: Option<String>,
    /// Which answers are trained on.
    pub train_on: TrainOn,
    /// What it gets of arguments of tools that are JSON in a text.
    #[serde(default, skip_serializing_if = "ToolArguments::is_given")]
    pub tool_arguments: ToolArguments,
}

impl TemplateOptions {
    /// Compiles the template.
    ///
    /// # Errors
    /// Not a template, or a required variable is missing.
    pub fn compile(&self) -> Result<JinjaTemplate> {
        let bad = |reason: String| Error::config("template", reason);
        let builtin = builtin::find(&self.template);
        let source = builtin.map_or(self.template.as_str(), |builtin| builtin.source);
        if builtin.is_none() && !source.contains(['{', '\n']) {
            let names: Vec<&str> = builtin::BUILTIN.iter().map(|builtin| builtin.name).collect();
            return Err(bad(format!("expected one of {names:?} or a Jinja template, found {source:?}")));
        }
        for name in builtin.map_or(&[][..], |builtin| builtin.needs) {
            if !self.template_variables.contains_key(*name) {
                return Err(bad(format!("{:?} needs the variable {name}", self.template)));
            }
        }
        let now = self.template_date.as_deref().map(date).transpose()?;
        let variables = self.template_variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        JinjaTemplate::new(source, variables.collect(), now).map_err(bad)
    }
}

/// A compiled template, shared by all threads.
#[derive(Debug)]
pub struct ChatTemplate {
    pub(super) planner: Planner,
    rules: ChatRules,
    /// The token that starts texts, unless it is also the one that ends them.
    bos_token: Option<String>,
}

impl ChatTemplate {
    /// Compiles a template. The first of `end_tokens` (the added tokens of the tokenizer) or `eos_token`
    /// after an answer ends that answer.
    ///
    /// # Errors
    /// Not a template, or a required variable is missing.
    pub fn new(options: &TemplateOptions, end_tokens: Vec<String>) -> Result<Self> {
        let jinja = options.compile()?;
        let builtin = builtin::find(&options.template);
        let mut end_tokens = end_tokens;
        let variable = |name: &str| options.template_variables.get(name).and_then(Variable::as_str);
        let (bos, eos) = (variable("bos_token"), variable("eos_token"));
        end_tokens.extend(eos.map(str::to_owned));
        let bos_token = bos.filter(|bos| !bos.is_empty() && Some(*bos) != eos).map(str::to_owned);
        let planner = Planner::new(jinja, builtin.is_some(), end_tokens, options.train_on);
        Ok(Self { planner, rules: ChatRules::default(), bos_token })
    }

    /// Renders a conversation, with the generation prompt if asked for.
    ///
    /// # Errors
    /// An error of the template.
    pub fn render(
        &self,
        chat: &Chat<'_>,
        add_generation_prompt: bool,
    ) -> std::result::Result<String, BadRecord> {
        if !add_generation_prompt
            && !chat.contains_reserved()
            && let Some(text) = self.planner.filled_text(chat)
        {
            return Ok(text);
        }
        self.planner.jinja.render(&chat.input()?, add_generation_prompt).map_err(BadRecord::Template)
    }

    /// Renders a record for training: as [`ChatTemplate::render_trained`], but each message has to say something, in
    /// text or by calls of tools that the template writes.
    ///
    /// # Errors
    /// A message that does not; and as [`ChatTemplate::render_trained`].
    pub fn render_record(&self, chat: &mut Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        self.accept(chat)?;
        self.render_trained(chat)
    }

    /// What [`ChatTemplate::render_record`] does before it renders.
    ///
    /// # Errors
    /// As there.
    pub fn accept(&self, chat: &mut Chat<'_>) -> std::result::Result<(), BadRecord> {
        self.rules.complete(&self.planner.jinja, chat)?;
        ChatRules::check_calls(&self.planner.jinja, chat)?;
        self.rules.add_context(&self.planner.jinja, chat)
    }

    /// Whether a key is read for which no field of `keys` stands: the template reads it, or it may be lost. Keys are named
    /// as a [`KeyLog`](crate::key_log::KeyLog) counts them.
    pub fn is_read(&self, key: &str, keys: &ChatKeys) -> bool {
        let jinja = &self.planner.jinja;
        let of_message = key.strip_prefix(&*keys.list).and_then(|rest| rest.strip_prefix('.'));
        let (name, is_read) = match of_message {
            Some(name) => (name, self.rules.reads_key(jinja, name)),
            None => (key, key == DOCUMENTS && jinja.mentions(DOCUMENTS)),
        };
        is_read || keys.ignored.iter().any(|ignored| ignored == name)
    }

    /// The texts that a conversation is trained on in: itself, or with [`TrainOn::Each`] its beginnings, up to each answer
    /// that is trained on, as the template renders them on their own. None if switches leave out all answers. The special
    /// tokens that `special` finds in messages are text.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_trained`], for any of them.
    pub fn render_texts(
        &self,
        mut chat: Chat<'_>,
        special: Option<&SpecialFinder>,
    ) -> std::result::Result<Vec<Rendered>, BadRecord> {
        let render = |chat: &Chat<'_>| {
            let mut rendered = self.render_trained(chat)?;
            if let Some(special) = special {
                rendered.quoted = special.quoted(&self.planner.jinja, chat, &rendered.text)?;
            }
            Ok(rendered)
        };
        let is_each = self.planner.train_on == TrainOn::Each;
        let mut answers = answers(&chat.roles, if is_each { TrainOn::All } else { self.planner.train_on });
        let has_answers = !answers.is_empty();
        answers.retain(|&message| chat.trains(message));
        if has_answers && answers.is_empty() {
            return Ok(Vec::new());
        }
        if !is_each || !has_answers {
            return Ok(vec![render(&chat)?]);
        }
        // From the last to the first, since what is behind an answer is gone for those before it, too.
        let mut texts = Vec::with_capacity(answers.len());
        for &message in answers.iter().rev() {
            chat.roles.truncate(message + 1);
            chat.contents.truncate(message + 1);
            chat.facts.truncate(message + 1);
            texts.push(render(&chat)?);
        }
        texts.reverse();
        Ok(texts)
    }

    /// Renders a conversation and determines what is trained on: the answers, and the tokens that end them.
    ///
    /// # Errors
    /// An error of the template; a conversation in which nothing or everything is trained on, or in which
    /// the answers cannot be located with certainty; a text that starts with `bos_token` twice.
    pub fn render_trained(&self, chat: &Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        if chat.contains_reserved() {
            let reason = "a text contains one of U+FDD1 to U+FDD4, which are reserved as markers";
            return Err(BadRecord::Template(reason.into()));
        }
        if chat.roles.len() > MAX_MESSAGES {
            let reason = format!("{} messages: more than {MAX_MESSAGES} are not supported", chat.roles.len());
            return Err(BadRecord::Template(reason));
        }
        let mut rendered = self.spans(chat)?;
        // An empty answer is not part of the text.
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
                "everything in it is trained on: the template does not distinguish roles"
            }
            _ => return Ok(rendered),
        };
        Err(BadRecord::Template(reason.into()))
    }

    /// Whether a text ends with a token that ends answers.
    pub fn is_ended(&self, text: &str) -> bool {
        self.planner.end_tokens.iter().any(|token| !token.is_empty() && text.ends_with(token.as_str()))
    }

    fn spans(&self, chat: &Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        if self.planner.jinja.has_generation() {
            return self.marked(chat);
        }
        if let Some(filled) = self.planner.filled(chat) {
            return Ok(filled);
        }
        if let (true, Some(texts)) = (self.planner.is_builtin, &chat.texts()) {
            return match &self.planner.plan(chat).plan {
                Ok(plan) => Ok(plan.fill(texts, chat.mask())),
                Err(reason) => Err(BadRecord::Template(reason.clone())),
            };
        }
        self.run(chat)
    }

    /// Renders any conversation with any template, by running it.
    pub(super) fn run(&self, chat: &Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        let input = chat.input()?;
        let text = self.planner.jinja.render(&input, false).map_err(BadRecord::Template)?;
        if chat.is_plain()
            && let (Ok(plan), Some(texts)) = (&self.planner.plan(chat).plan, &chat.texts())
        {
            let filled = plan.fill(texts, chat.mask());
            if filled.text == text {
                return Ok(filled);
            }
        }
        let prefixes = WithContents::new(&self.planner.jinja, chat, &input).map_err(BadRecord::Template)?;
        let roles: Vec<&str> = chat.roles.iter().map(AsRef::as_ref).collect();
        let mut answers = answers(&roles, self.planner.train_on);
        answers.retain(|&message| chat.trains(message));
        let (end_tokens, answers) = (&self.planner.end_tokens[..], &answers[..]);
        let locator = Locator { roles: &roles, text: &text, prefixes: &prefixes, end_tokens, answers };
        let trained = locator.spans().map_err(BadRecord::Template)?;
        Ok(Rendered { text, trained, ..Rendered::default() })
    }

    /// For templates with `{% generation %}` blocks: these mark what is trained on.
    fn marked(&self, chat: &Chat<'_>) -> std::result::Result<Rendered, BadRecord> {
        let input = chat.input()?;
        let render =
            |input: &JinjaInput| self.planner.jinja.render_marked(input).map_err(BadRecord::Template);
        let (text, mut trained) = render(&input)?;
        let refuse_other = |before: &[Range<usize>]| match trained.get(..before.len()) {
            Some(blocks) if blocks == before => Ok(before.len()),
            _ => {
                let reason = "its generation blocks change when the conversation continues";
                Err(BadRecord::Template(reason.into()))
            }
        };
        // The blocks of the first messages are those of the conversation that ends there. Some templates fail without
        // any messages.
        let blocks_before = |count: usize| match count {
            0 => Ok(0),
            count if count == chat.roles.len() => Ok(trained.len()),
            count => refuse_other(&render(&first(&input, count).map_err(BadRecord::Template)?)?.1),
        };
        let mut left_out: Vec<Range<usize>> = Vec::new();
        if self.planner.train_on != TrainOn::All {
            let last = answers(&chat.roles, TrainOn::Last).first().copied();
            left_out.push(0..blocks_before(last.unwrap_or(0))?);
        }
        let answers = answers(&chat.roles, self.planner.train_on);
        for message in answers.into_iter().filter(|&message| !chat.trains(message)) {
            left_out.push(blocks_before(message)?..blocks_before(message + 1)?);
        }
        let mut block = 0..;
        trained.retain(|_| {
            block.next().is_none_or(|block| !left_out.iter().any(|range| range.contains(&block)))
        });
        Ok(Rendered { text, trained, ..Rendered::default() })
    }
}

fn date(text: &str) -> Result<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").map_err(|_| {
        Error::config(
            "template_date",
            format!("expected a date and time such as 2026-01-31T00:00:00, found {text:?}"),
        )
    })
}
