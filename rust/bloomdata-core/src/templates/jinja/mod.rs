//! Any chat template of a `tokenizer_config.json`, as `transformers.apply_chat_template` renders it.
//!
//! - [`generation`]: blocks that mark what the model says.
//! - [`jumps`]: `break` and `continue`, where they are not understood.
//! - [`limits`]: how large what a template makes may become.
//! - [`opaque`]: whether a template treats all texts alike, so that it need not be run for each.
//! - [`safe`]: the filter of that name, where it would do more than nothing.
//! - [`values`]: JSON as templates see it.
//! - [`python`]: what templates expect of Python; its texts are in [`text`], [`display`] and [`json`].

mod display;
mod generation;
mod json;
mod jumps;
mod limits;
pub(super) mod opaque;
mod python;
mod safe;
mod text;
mod values;

use chrono::NaiveDateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, context};

use generation::{BEGIN, END};
use opaque::{Assumptions, Conditions};

pub use minijinja::Value as Variable;
pub use values::value_of;

/// Steps of a template at most, with 64 bytes of all that it makes as one more: a loop over a billion numbers is no
/// template, nor is one that makes 640 MB of a conversation. Of 70 stock ones, 68 take less than 300 thousand for 256
/// messages of 1400 bytes or two of a million; one that copies all before each message takes two million.
pub(super) const FUEL: u64 = 10_000_000;
/// Bytes of a template's source at most; stock ones have thirty thousand.
const MAX_SOURCE_BYTES: usize = 1 << 18;
/// Stack for reading a template: one that is nothing but `not not not …` nests as deep as it is long.
const STACK_BYTES: usize = 1 << 30;

/// A compiled template.
#[derive(Debug)]
pub struct JinjaTemplate {
    environment: Environment<'static>,
    has_generation: bool,
    source: String,
}

/// What a template is given.
#[derive(Debug, Clone)]
pub struct JinjaInput {
    /// The messages, as they stand in the record.
    pub messages: Value,
    /// Descriptions of tools.
    pub tools: Option<Value>,
    /// Documents to answer from.
    pub documents: Option<Value>,
}

/// Rendered text, and the parts of it that the template itself marks as what the model says.
pub type Marked = (String, Vec<std::ops::Range<usize>>);

impl JinjaTemplate {
    /// Compiles a template. `variables` are further names that it may use, such as `bos_token`; `now` is what
    /// `strftime_now` says.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn new(
        source: &str,
        variables: Vec<(String, Variable)>,
        now: Option<NaiveDateTime>,
    ) -> Result<Self, String> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(format!("chat template: {} bytes: more than {MAX_SOURCE_BYTES}", source.len()));
        }
        deep(|| Self::compile(source, variables, now))
    }

    fn compile(
        source: &str,
        variables: Vec<(String, Variable)>,
        now: Option<NaiveDateTime>,
    ) -> Result<Self, String> {
        safe::check(source)?;
        let mut environment = Environment::new();
        environment.set_syntax(syntax()?);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        python::extend(&mut environment, now);
        let (plain, marked) = generation::rewrite(source);
        let (has_generation, source) = (marked.is_some(), plain.clone());
        jumps::check(&plain, syntax()?)?;
        for (name, source) in [("template", Some(plain)), ("marked", marked)] {
            if let Some(source) = source {
                environment.add_template_owned(name, source).map_err(|error| explain(&error))?;
            }
        }
        for (name, value) in variables {
            environment.add_global(name, value);
        }
        Ok(Self { environment, has_generation, source })
    }

    /// Whether the template marks what the model says.
    pub fn has_generation(&self) -> bool {
        self.has_generation
    }

    /// Under which conditions the template treats all texts of such conversations alike.
    ///
    /// # Errors
    /// What it does that depends on them, or may.
    pub(super) fn prove(&self, assumptions: &Assumptions) -> Result<Conditions, String> {
        deep(|| opaque::prove(&self.source, syntax()?, assumptions))
    }

    /// Renders messages.
    ///
    /// # Errors
    /// What the template itself objects to, or what it does that is not known here.
    pub fn render(&self, input: &JinjaInput, add_generation_prompt: bool) -> Result<String, String> {
        self.run("template", input, add_generation_prompt)
    }

    /// Renders messages, with what the template marks as said by the model.
    ///
    /// # Errors
    /// As [`JinjaTemplate::render`]; text that holds the marks.
    pub fn render_marked(&self, input: &JinjaInput) -> Result<Marked, String> {
        let marked = self.run("marked", input, false)?;
        let (mut text, mut spans, mut open) = (String::with_capacity(marked.len()), Vec::new(), None);
        for part in marked.split_inclusive([BEGIN, END]) {
            text.push_str(part.trim_end_matches([BEGIN, END]));
            match (part.chars().next_back(), open.take()) {
                (Some(BEGIN), None) => open = Some(text.len()),
                (Some(END), Some(start)) => spans.push(start..text.len()),
                (Some(BEGIN | END), _) => {
                    return Err("its generation blocks are not one after the other".into());
                }
                (_, still) => open = still,
            }
        }
        // What a template marks is not what it renders: a text that holds the marks would be cut elsewhere.
        if text == self.render(input, false)? {
            Ok((text, spans))
        } else {
            Err("its generation blocks change its text".into())
        }
    }

    /// Renders messages, and tells how much of [`FUEL`] was used.
    ///
    /// # Errors
    /// As [`JinjaTemplate::render`].
    pub(super) fn render_measured(&self, input: &JinjaInput) -> Result<(String, u64), String> {
        let template = self.environment.get_template("template").map_err(|error| explain(&error))?;
        let rendered = safely(|| template.render_captured(context_of(input, false)))?;
        let used = rendered.state().fuel_levels().map_or(FUEL, |(used, _)| used);
        Ok((rendered.into_output(), used))
    }

    fn run(&self, name: &str, input: &JinjaInput, add_generation_prompt: bool) -> Result<String, String> {
        let template = self.environment.get_template(name).map_err(|error| explain(&error))?;
        safely(|| template.render(context_of(input, add_generation_prompt)))
    }
}

/// Runs a template. What the interpreter has no error for, but a panic, is one of the template.
fn safely<T>(work: impl FnOnce() -> Result<T, minijinja::Error>) -> Result<T, String> {
    // Nothing that a run changes is used after it: what it is given is never written to.
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    match done {
        Ok(done) => done.map_err(|error| explain(&error)),
        Err(_) => Err("chat template: the interpreter panicked".into()),
    }
}

/// The names that a template is given.
fn context_of(input: &JinjaInput, add_generation_prompt: bool) -> Value {
    let JinjaInput { messages, tools, documents } = input;
    context! {
        messages, add_generation_prompt, tools => tools.clone().unwrap_or(Value::from(())),
        documents => documents.clone().unwrap_or(Value::from(())),
    }
}

fn syntax() -> Result<SyntaxConfig, String> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    syntax.map_err(|error| explain(&error))
}

/// Does something with a template that takes stack by how deep it is.
fn deep<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let reader =
            reader.map_err(|error| format!("chat template: cannot start a thread to parse it: {error}"))?;
        reader.join().unwrap_or_else(|_| Err("chat template: it cannot be parsed".into()))
    })
}

/// What went wrong, in one line.
fn explain(error: &minijinja::Error) -> String {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("chat template, line {line}: {reason}"),
        None => format!("chat template: {reason}"),
    }
}
