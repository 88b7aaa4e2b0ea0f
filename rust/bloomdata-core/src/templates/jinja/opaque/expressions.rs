//! What expressions are, and what is known where a condition holds.

use minijinja::machinery::ast::{BinOp, BinOpKind, CallArg, CompareOpKind, Expr, IfExpr, UnaryOpKind};

use super::facts::{Facts, path, root};
use super::lattice::{Class, Outcome, is_type_test};
use super::{Analysis, Around};

/// An expression: what it is, and what it may come out as where that is known beyond its class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) class: Class,
    pub(super) outcome: Option<Outcome>,
}

impl From<Class> for Seen {
    fn from(class: Class) -> Self {
        Self { class, outcome: None }
    }
}

impl From<Outcome> for Seen {
    fn from(outcome: Outcome) -> Self {
        Self { class: Class::PLAIN, outcome: Some(outcome) }
    }
}

impl<'source> Analysis<'_, 'source> {
    pub(super) fn look(&mut self, expr: &Expr<'source>, facts: &Facts) -> Seen {
        if !self.step(1) {
            return self.refuse("too long to tell").into();
        }
        if let Some(class) = path(expr).and_then(|path| facts.get(&path)) {
            return class.into();
        }
        match expr {
            Expr::Const(value) if value.value.is_none() => Class::NONE.into(),
            Expr::Const(value) => {
                let is_true = value.value.is_true();
                Outcome { yes: is_true, no: !is_true }.into()
            }
            Expr::Var(name) if name.id == "loop" => match self.loops.last() {
                None => Class::FREE.into(),
                Some(Around::Loop(item)) if item.is_within(Class::FREE) => Class::PLAIN.into(),
                _ => self.refuse("a loop over messages is used as a value").into(),
            },
            Expr::Var(name) if self.known.macros.contains_key(name.id) => {
                self.refuse("a macro is used as a value").into()
            }
            Expr::Var(name) if name.id == "namespace" && self.is_own(name.id) => {
                self.refuse("what makes namespaces is used as a value").into()
            }
            Expr::Var(name) => self.name(name.id).into(),
            Expr::UnaryOp(unary) => match unary.op {
                UnaryOpKind::Not => {
                    let seen = self.look(&unary.expr, facts);
                    self.outcome(seen).not().into()
                }
                UnaryOpKind::Neg => {
                    self.free([&unary.expr], facts, "a number is made of what is said").into()
                }
            },
            Expr::BinOp(both) => self.both(both, facts),
            Expr::Compare(compare) => self.compare(compare, facts).into(),
            Expr::IfExpr(either) => self.either(either, facts).into(),
            Expr::Slice(slice) => {
                let bounds = [&slice.start, &slice.stop, &slice.step];
                self.free(bounds.into_iter().flatten(), facts, "a part by what is said");
                let class = self.look(&slice.expr, facts).class;
                if class.is_within(Class::FREE | Class::MESSAGES) {
                    let list = if class.has(Class::FREE) { Class::FREE } else { Class::NEVER };
                    return (list | class.without(Class::FREE)).into();
                }
                self.refuse("a part of what is said").into()
            }
            Expr::GetAttr(get) => self.attribute(&get.expr, get.name, facts).into(),
            Expr::GetItem(get) => {
                if let Some(name) = get.subscript_expr.as_const().as_ref().and_then(|key| key.as_str()) {
                    return self.attribute(&get.expr, name, facts).into();
                }
                self.free([&get.subscript_expr], facts, "an item by what is said");
                let class = self.look(&get.expr, facts).class;
                self.item(class).into()
            }
            Expr::Filter(filter) => match &filter.expr {
                Some(inner) => {
                    let class = self.look(inner, facts).class;
                    self.filter(filter, class, facts).into()
                }
                None => self.refuse("a filter of nothing").into(),
            },
            Expr::Test(test) => self.test(test, facts),
            Expr::Call(call) => self.call(call, facts).into(),
            Expr::List(list) => self.list(&list.items, facts).into(),
            Expr::Tuple(tuple) => self.free(&tuple.items, facts, "a tuple of what is said").into(),
            Expr::Map(map) => {
                self.free(map.keys.iter().chain(&map.values), facts, "a map of what is said").into()
            }
        }
    }

    /// What an expression comes out as. Where that is a text, it is asked for whether it is empty.
    pub(super) fn outcome(&mut self, seen: Seen) -> Outcome {
        seen.outcome.unwrap_or_else(|| {
            self.asked.truth |= seen.class.has(Class::WORDS);
            seen.class.truth()
        })
    }

    /// Something made of expressions that must not depend on what is said.
    pub(super) fn free<'tree>(
        &mut self,
        all: impl IntoIterator<Item = &'tree Expr<'source>>,
        facts: &Facts,
        what: &str,
    ) -> Class
    where
        'source: 'tree,
    {
        let mut made = Class::FREE;
        for expr in all {
            if !self.look(expr, facts).class.is_within(Class::FREE) {
                made = self.refuse(what);
            }
        }
        made
    }

    /// The same of arguments.
    pub(super) fn free_arguments(&mut self, all: &[CallArg<'source>], facts: &Facts, what: &str) -> Class {
        let exprs = all.iter().map(|argument| match argument {
            CallArg::Pos(expr)
            | CallArg::Kwarg(_, expr)
            | CallArg::PosSplat(expr)
            | CallArg::KwargSplat(expr) => expr,
        });
        self.free(exprs, facts, what)
    }

    fn both(&mut self, both: &BinOp<'source>, facts: &Facts) -> Seen {
        if let Some(op) = comparison(both.op) {
            return self.pair(op, &both.left, &both.right, facts).into();
        }
        match both.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => self.short(both, facts),
            BinOpKind::Add | BinOpKind::Concat => self.sum(both, facts).into(),
            _ => self.free([&both.left, &both.right], facts, "reckoning with what is said").into(),
        }
    }

    /// `and`, `or`: the right side is made only if the left one does not tell.
    fn short(&mut self, both: &BinOp<'source>, facts: &Facts) -> Seen {
        let is_and = matches!(both.op, BinOpKind::ScAnd);
        let left = self.look(&both.left, facts);
        let told = self.outcome(left);
        let (goes_on, stays) = if is_and { (told.yes, told.no) } else { (told.no, told.yes) };
        let mut class = if stays { left.class.as_true(!is_and) } else { Class::NEVER };
        let mut outcome = Outcome { yes: stays && !is_and, no: stays && is_and };
        if goes_on {
            let mut inside = facts.clone();
            if !self.step(inside.len()) {
                return self.refuse("too long to tell").into();
            }
            self.narrow(&both.left, is_and, &mut inside);
            let right = self.look(&both.right, &inside);
            // Not whether it is empty: that is asked for only where it matters.
            let right_outcome = right.outcome.unwrap_or_else(|| right.class.truth());
            class |= right.class;
            outcome = Outcome { yes: outcome.yes || right_outcome.yes, no: outcome.no || right_outcome.no };
        }
        let outcome = (!class.has(Class::WORDS)).then_some(outcome);
        Seen { class, outcome }
    }

    fn either(&mut self, either: &IfExpr<'source>, facts: &Facts) -> Class {
        let seen = self.look(&either.test_expr, facts);
        let outcome = self.outcome(seen);
        let mut class = Class::NEVER;
        for (is_taken, result, expr) in
            [(outcome.yes, true, Some(&either.true_expr)), (outcome.no, false, either.false_expr.as_ref())]
        {
            if is_taken {
                let mut inside = facts.clone();
                self.narrow(&either.test_expr, result, &mut inside);
                class |= expr.map_or(Class::UNDEFINED, |expr| self.look(expr, &inside).class);
            }
        }
        class
    }

    /// `+` and `~`.
    fn sum(&mut self, both: &BinOp<'source>, facts: &Facts) -> Class {
        let (left, right) = (self.look(&both.left, facts).class, self.look(&both.right, facts).class);
        let all = left | right;
        if left == Class::NEVER || right == Class::NEVER {
            return Class::NEVER;
        }
        if all.is_within(Class::FREE) {
            return Class::FREE;
        }
        if all.is_within(Class::FREE | Class::WORDS) {
            let free =
                if left.has(Class::FREE) && right.has(Class::FREE) { Class::FREE } else { Class::NEVER };
            return Class::TEXT | free;
        }
        if all == Class::MESSAGES && matches!(both.op, BinOpKind::Add) {
            return Class::MESSAGES;
        }
        self.refuse("a sum of what is said")
    }

    /// What a name of something is.
    fn attribute(&mut self, of: &Expr<'source>, name: &str, facts: &Facts) -> Class {
        if matches!(of, Expr::Var(name) if name.id == "loop") {
            return match self.loops.last() {
                Some(Around::Loop(item)) if matches!(name, "previtem" | "nextitem") => {
                    *item | Class::UNDEFINED
                }
                None | Some(Around::Loop(_)) => Class::FREE,
                Some(Around::Macro) => self.refuse("a macro in a loop"),
            };
        }
        let mut found = Class::NEVER;
        for kind in self.look(of, facts).class.kinds() {
            found |= match (kind, name) {
                (Class::MESSAGE, "role") => Class::ROLE,
                (Class::MESSAGE, "content") => Class::CONTENT,
                (Class::NAMESPACE, name) => {
                    self.known.attributes.get(name).copied().unwrap_or_default() | Class::UNDEFINED
                }
                (Class::PLAIN, _) => Class::FREE,
                // Texts and lists have no names; of what is undefined it is an error.
                _ => Class::UNDEFINED,
            };
        }
        found
    }

    fn list(&mut self, items: &[Expr<'source>], facts: &Facts) -> Class {
        let mut all = Class::NEVER;
        for item in items {
            all |= self.look(item, facts).class;
        }
        match all {
            all if all.is_within(Class::FREE) => Class::FREE,
            Class::MESSAGE => Class::MESSAGES,
            _ => self.refuse("a list of what is said"),
        }
    }

    /// What a number, or a name that is made, takes out of something.
    pub(super) fn item(&mut self, class: Class) -> Class {
        let mut item = Class::NEVER;
        for kind in class.kinds() {
            item |= match kind {
                Class::MESSAGES => Class::MESSAGE | Class::UNDEFINED,
                Class::PIECES => Class::CONTENT | Class::UNDEFINED,
                Class::MESSAGE => Class::FREE | Class::CONTENT,
                kind if kind.is_within(Class::FREE) => Class::FREE,
                _ => self.refuse("an item of what is said"),
            };
        }
        item
    }

    /// What is known where an expression comes out so.
    pub(super) fn narrow(&mut self, expr: &Expr<'source>, result: bool, facts: &mut Facts) {
        if !self.step(1) {
            return;
        }
        match expr {
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => {
                self.narrow(&unary.expr, !result, facts);
            }
            Expr::BinOp(both) if matches!(both.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
                if matches!(both.op, BinOpKind::ScAnd) == result {
                    self.narrow(&both.left, result, facts);
                    self.narrow(&both.right, result, facts);
                }
            }
            Expr::Test(test) if test.args.is_empty() && is_type_test(test.name) => {
                self.keep(&test.expr, |class| class.passing(test.name, result), facts);
            }
            Expr::BinOp(both) if let Some(op) = comparison(both.op) => {
                self.narrow_compare(op, (&both.left, &both.right), result, facts);
            }
            Expr::Compare(compare) => {
                if let [only] = &compare.ops[..] {
                    self.narrow_compare(only.op, (&compare.expr, &only.expr), result, facts);
                }
            }
            Expr::Call(call) if result => {
                // What begins or ends with a text that no message holds is none.
                if let Expr::GetAttr(get) = &call.expr
                    && matches!(get.name, "startswith" | "endswith")
                {
                    self.keep(&get.expr, |class| class.without(Class::CONTENT), facts);
                }
            }
            _ => {
                self.asked.truth |= path(expr).is_some() && self.look(expr, facts).class.has(Class::WORDS);
                self.keep(expr, |class| class.as_true(result), facts);
            }
        }
    }

    fn narrow_compare(
        &mut self,
        op: CompareOpKind,
        (left, right): (&Expr<'source>, &Expr<'source>),
        result: bool,
        facts: &mut Facts,
    ) {
        let (looked_for, text, is_match) = match op {
            CompareOpKind::In => (left, right, result),
            CompareOpKind::NotIn => (left, right, !result),
            CompareOpKind::Eq => (right, left, result),
            CompareOpKind::Ne => (right, left, !result),
            _ => return,
        };
        if is_match && looked_for.as_const().is_some_and(|value| value.as_str().is_some()) {
            self.keep(text, |class| class.without(Class::CONTENT), facts);
        }
    }

    /// What is left of the class of a path.
    fn keep(&mut self, expr: &Expr<'source>, left: impl Fn(Class) -> Class, facts: &mut Facts) {
        let Some(path) = path(expr) else { return };
        let root = root(&path);
        let class_of_root = facts.get(root).unwrap_or_else(|| self.name(root));
        // Attributes of a namespace are set where nobody sees it; macros are no values.
        let is_fixed = path == root || !class_of_root.has(Class::NAMESPACE);
        if is_fixed && !self.known.macros.contains_key(root) {
            let class = self.look(expr, facts).class;
            facts.insert(path, left(class));
        }
    }
}

/// The same operator, of one kind of nodes and of the other.
fn comparison(op: BinOpKind) -> Option<CompareOpKind> {
    Some(match op {
        BinOpKind::Eq => CompareOpKind::Eq,
        BinOpKind::Ne => CompareOpKind::Ne,
        BinOpKind::In => CompareOpKind::In,
        BinOpKind::Lt => CompareOpKind::Lt,
        BinOpKind::Lte => CompareOpKind::Lte,
        BinOpKind::Gt => CompareOpKind::Gt,
        BinOpKind::Gte => CompareOpKind::Gte,
        _ => return None,
    })
}
