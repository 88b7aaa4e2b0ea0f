//! Renders any chat template of a `tokenizer_config.json` as `transformers.apply_chat_template` does.
//!
//! - [`generation`]: `{% generation %}` blocks, which mark answers of the model.
//! - [`jumps`]: rejects `break` and `continue` where the interpreter mishandles them.
//! - [`limits`]: limits the size of what a template makes.
//! - [`opaque`]: proves by abstract interpretation that a template is opaque to message contents.
//! - [`safe`]: rejects the filter `safe` where it would have an effect.
//! - [`values`]: JSON as template values.
//! - [`python`]: filters, functions and methods of Python.
//! - [`text`]: methods of Python's strings.
//! - [`display`]: `str` and `repr`.
//! - [`json`]: the filter `tojson`, as `json.dumps`.

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

/// Maximum number of steps of a template, where 64 bytes of output of any kind count as one step. This
/// stops a loop over a billion numbers, and a template that makes 640 MB of a conversation. Of 70 common
/// templates, 68 take less than 300 thousand steps for 256 messages of 1400 bytes or for two of a million;
/// one that copies all messages before each message takes two million.
pub(super) const FUEL: u64 = 10_000_000;
/// Maximum bytes of a template's source; common ones have up to thirty thousand.
const MAX_SOURCE_BYTES: usize = 1 << 18;
/// Stack for parsing: the nesting of `not not not …` is as deep as the source is long.
const STACK_BYTES: usize = 1 << 30;

/// A compiled template.
#[derive(Debug)]
pub struct JinjaTemplate {
    environment: Environment<'static>,
    has_generation: bool,
    source: String,
}

/// The input of a template.
#[derive(Debug, Clone)]
pub struct JinjaInput {
    /// The messages, as they are in the record.
    pub messages: Value,
    /// Descriptions of tools.
    pub tools: Option<Value>,
    /// Documents for retrieval.
    pub documents: Option<Value>,
}

/// A rendered text, and the ranges that the template marks as answers of the model.
pub type Marked = (String, Vec<std::ops::Range<usize>>);

impl JinjaTemplate {
    /// Compiles a template. `variables` are further names that it may use, such as `bos_token`; `now` is
    /// the result of `strftime_now`.
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

    /// Whether a word occurs in the template.
    pub(super) fn mentions(&self, word: &str) -> bool {
        self.source.contains(word)
    }

    /// Whether the template looks for a key of this name in anything: `.key`, or the key in quotes.
    pub(super) fn looks_for(&self, key: &str) -> bool {
        let is_name = |letter: char| letter == '_' || letter.is_alphanumeric();
        let ends = |at: usize| !self.source[at + 1 + key.len()..].starts_with(is_name);
        self.names(key) || self.source.match_indices(&format!(".{key}")).any(|(at, _)| ends(at))
    }

    /// Whether the template names a text, in quotes.
    pub(super) fn names(&self, text: &str) -> bool {
        [format!("'{text}'"), format!("\"{text}\"")]
            .iter()
            .any(|quoted| self.source.contains(quoted.as_str()))
    }

    /// Whether the template marks answers of the model.
    pub fn has_generation(&self) -> bool {
        self.has_generation
    }

    /// The conditions under which the template is opaque to the contents of such conversations.
    ///
    /// # Errors
    /// Why the template may depend on contents.
    pub(super) fn prove(&self, assumptions: &Assumptions) -> Result<Conditions, String> {
        deep(|| opaque::prove(&self.source, syntax()?, assumptions))
    }

    /// Renders messages.
    ///
    /// # Errors
    /// An error that the template raises, or a feature that is not supported.
    pub fn render(&self, input: &JinjaInput, add_generation_prompt: bool) -> Result<String, String> {
        self.run("template", input, add_generation_prompt)
    }

    /// Renders messages, with the ranges that the template marks as answers of the model.
    ///
    /// # Errors
    /// As [`JinjaTemplate::render`]; malformed blocks, or text that contains the markers.
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
        // Markers must not change the text, and contents must not contain markers, which would shift the
        // ranges.
        if text == self.render(input, false)? {
            Ok((text, spans))
        } else {
            Err("its generation blocks change its text".into())
        }
    }

    /// Renders messages, and reports how much of [`FUEL`] was used.
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

/// Runs a template; a panic of the interpreter becomes an error of the template.
fn safely<T>(work: impl FnOnce() -> Result<T, minijinja::Error>) -> Result<T, String> {
    // Nothing that a run changes is used afterwards, and its input is never written to.
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    match done {
        Ok(done) => done.map_err(|error| explain(&error)),
        Err(_) => Err("chat template: the interpreter panicked".into()),
    }
}

/// The variables of a template.
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

/// Runs `work` on a thread with a large stack, for deeply nested templates.
fn deep<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let reader =
            reader.map_err(|error| format!("chat template: cannot start a thread to parse it: {error}"))?;
        reader.join().unwrap_or_else(|_| Err("chat template: it cannot be parsed".into()))
    })
}

/// An error of the interpreter, in one line.
fn explain(error: &minijinja::Error) -> String {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("chat template, line {line}: {reason}"),
        None => format!("chat template: {reason}"),
    }
}
