//! Proves from a template's syntax that it treats all texts alike: what it writes is then known from the roles of a
//! conversation, with places for what is said, and need not be run for each one.
//!
//! The proof is of two runs side by side, over conversations of the same roles that say different things. Every value
//! has a class that says how it may differ between the two: not at all, by what a message says, and so on. Conditions
//! must come out alike, so both runs do the same steps; what is written must be made of fixed texts and of contents as
//! they are. All that is not known to keep this is refused, and the template is run as ever.
//!
//! - [`lattice`]: the classes. [`facts`]: what is known of names at one place.
//! - [`statements`]: what is written. [`expressions`], [`compare`], [`calls`]: what values are.
//! - [`conditions`]: what messages must not say, such as a text that the template looks for.

mod calls;
mod compare;
mod conditions;
mod expressions;
mod facts;
mod lattice;
mod statements;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use minijinja::machinery::ast::{Expr, Macro, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;

pub(in crate::templates) use conditions::Conditions;
use conditions::Queries;
use facts::Facts;
use lattice::Class;

/// Nodes that are looked at before a template is given up: stock ones take some ten thousand.
const MAX_STEPS: usize = 1_000_000;
/// Times that a template is gone through before it is given up. Each makes a class of a name larger.
const MAX_ROUNDS: usize = 64;

/// What is known of all conversations that a proof is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::templates) struct Assumptions {
    /// The roles that messages have.
    pub(in crate::templates) roles: BTreeSet<String>,
    /// Whether there are tools; the same ones in both runs.
    pub(in crate::templates) tools: bool,
    /// The same of documents.
    pub(in crate::templates) documents: bool,
}

/// Under which conditions a template treats all texts alike.
///
/// # Errors
/// What it does that depends on them, or may.
pub(super) fn prove(
    source: &str,
    syntax: SyntaxConfig,
    assumptions: &Assumptions,
) -> Result<Conditions, String> {
    let template = parse(source, "template", syntax).map_err(|error| error.to_string())?;
    let Stmt::Template(template) = &template else { return Err("not a template".into()) };
    let mut analysis = Analysis::new(assumptions, &template.children)?;
    for _ in 0..MAX_ROUNDS {
        let before = analysis.globals.clone();
        (analysis.queries, analysis.refused) = (Queries::default(), None);
        let written = analysis.block(&template.children, &mut Facts::default());
        if analysis.steps > MAX_STEPS {
            return Err("too many steps".into());
        }
        if analysis.globals == before {
            return match analysis.refused {
                Some(reason) => Err(reason),
                None if written.has(Class::NOTHING | Class::PLAIN | Class::MESSAGE_TEXT) => {
                    Conditions::new(analysis.queries)
                }
                None => Err("it always fails".into()),
            };
        }
    }
    Err("no fixpoint within the maximum number of rounds".into())
}

/// A macro: its parameters, and what it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MacroSummary<'source> {
    parameters: Vec<(&'source str, Class)>,
    written: Class,
}

/// What holds of names wherever they stand. It only grows while a template is gone through, again and again, until
/// nothing is added to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Globals<'source> {
    names: BTreeMap<&'source str, Class>,
    /// Attributes of any namespace.
    attributes: BTreeMap<&'source str, Class>,
    macros: BTreeMap<&'source str, MacroSummary<'source>>,
}

/// A loop that one is in.
#[derive(Debug, Clone, Copy)]
enum Enclosing {
    /// Its items.
    Loop(Class),
    /// Whatever stands around the place where a macro is made.
    Macro,
}

struct Analysis<'run, 'source> {
    assumptions: &'run Assumptions,
    globals: Globals<'source>,
    loops: Vec<Enclosing>,
    /// Whether a loop is left in its middle.
    is_cut: bool,
    queries: Queries,
    refused: Option<String>,
    steps: usize,
}

impl<'run, 'source> Analysis<'run, 'source> {
    fn new(assumptions: &'run Assumptions, template: &[Stmt<'source>]) -> Result<Self, String> {
        let mut globals = Globals::default();
        let mut found = Vec::new();
        macros(template, &mut found);
        for (one, is_inside) in found {
            if is_inside || globals.macros.contains_key(one.name) {
                return Err(format!("the macro {} is defined twice, or within another one", one.name));
            }
            let names = one.args.iter().filter_map(|name| match name {
                Expr::Var(name) => Some((name.id, Class::BOTTOM)),
                _ => None,
            });
            let parameters: Vec<_> = names.collect();
            globals.macros.insert(one.name, MacroSummary { parameters, written: Class::BOTTOM });
        }
        let mut parameters = globals.macros.values().flat_map(|one| &one.parameters);
        if parameters.any(|(name, _)| *name == "loop" || globals.macros.contains_key(name)) {
            return Err("an ambiguous parameter".into());
        }
        let (queries, refused) = (Queries::default(), None);
        Ok(Self { assumptions, globals, loops: Vec::new(), is_cut: false, queries, refused, steps: 0 })
    }

    /// Gives the template up, in this round. What is returned is no value, so that nothing else is said about it.
    fn refuse(&mut self, what: &str) -> Class {
        self.refused.get_or_insert_with(|| what.to_owned());
        Class::BOTTOM
    }

    /// Counts a step; `false` if there were too many.
    fn step(&mut self, size: usize) -> bool {
        self.steps += size;
        self.steps <= MAX_STEPS
    }

    /// What a name is wherever it stands.
    fn name(&self, name: &str) -> Class {
        let list = |is_given| if is_given { Class::PLAIN } else { Class::NONE };
        let given = match name {
            "messages" => Class::MESSAGES,
            "tools" => list(self.assumptions.tools),
            "documents" => list(self.assumptions.documents),
            "add_generation_prompt" => Class::PLAIN,
            _ => Class::FREE,
        };
        given | self.globals.names.get(name).copied().unwrap_or_default()
    }

    /// Whether a function is the one of this name that all templates have.
    fn is_own(&self, name: &str) -> bool {
        !self.globals.names.contains_key(name) && !self.globals.macros.contains_key(name)
    }

    /// A text that is looked for in what messages say. It must be none of those that stand in for them.
    fn look_for(&mut self, text: &str) -> bool {
        let is_of_marks = |letter: char| {
            letter.is_ascii_digit() || matches!(letter, '\u{b}' | '\u{c}' | '\u{fdd0}'..='\u{fdef}')
        };
        let is_other = !text.chars().all(is_of_marks);
        if is_other {
            self.queries.holds.insert(text.to_owned());
        }
        is_other
    }
}

/// All macros, and whether they stand in another one.
fn macros<'tree, 'source>(block: &'tree [Stmt<'source>], found: &mut Vec<(&'tree Macro<'source>, bool)>) {
    for statement in block {
        if let Stmt::Macro(one) = statement {
            let at = found.len();
            found.push((one, false));
            macros(&one.body, found);
            for (_, is_inside) in &mut found[at + 1..] {
                *is_inside = true;
            }
        }
        for inner in statements::blocks(statement) {
            macros(inner, found);
        }
    }
}
