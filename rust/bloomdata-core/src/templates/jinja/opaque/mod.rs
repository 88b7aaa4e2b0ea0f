//! Proves by abstract interpretation that a template is opaque to message contents: its text then follows
//! from the roles of a conversation, with slots for contents, and the template need not be run for each
//! conversation.
//!
//! The analysis relates two runs of the template, on conversations with the same roles but different
//! contents (noninterference). An abstract value, or class, says how a value may differ between both runs:
//! not at all, by the content of a message, and so on. The classes form a finite lattice ([`lattice`]).
//! Every condition must have the same result in both runs, so that both take the same path, and the output
//! must be a concatenation of fixed text and contents. Anything that may violate this is refused, and the
//! template is run as usual.
//!
//! Facts that hold everywhere ([`Globals`]) are found as a fixpoint: the template is interpreted again and
//! again, joining what is assigned to each name, until nothing changes (see [`prove`]). Facts at one point
//! ([`Facts`]) are flow-sensitive: assignments replace them, conditions refine them, and branches join
//! them.
//!
//! - [`lattice`]: the abstract values.
//! - [`facts`]: flow-sensitive facts about names and paths.
//! - [`statements`]: statements, which write text and assign names.
//! - [`expressions`]: expressions, and refinement by conditions.
//! - [`compare`]: results of comparisons.
//! - [`calls`]: filters, tests, functions and methods.
//! - [`conditions`]: what contents must satisfy, such as not containing a text that the template searches
//!   for.

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

/// Maximum number of nodes to interpret; common templates take some ten thousand.
const MAX_STEPS: usize = 1_000_000;
/// Maximum number of rounds until the fixpoint. Each round but the last enlarges the class of some name.
const MAX_ROUNDS: usize = 64;

/// What all conversations of a proof have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::templates) struct Assumptions {
    /// The roles of messages.
    pub(in crate::templates) roles: BTreeSet<String>,
    /// Whether there are tools, which are equal in both runs.
    pub(in crate::templates) tools: bool,
    /// Whether there are documents, which are equal in both runs.
    pub(in crate::templates) documents: bool,
}

/// The conditions under which a template is opaque to message contents.
///
/// # Errors
/// Why the template may depend on contents.
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

/// The summary of a macro: the classes of its parameters and of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MacroSummary<'source> {
    parameters: Vec<(&'source str, Class)>,
    written: Class,
}

/// Flow-insensitive facts, which hold at every point. They only grow from round to round, until the
/// fixpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Globals<'source> {
    names: BTreeMap<&'source str, Class>,
    /// Attributes of all namespaces together.
    attributes: BTreeMap<&'source str, Class>,
    macros: BTreeMap<&'source str, MacroSummary<'source>>,
}

/// An enclosing loop.
#[derive(Debug, Clone, Copy)]
enum Enclosing {
    /// The class of its items.
    Loop(Class),
    /// The unknown surroundings of a macro call.
    Macro,
}

struct Analysis<'run, 'source> {
    assumptions: &'run Assumptions,
    globals: Globals<'source>,
    loops: Vec<Enclosing>,
    /// Whether `break` or `continue` was met in the current loop.
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

    /// Refuses the template, in this round. Returns bottom, so that no further reasons follow from this
    /// value.
    fn refuse(&mut self, what: &str) -> Class {
        self.refused.get_or_insert_with(|| what.to_owned());
        Class::BOTTOM
    }

    /// Counts steps; `false` if there were too many.
    fn step(&mut self, size: usize) -> bool {
        self.steps += size;
        self.steps <= MAX_STEPS
    }

    /// The class of a name at every point.
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

    /// Whether a name refers to the built-in function, not to a variable or a macro.
    fn is_own(&self, name: &str) -> bool {
        !self.globals.names.contains_key(name) && !self.globals.macros.contains_key(name)
    }

    /// Records a search for a text in contents. `false` for a text that markers may contain.
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

/// All macros, and whether they are defined within another one.
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
