//! Any chat template of a `tokenizer_config.json`, as `transformers.apply_chat_template` renders it.
//!
//! - [`generation`]: blocks that mark what the model says.
//! - [`safe`]: the filter of that name, where it would do more than nothing.
//! - [`values`]: JSON as templates see it.
//! - [`python`]: what templates expect of Python; its texts are in [`text`], [`display`] and [`json`].

mod display;
mod generation;
mod json;
mod python;
mod safe;
mod text;
mod values;

use chrono::NaiveDateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, context};

use generation::{BEGIN, END};

pub use minijinja::Value as Variable;
pub use values::value_of;

/// Steps of a template at most: a loop over a billion numbers is no template.
const FUEL: u64 = 50_000_000;
/// Bytes of a template's source at most; stock ones have thirty thousand.
const MAX_SOURCE_BYTES: usize = 1 << 18;
/// Stack for reading a template: one that is nothing but `not not not …` nests as deep as it is long.
const STACK_BYTES: usize = 1 << 30;

/// A compiled template.
#[derive(Debug)]
pub struct JinjaTemplate {
    environment: Environment<'static>,
    has_generation: bool,
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
        let compile = || Self::compile(source, variables, now);
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, compile);
            let reader = reader.map_err(|error| format!("chat template: no thread to read it: {error}"))?;
            reader.join().unwrap_or_else(|_| Err("chat template: it cannot be read".into()))
        })
    }

    fn compile(
        source: &str,
        variables: Vec<(String, Variable)>,
        now: Option<NaiveDateTime>,
    ) -> Result<Self, String> {
        safe::check(source)?;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| explain(&error))?);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        python::extend(&mut environment, now);
        let (plain, marked) = generation::rewrite(source);
        let has_generation = marked.is_some();
        for (name, source) in [("template", Some(plain)), ("marked", marked)] {
            if let Some(source) = source {
                environment.add_template_owned(name, source).map_err(|error| explain(&error))?;
            }
        }
        for (name, value) in variables {
            environment.add_global(name, value);
        }
        Ok(Self { environment, has_generation })
    }

    /// Whether the template marks what the model says.
    pub fn has_generation(&self) -> bool {
        self.has_generation
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

    fn run(&self, name: &str, input: &JinjaInput, add_generation_prompt: bool) -> Result<String, String> {
        let template = self.environment.get_template(name).map_err(|error| explain(&error))?;
        let JinjaInput { messages, tools, documents } = input;
        let given = context! {
            messages, add_generation_prompt, tools => tools.clone().unwrap_or(Value::from(())),
            documents => documents.clone().unwrap_or(Value::from(())),
        };
        template.render(given).map_err(|error| explain(&error))
    }
}

/// What went wrong, in one line.
fn explain(error: &minijinja::Error) -> String {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("chat template, line {line}: {reason}"),
        None => format!("chat template: {reason}"),
    }
}
