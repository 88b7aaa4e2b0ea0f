//! Abstract semantics of filters, tests, functions and methods.

use minijinja::machinery::ast::{Call, CallArg, Expr, Filter, Test};

use super::expressions::Evaluated;
use super::facts::Facts;
use super::lattice::{Class, Outcome, is_type_test};
use super::{Analysis, MacroSummary};
use crate::conversation::is_python_space;

impl<'source> Analysis<'_, 'source> {
    /// Applies the filters of a block, the innermost first, to the captured text.
    pub(super) fn chain(&mut self, chain: &Expr<'source>, class: Class, facts: &Facts) -> Class {
        let Expr::Filter(filter) = chain else { return self.refuse("a filter block without a filter") };
        let class = match &filter.expr {
            Some(inner) => self.chain(inner, class, facts),
            None => class,
        };
        self.filter(filter, class, facts)
    }

    pub(super) fn filter(&mut self, filter: &Filter<'source>, class: Class, facts: &Facts) -> Class {
        if matches!(filter.name, "default" | "d") {
            return self.default(filter, class, facts);
        }
        self.free_arguments(&filter.args, facts, "message text as an argument of a filter");
        let mut made = Class::BOTTOM;
        for kind in class.kinds() {
            made |= self.filter_of(filter, kind);
        }
        made
    }

    /// The result of a filter for a value of one kind.
    fn filter_of(&mut self, filter: &Filter<'source>, kind: Class) -> Class {
        let texts = texts(&filter.args);
        let free = if matches!(filter.name, "selectattr" | "rejectattr" | "map") {
            &[][..]
        } else {
            &filter.args[..]
        };
        match (kind, filter.name, free) {
            (kind, _, _) if kind.is_within(Class::FREE) => Class::FREE,
            (Class::CONTENT | Class::TEXT, "string" | "safe", [])
            | (Class::MESSAGES | Class::PIECES, "list", [])
            | (Class::MESSAGES, "reverse", []) => kind,
            (Class::CONTENT | Class::TEXT, "trim", args) => self.strip(kind, args),
            (Class::CONTENT, "replace", [CallArg::Pos(_), CallArg::Pos(_)]) => {
                self.without(kind, texts.first().copied().flatten())
            }
            (Class::MESSAGES, "first" | "last", []) => Class::MESSAGE | Class::UNDEFINED,
            (Class::PIECES, "first" | "last", []) => Class::CONTENT,
            (Class::MESSAGES | Class::PIECES | Class::MESSAGE, "length" | "count", []) => Class::FREE,
            (Class::MESSAGES, "selectattr" | "rejectattr", _)
                if texts.first().copied().flatten().is_some_and(is_other_field)
                    && filter.args.iter().all(|argument| matches!(argument, CallArg::Pos(_))) =>
            {
                kind
            }
            (Class::MESSAGES, "map", _)
                if matches!(&filter.args[..], [CallArg::Kwarg("attribute", Expr::Const(field))]
                    if field.value.as_str().is_some_and(is_other_field)) =>
            {
                Class::FREE
            }
            _ => self.refuse(&format!("the filter {} of message text", filter.name)),
        }
    }

    fn default(&mut self, filter: &Filter<'source>, class: Class, facts: &Facts) -> Class {
        let [CallArg::Pos(other), more @ ..] = &filter.args[..] else {
            self.free_arguments(&filter.args, facts, "message text as an argument of a filter");
            return if class.is_within(Class::FREE) {
                class
            } else {
                self.refuse("a default as a keyword argument")
            };
        };
        let other = self.evaluate(other, facts).class;
        self.free_arguments(more, facts, "message text as an argument of a filter");
        if more.is_empty() {
            // A plain value may be undefined.
            let is_there = class.without(Class::UNDEFINED);
            return if class.has(Class::UNDEFINED | Class::PLAIN) { is_there | other } else { is_there };
        }
        self.queries.truth |= class.has(Class::MESSAGE_TEXT);
        class | other
    }

    pub(super) fn test(&mut self, test: &Test<'source>, facts: &Facts) -> Evaluated {
        if let Expr::Var(name) = &test.expr
            && matches!(test.name, "defined" | "undefined")
            && (matches!(name.id, "loop" | "namespace") || self.globals.macros.contains_key(name.id))
        {
            return Outcome::EITHER.into();
        }
        let class = self.evaluate(&test.expr, facts).class;
        if test.args.is_empty() && is_type_test(test.name) {
            return class.test(test.name).into();
        }
        self.free_arguments(&test.args, facts, "message text as an argument of a test");
        if !class.is_within(Class::FREE) {
            self.refuse(&format!("the test {} of message text", test.name));
        }
        Outcome::EITHER.into()
    }

    pub(super) fn call(&mut self, call: &Call<'source>, facts: &Facts) -> Class {
        match &call.expr {
            Expr::Var(name) => self.function(name.id, &call.args, facts),
            Expr::GetAttr(get) => {
                let is_loop = matches!(&get.expr, Expr::Var(name) if name.id == "loop");
                let class = if is_loop { Class::FREE } else { self.evaluate(&get.expr, facts).class };
                self.method(class, get.name, &call.args, facts)
            }
            expr => {
                self.free([expr], facts, "message text is called");
                self.free_arguments(&call.args, facts, "message text as an argument of a call")
            }
        }
    }

    fn function(&mut self, name: &'source str, args: &[CallArg<'source>], facts: &Facts) -> Class {
        if let Some(summary) = self.globals.macros.get(name).cloned() {
            return self.call_macro(name, &summary, args, facts);
        }
        match name {
            "raise_exception" if self.is_own(name) => {
                // The conversation is then rendered by the interpreter, for the whole error message.
                let refused = self.refused.clone();
                self.free_arguments(args, facts, "");
                self.refused = refused;
                Class::BOTTOM
            }
            "namespace" if self.is_own(name) => {
                for argument in args {
                    match argument {
                        CallArg::Kwarg(name, expr) => {
                            let class = self.evaluate(expr, facts).class;
                            *self.globals.attributes.entry(name).or_default() |= class;
                        }
                        _ => {
                            return self.refuse("a namespace from positional arguments");
                        }
                    }
                }
                Class::NAMESPACE
            }
            "loop" => self.refuse("a recursive loop"),
            _ => self.free_arguments(args, facts, "message text as an argument of a function"),
        }
    }

    fn call_macro(
        &mut self,
        name: &'source str,
        summary: &MacroSummary<'source>,
        args: &[CallArg<'source>],
        facts: &Facts,
    ) -> Class {
        let mut is_given = vec![false; summary.parameters.len()];
        for (number, argument) in args.iter().enumerate() {
            let (place, expr) = match argument {
                CallArg::Pos(expr) => (Some(number), expr),
                CallArg::Kwarg(key, expr) => {
                    (summary.parameters.iter().position(|(parameter, _)| parameter == key), expr)
                }
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => return self.refuse("unpacked arguments"),
            };
            let Some(place) = place.filter(|&place| place < is_given.len()) else {
                return self.refuse("too many arguments for a macro");
            };
            let class = self.evaluate(expr, facts).class;
            self.pass_argument(name, place, class);
            is_given[place] = true;
        }
        for (place, _) in is_given.iter().enumerate().filter(|(_, is_given)| !**is_given) {
            self.pass_argument(name, place, Class::UNDEFINED);
        }
        summary.written.captured()
    }

    /// Joins an argument into the summary of a macro.
    pub(super) fn pass_argument(&mut self, name: &str, place: usize, class: Class) {
        if let Some((_, summary)) =
            self.globals.macros.get_mut(name).and_then(|summary| summary.parameters.get_mut(place))
        {
            *summary |= class;
        }
    }

    fn method(&mut self, class: Class, name: &str, args: &[CallArg<'source>], facts: &Facts) -> Class {
        if name == "get"
            && class.has(Class::MESSAGE)
            && let [CallArg::Pos(key), other @ ..] = args
            && let Some(key) = key.as_const()
            && let Some(key) = key.as_str()
        {
            return self.get(class, key, other, facts);
        }
        self.free_arguments(args, facts, "message text as an argument of a method");
        let mut made = Class::BOTTOM;
        for kind in class.kinds() {
            made |= self.method_of(kind, name, args);
        }
        made
    }

    /// `get` of a message with a constant key.
    fn get(&mut self, class: Class, key: &str, other: &[CallArg<'source>], facts: &Facts) -> Class {
        let other = match other {
            [] => Class::NONE,
            [CallArg::Pos(other)] => self.evaluate(other, facts).class,
            _ => return self.refuse("a default as a keyword argument"),
        };
        let of_message = match key {
            "role" => Class::ROLE,
            "content" => Class::CONTENT,
            _ => other,
        };
        match class.without(Class::MESSAGE) {
            Class::BOTTOM => of_message,
            rest if rest.is_within(Class::FREE) => of_message | other | Class::FREE,
            _ => self.refuse("get of a value that may not be a message"),
        }
    }

    fn method_of(&mut self, kind: Class, name: &str, args: &[CallArg<'source>]) -> Class {
        let first = texts(args).first().copied().flatten();
        match (kind, name, args) {
            (kind, _, _) if kind.is_within(Class::FREE) => Class::FREE,
            (Class::CONTENT | Class::TEXT, "strip" | "lstrip" | "rstrip", args) => self.strip(kind, args),
            (Class::CONTENT, "split" | "rsplit", [_] | [_, CallArg::Pos(_)])
                if self.without(kind, first) == kind =>
            {
                Class::PIECES
            }
            (Class::CONTENT, "startswith" | "endswith", [_]) if self.without(kind, first) == kind => {
                Class::FREE
            }
            (Class::CONTENT, "replace", [_, CallArg::Pos(_)])
            | (Class::CONTENT, "removeprefix" | "removesuffix", [_]) => self.without(kind, first),
            _ => self.refuse(&format!("the method {name} of message text")),
        }
    }

    /// Stripping white space leaves markers intact. Stripping only some of it is allowed if no content
    /// starts or ends with it.
    fn strip(&mut self, kind: Class, args: &[CallArg<'source>]) -> Class {
        // Next to a blank content, the neighbouring text would be stripped as well.
        self.queries.truth |= kind == Class::TEXT;
        let letters = match (args, texts(args).first().copied().flatten()) {
            ([], _) => return kind,
            ([_], Some(letters)) if kind == Class::CONTENT => letters,
            _ => return self.refuse("stripping unknown characters"),
        };
        if !letters.chars().all(|letter| is_python_space(letter) && !matches!(letter, '\u{b}' | '\u{c}')) {
            return self.refuse("stripping characters other than white space");
        }
        self.queries.edges.extend(letters.chars());
        kind
    }

    /// Removal of a text that no content contains, which changes nothing.
    fn without(&mut self, kind: Class, text: Option<&str>) -> Class {
        match text {
            Some(text) if !text.is_empty() && self.look_for(text) => kind,
            _ => self.refuse("a search for an unknown text"),
        }
    }
}

/// Positional arguments that are constant strings.
fn texts<'tree>(args: &'tree [CallArg<'_>]) -> Vec<Option<&'tree str>> {
    let text = |expr: &'tree Expr<'_>| match expr {
        Expr::Const(value) => value.value.as_str(),
        _ => None,
    };
    let of = |argument: &'tree CallArg<'_>| match argument {
        CallArg::Pos(expr) => text(expr),
        _ => None,
    };
    args.iter().map(of).collect()
}

/// Whether a field of a message is neither its content nor a path into it.
fn is_other_field(name: &str) -> bool {
    name != "content" && !name.contains('.')
}
