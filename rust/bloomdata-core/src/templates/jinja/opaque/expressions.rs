//! Abstract evaluation of expressions, and refinement of facts by conditions.

use minijinja::machinery::ast::{BinOp, BinOpKind, CallArg, CompareOpKind, Expr, IfExpr, UnaryOpKind};

use super::facts::{Facts, path, root};
use super::lattice::{Class, Outcome, is_type_test};
use super::{Analysis, Enclosing};

/// An abstract value, and its possible truth values if these are known more precisely than by its class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evaluated {
    pub(super) class: Class,
    pub(super) outcome: Option<Outcome>,
}

impl From<Class> for Evaluated {
    fn from(class: Class) -> Self {
        Self { class, outcome: None }
    }
}

impl From<Outcome> for Evaluated {
    fn from(outcome: Outcome) -> Self {
        Self { class: Class::PLAIN, outcome: Some(outcome) }
    }
}

impl<'source> Analysis<'_, 'source> {
    pub(super) fn evaluate(&mut self, expr: &Expr<'source>, facts: &Facts) -> Evaluated {
        if !self.step(1) {
            return self.refuse("too many steps").into();
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
                Some(Enclosing::Loop(item)) if item.is_within(Class::FREE) => Class::PLAIN.into(),
                _ => self.refuse("a loop over messages is used as a value").into(),
            },
            Expr::Var(name) if self.globals.macros.contains_key(name.id) => {
                self.refuse("a macro is used as a value").into()
            }
            Expr::Var(name) if name.id == "namespace" && self.is_own(name.id) => {
                self.refuse("the function namespace is used as a value").into()
            }
            Expr::Var(name) => self.name(name.id).into(),
            Expr::UnaryOp(unary) => match unary.op {
                UnaryOpKind::Not => {
                    let seen = self.evaluate(&unary.expr, facts);
                    self.outcome(seen).not().into()
                }
                UnaryOpKind::Neg => self.free([&unary.expr], facts, "a number from message text").into(),
            },
            Expr::BinOp(both) => self.binary(both, facts),
            Expr::Compare(compare) => self.compare(compare, facts).into(),
            Expr::IfExpr(either) => self.conditional(either, facts).into(),
            Expr::Slice(slice) => {
                let bounds = [&slice.start, &slice.stop, &slice.step];
                self.free(bounds.into_iter().flatten(), facts, "a slice by message text");
                let class = self.evaluate(&slice.expr, facts).class;
                if class.is_within(Class::FREE | Class::MESSAGES) {
                    let list = if class.has(Class::FREE) { Class::FREE } else { Class::BOTTOM };
                    return (list | class.without(Class::FREE)).into();
                }
                self.refuse("a slice of message text").into()
            }
            Expr::GetAttr(get) => self.attribute(&get.expr, get.name, facts).into(),
            Expr::GetItem(get) => {
                if let Some(name) = get.subscript_expr.as_const().as_ref().and_then(|key| key.as_str()) {
                    return self.attribute(&get.expr, name, facts).into();
                }
                self.free([&get.subscript_expr], facts, "an item by message text");
                let class = self.evaluate(&get.expr, facts).class;
                self.item(class).into()
            }
            Expr::Filter(filter) => match &filter.expr {
                Some(inner) => {
                    let class = self.evaluate(inner, facts).class;
                    self.filter(filter, class, facts).into()
                }
                None => self.refuse("a filter of nothing").into(),
            },
            Expr::Test(test) => self.test(test, facts),
            Expr::Call(call) => self.call(call, facts).into(),
            Expr::List(list) => self.list(&list.items, facts).into(),
            Expr::Tuple(tuple) => self.free(&tuple.items, facts, "a tuple of message text").into(),
            Expr::Map(map) => {
                self.free(map.keys.iter().chain(&map.values), facts, "a map of message text").into()
            }
        }
    }

    /// The possible truth values of a value. For a text this is the query whether it is empty.
    pub(super) fn outcome(&mut self, seen: Evaluated) -> Outcome {
        seen.outcome.unwrap_or_else(|| {
            self.queries.truth |= seen.class.has(Class::MESSAGE_TEXT);
            seen.class.truth()
        })
    }

    /// Evaluates expressions that must be free of message text.
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
            if !self.evaluate(expr, facts).class.is_within(Class::FREE) {
                made = self.refuse(what);
            }
        }
        made
    }

    /// The same for arguments.
    pub(super) fn free_arguments(&mut self, all: &[CallArg<'source>], facts: &Facts, what: &str) -> Class {
        let exprs = all.iter().map(|argument| match argument {
            CallArg::Pos(expr)
            | CallArg::Kwarg(_, expr)
            | CallArg::PosSplat(expr)
            | CallArg::KwargSplat(expr) => expr,
        });
        self.free(exprs, facts, what)
    }

    fn binary(&mut self, both: &BinOp<'source>, facts: &Facts) -> Evaluated {
        if let Some(op) = comparison(both.op) {
            return self.pair(op, &both.left, &both.right, facts).into();
        }
        match both.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => self.short_circuit(both, facts),
            BinOpKind::Add | BinOpKind::Concat => self.sum(both, facts).into(),
            _ => self.free([&both.left, &both.right], facts, "arithmetic on message text").into(),
        }
    }

    /// `and` and `or`: the right side is evaluated only if the left side does not decide.
    fn short_circuit(&mut self, both: &BinOp<'source>, facts: &Facts) -> Evaluated {
        let is_and = matches!(both.op, BinOpKind::ScAnd);
        let left = self.evaluate(&both.left, facts);
        let told = self.outcome(left);
        let (goes_on, stays) = if is_and { (told.yes, told.no) } else { (told.no, told.yes) };
        let mut class = if stays { left.class.as_true(!is_and) } else { Class::BOTTOM };
        let mut outcome = Outcome { yes: stays && !is_and, no: stays && is_and };
        if goes_on {
            let mut inside = facts.clone();
            if !self.step(inside.len()) {
                return self.refuse("too many steps").into();
            }
            self.assume(&both.left, is_and, &mut inside);
            let right = self.evaluate(&both.right, &inside);
            // Not yet the query whether a text is empty: that is made only where the truth value matters.
            let right_outcome = right.outcome.unwrap_or_else(|| right.class.truth());
            class |= right.class;
            outcome = Outcome { yes: outcome.yes || right_outcome.yes, no: outcome.no || right_outcome.no };
        }
        let outcome = (!class.has(Class::MESSAGE_TEXT)).then_some(outcome);
        Evaluated { class, outcome }
    }

    fn conditional(&mut self, either: &IfExpr<'source>, facts: &Facts) -> Class {
        let seen = self.evaluate(&either.test_expr, facts);
        let outcome = self.outcome(seen);
        let mut class = Class::BOTTOM;
        for (is_taken, result, expr) in
            [(outcome.yes, true, Some(&either.true_expr)), (outcome.no, false, either.false_expr.as_ref())]
        {
            if is_taken {
                let mut inside = facts.clone();
                self.assume(&either.test_expr, result, &mut inside);
                class |= expr.map_or(Class::UNDEFINED, |expr| self.evaluate(expr, &inside).class);
            }
        }
        class
    }

    /// `+` and `~`.
    fn sum(&mut self, both: &BinOp<'source>, facts: &Facts) -> Class {
        let (left, right) = (self.evaluate(&both.left, facts).class, self.evaluate(&both.right, facts).class);
        let all = left | right;
        if left == Class::BOTTOM || right == Class::BOTTOM {
            return Class::BOTTOM;
        }
        if all.is_within(Class::FREE) {
            return Class::FREE;
        }
        if all.is_within(Class::FREE | Class::MESSAGE_TEXT) {
            let free =
                if left.has(Class::FREE) && right.has(Class::FREE) { Class::FREE } else { Class::BOTTOM };
            return Class::TEXT | free;
        }
        if all == Class::MESSAGES && matches!(both.op, BinOpKind::Add) {
            return Class::MESSAGES;
        }
        self.refuse("a sum of message text")
    }

    /// An attribute of a value.
    fn attribute(&mut self, of: &Expr<'source>, name: &str, facts: &Facts) -> Class {
        if matches!(of, Expr::Var(name) if name.id == "loop") {
            return match self.loops.last() {
                Some(Enclosing::Loop(item)) if matches!(name, "previtem" | "nextitem") => {
                    *item | Class::UNDEFINED
                }
                None | Some(Enclosing::Loop(_)) => Class::FREE,
                Some(Enclosing::Macro) => self.refuse("a macro in a loop"),
            };
        }
        let mut found = Class::BOTTOM;
        for kind in self.evaluate(of, facts).class.kinds() {
            found |= match (kind, name) {
                (Class::MESSAGE, "role") => Class::ROLE,
                (Class::MESSAGE, "content") => Class::CONTENT,
                (Class::NAMESPACE, name) => {
                    self.globals.attributes.get(name).copied().unwrap_or_default() | Class::UNDEFINED
                }
                (Class::PLAIN, _) => Class::FREE,
                // Texts and lists have no attributes; for undefined values it is an error.
                _ => Class::UNDEFINED,
            };
        }
        found
    }

    fn list(&mut self, items: &[Expr<'source>], facts: &Facts) -> Class {
        let mut all = Class::BOTTOM;
        for item in items {
            all |= self.evaluate(item, facts).class;
        }
        match all {
            all if all.is_within(Class::FREE) => Class::FREE,
            Class::MESSAGE => Class::MESSAGES,
            _ => self.refuse("a list of message text"),
        }
    }

    /// An item of a value, by an index or a computed key.
    pub(super) fn item(&mut self, class: Class) -> Class {
        let mut item = Class::BOTTOM;
        for kind in class.kinds() {
            item |= match kind {
                Class::MESSAGES => Class::MESSAGE | Class::UNDEFINED,
                Class::PIECES => Class::CONTENT | Class::UNDEFINED,
                Class::MESSAGE => Class::FREE | Class::CONTENT,
                kind if kind.is_within(Class::FREE) => Class::FREE,
                _ => self.refuse("an item of message text"),
            };
        }
        item
    }

    /// Refines facts by the assumption that a condition is true, or false.
    pub(super) fn assume(&mut self, expr: &Expr<'source>, result: bool, facts: &mut Facts) {
        if !self.step(1) {
            return;
        }
        match expr {
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => {
                self.assume(&unary.expr, !result, facts);
            }
            Expr::BinOp(both) if matches!(both.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
                if matches!(both.op, BinOpKind::ScAnd) == result {
                    self.assume(&both.left, result, facts);
                    self.assume(&both.right, result, facts);
                }
            }
            Expr::Test(test) if test.args.is_empty() && is_type_test(test.name) => {
                self.refine(&test.expr, |class| class.passing(test.name, result), facts);
            }
            Expr::BinOp(both) if let Some(op) = comparison(both.op) => {
                self.assume_comparison(op, (&both.left, &both.right), result, facts);
            }
            Expr::Compare(compare) => {
                if let [only] = &compare.ops[..] {
                    self.assume_comparison(only.op, (&compare.expr, &only.expr), result, facts);
                }
            }
            Expr::Call(call) if result => {
                // A value that starts or ends with a text that no content contains is not a content.
                if let Expr::GetAttr(get) = &call.expr
                    && matches!(get.name, "startswith" | "endswith")
                {
                    self.refine(&get.expr, |class| class.without(Class::CONTENT), facts);
                }
            }
            _ => {
                self.queries.truth |=
                    path(expr).is_some() && self.evaluate(expr, facts).class.has(Class::MESSAGE_TEXT);
                self.refine(expr, |class| class.as_true(result), facts);
            }
        }
    }

    fn assume_comparison(
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
            self.refine(text, |class| class.without(Class::CONTENT), facts);
        }
    }

    /// Refines the class of a path.
    fn refine(&mut self, expr: &Expr<'source>, left: impl Fn(Class) -> Class, facts: &mut Facts) {
        let Some(path) = path(expr) else { return };
        let root = root(&path);
        let class_of_root = facts.get(root).unwrap_or_else(|| self.name(root));
        // Attributes of a namespace may be set elsewhere; macros are not values.
        let is_fixed = path == root || !class_of_root.has(Class::NAMESPACE);
        if is_fixed && !self.globals.macros.contains_key(root) {
            let class = self.evaluate(expr, facts).class;
            facts.insert(path, left(class));
        }
    }
}

/// The comparison that a binary operator stands for.
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
