//! Abstract semantics of statements: what they write and assign.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{Expr, ForLoop, IfCond, Macro, Stmt};

use super::facts::Facts;
use super::lattice::Class;
use super::{Analysis, Enclosing};

impl<'source> Analysis<'_, 'source> {
    /// The output of a list of statements.
    pub(super) fn block(&mut self, block: &[Stmt<'source>], facts: &mut Facts) -> Class {
        let mut written = Class::NOTHING;
        for statement in block {
            written = written.then(self.statement(statement, facts));
        }
        written
    }

    fn statement(&mut self, statement: &Stmt<'source>, facts: &mut Facts) -> Class {
        if !self.step(1 + facts.len()) {
            return self.refuse("too many steps");
        }
        match statement {
            Stmt::EmitRaw(raw) => {
                if raw.raw.is_empty() {
                    Class::NOTHING
                } else {
                    Class::PLAIN
                }
            }
            Stmt::EmitExpr(emit) => {
                let class = self.evaluate(&emit.expr, facts).class;
                self.written(class)
            }
            Stmt::IfCond(branch) => self.branch(branch, facts),
            Stmt::ForLoop(each) => self.for_loop(each, facts),
            Stmt::Set(set) => {
                if let (Expr::List(targets), Expr::Tuple(values)) = (&set.target, &set.expr)
                    && targets.items.len() == values.items.len()
                {
                    let classes: Vec<Class> =
                        values.items.iter().map(|value| self.evaluate(value, facts).class).collect();
                    for (target, class) in targets.items.iter().zip(classes) {
                        self.assign(target, class, facts);
                    }
                } else {
                    let class = self.evaluate(&set.expr, facts).class;
                    self.assign(&set.target, class, facts);
                }
                Class::NOTHING
            }
            Stmt::SetBlock(set) => {
                let mut class = self.capture(&set.body, facts);
                if let Some(filter) = &set.filter {
                    class = self.chain(filter, class, facts);
                }
                self.assign(&set.target, class, facts);
                Class::NOTHING
            }
            Stmt::FilterBlock(filter) => {
                let class = self.capture(&filter.body, facts);
                let class = self.chain(&filter.filter, class, facts);
                self.written(class)
            }
            Stmt::WithBlock(with) => {
                let mut inside = facts.clone();
                for (target, expr) in &with.assignments {
                    let class = self.evaluate(expr, &inside).class;
                    self.assign(target, class, &mut inside);
                }
                let written = self.block(&with.body, &mut inside);
                facts.forget_all(&assigned(std::slice::from_ref(statement)));
                written
            }
            Stmt::Macro(one) => {
                self.define_macro(one);
                Class::NOTHING
            }
            Stmt::Do(call) => {
                self.call(&call.call, facts);
                Class::NOTHING
            }
            Stmt::Continue(_) | Stmt::Break(_) => {
                self.is_cut = true;
                Class::NOTHING
            }
            Stmt::Template(_) | Stmt::AutoEscape(_) | Stmt::CallBlock(_) => {
                self.refuse("an unknown statement")
            }
        }
    }

    /// The output of a block, captured as a value.
    fn capture(&mut self, block: &[Stmt<'source>], facts: &mut Facts) -> Class {
        let was_cut = std::mem::replace(&mut self.is_cut, false);
        let written = self.block(block, facts).captured();
        if std::mem::replace(&mut self.is_cut, was_cut) {
            return self.refuse("a loop is left from within a captured block");
        }
        written
    }

    /// The output of a value.
    fn written(&mut self, class: Class) -> Class {
        let text = class.without(Class::FREE);
        if !text.is_within(Class::MESSAGE_TEXT) {
            return self.refuse("a whole message is written");
        }
        if class.has(Class::FREE) { text | Class::PLAIN } else { text }
    }

    fn branch(&mut self, branch: &IfCond<'source>, facts: &mut Facts) -> Class {
        let seen = self.evaluate(&branch.expr, facts);
        let outcome = self.outcome(seen);
        let (mut written, mut after) = (Class::BOTTOM, None::<Facts>);
        for (is_taken, result, body) in
            [(outcome.yes, true, &branch.true_body), (outcome.no, false, &branch.false_body)]
        {
            if is_taken {
                let mut inside = facts.clone();
                self.assume(&branch.expr, result, &mut inside);
                written |= self.block(body, &mut inside);
                after = Some(match after {
                    Some(other) => inside.join(&other),
                    None => inside,
                });
            }
        }
        if let Some(after) = after {
            *facts = after;
        }
        written
    }

    fn for_loop(&mut self, each: &ForLoop<'source>, facts: &mut Facts) -> Class {
        let list = self.evaluate(&each.iter, facts).class;
        if each.recursive {
            return self.refuse("a recursive loop");
        }
        let item = self.items(list);
        let mut names = assigned(&each.body);
        targets(&each.target, &mut names);
        facts.forget_all(&names);
        let mut written = Class::NOTHING;
        if item != Class::BOTTOM {
            let mut inside = facts.clone();
            self.assign(&each.target, item, &mut inside);
            if let Some(filter) = &each.filter_expr {
                let seen = self.evaluate(filter, &inside);
                self.outcome(seen);
                self.assume(filter, true, &mut inside);
            }
            let was_cut = std::mem::replace(&mut self.is_cut, false);
            self.loops.push(Enclosing::Loop(item));
            let once = self.block(&each.body, &mut inside);
            self.loops.pop();
            self.is_cut = was_cut;
            // Once or repeatedly; a loop that is left early writes less, but no other kind of text.
            written |= once | once.then(once);
        }
        let mut inside = facts.clone();
        written |= self.block(&each.else_body, &mut inside);
        facts.forget_all(&assigned(&each.else_body));
        written
    }

    /// The class of the items of a list; bottom if there are none.
    fn items(&mut self, list: Class) -> Class {
        let mut item = Class::BOTTOM;
        for kind in list.kinds() {
            item |= match kind {
                Class::UNDEFINED | Class::NONE => Class::BOTTOM,
                Class::MESSAGES => Class::MESSAGE,
                Class::PIECES => Class::CONTENT,
                kind if kind.is_within(Class::FREE) => Class::FREE,
                _ => self.refuse("a loop over message text"),
            };
        }
        item
    }

    fn define_macro(&mut self, one: &Macro<'source>) {
        let mut facts = Facts::default();
        let around = std::mem::replace(&mut self.loops, vec![Enclosing::Macro]);
        let was_cut = std::mem::replace(&mut self.is_cut, false);
        let defaults_from = one.args.len() - one.defaults.len();
        for (at, default) in one.defaults.iter().enumerate() {
            // Defaults are evaluated at the call, where they may use other parameters.
            let class = self.evaluate(default, &facts).class;
            self.pass_argument(one.name, defaults_from + at, class);
        }
        let parameters = self.globals.macros.get(one.name).map(|summary| summary.parameters.clone());
        for (at, (name, class)) in parameters.unwrap_or_default().into_iter().enumerate() {
            let is_there = at >= defaults_from && !one_may_be_undefined(&one.defaults[at - defaults_from]);
            let class = if is_there { class.without(Class::UNDEFINED) } else { class };
            *self.globals.names.entry(name).or_default() |= class;
            facts.insert(name.to_owned(), class);
        }
        let written = self.block(&one.body, &mut facts);
        (self.loops, self.is_cut) = (around, was_cut);
        if let Some(summary) = self.globals.macros.get_mut(one.name) {
            summary.written |= written;
        }
    }

    fn assign(&mut self, target: &Expr<'source>, class: Class, facts: &mut Facts) {
        match target {
            Expr::Var(name) if name.id == "loop" || self.globals.macros.contains_key(name.id) => {
                self.refuse("an ambiguous name");
            }
            Expr::Var(name) => {
                *self.globals.names.entry(name.id).or_default() |= class;
                facts.forget(name.id);
                facts.insert(name.id.to_owned(), class);
            }
            Expr::List(names) => {
                if !class.is_within(Class::FREE) {
                    self.refuse("a message is unpacked");
                }
                for name in &names.items {
                    self.assign(name, Class::FREE, facts);
                }
            }
            Expr::GetAttr(get) => {
                // For other free values it is an error at run time; namespaces are only created by a call,
                // which is analysed.
                if !self.evaluate(&get.expr, facts).class.is_within(Class::NAMESPACE | Class::FREE) {
                    self.refuse("an attribute of a message is set");
                }
                *self.globals.attributes.entry(get.name).or_default() |= class;
            }
            _ => {
                self.refuse("something other than a name is set");
            }
        }
    }
}

/// Whether a default may itself be undefined.
fn one_may_be_undefined(default: &Expr<'_>) -> bool {
    default.as_const().is_none()
}

/// The names that statements assign.
fn assigned<'source>(block: &[Stmt<'source>]) -> BTreeSet<&'source str> {
    let mut names = BTreeSet::new();
    for statement in block {
        match statement {
            Stmt::ForLoop(each) => targets(&each.target, &mut names),
            Stmt::Set(set) => targets(&set.target, &mut names),
            Stmt::SetBlock(set) => targets(&set.target, &mut names),
            Stmt::WithBlock(with) => with.assignments.iter().for_each(|(name, _)| targets(name, &mut names)),
            _ => {}
        }
        for inner in blocks(statement) {
            names.extend(assigned(inner));
        }
    }
    names
}

fn targets<'source>(target: &Expr<'source>, names: &mut BTreeSet<&'source str>) {
    match target {
        Expr::Var(name) => {
            names.insert(name.id);
        }
        Expr::List(list) => list.items.iter().for_each(|target| targets(target, names)),
        _ => {}
    }
}

/// The blocks within a statement, except those of a macro.
pub(super) fn blocks<'tree, 'source>(statement: &'tree Stmt<'source>) -> Vec<&'tree [Stmt<'source>]> {
    match statement {
        Stmt::ForLoop(each) => vec![&each.body, &each.else_body],
        Stmt::IfCond(branch) => vec![&branch.true_body, &branch.false_body],
        Stmt::WithBlock(with) => vec![&with.body],
        Stmt::SetBlock(set) => vec![&set.body],
        Stmt::FilterBlock(filter) => vec![&filter.body],
        Stmt::AutoEscape(escape) => vec![&escape.body],
        _ => vec![],
    }
}
