//! Abstract semantics of comparisons.

use minijinja::machinery::ast::{Compare, CompareOpKind, Expr};
use minijinja::value::{Value, ValueKind};

use super::Analysis;
use super::facts::Facts;
use super::lattice::{Class, Outcome};

impl<'source> Analysis<'_, 'source> {
    pub(super) fn compare(&mut self, compare: &Compare<'source>, facts: &Facts) -> Outcome {
        if let [only] = &compare.ops[..] {
            return self.pair(only.op, &compare.expr, &only.expr, facts);
        }
        let mut left = &compare.expr;
        for next in &compare.ops {
            self.pair(next.op, left, &next.expr, facts);
            left = &next.expr;
        }
        Outcome::EITHER
    }

    pub(super) fn pair(
        &mut self,
        op: CompareOpKind,
        left: &Expr<'source>,
        right: &Expr<'source>,
        facts: &Facts,
    ) -> Outcome {
        if let Some(outcome) = self.length(op, left, right, facts) {
            return outcome;
        }
        let classes = (self.evaluate(left, facts).class, self.evaluate(right, facts).class);
        let constants = (left.as_const(), right.as_const());
        match op {
            CompareOpKind::Eq | CompareOpKind::Ne => {
                let outcome = match (&constants.0, &constants.1) {
                    (_, Some(constant)) => self.equals(classes.0, constant),
                    (Some(constant), None) => self.equals(classes.1, constant),
                    (None, None) => self.same(classes),
                };
                if matches!(op, CompareOpKind::Eq) { outcome } else { outcome.not() }
            }
            CompareOpKind::In | CompareOpKind::NotIn => {
                let outcome = match (&constants.0, &constants.1) {
                    (Some(constant), _) => self.holds(classes.1, constant),
                    (None, Some(list)) if classes.0.is_within(Class::ROLE) => self.is_one_of(list),
                    (None, _) => self.holds_any(classes),
                };
                if matches!(op, CompareOpKind::In) { outcome } else { outcome.not() }
            }
            _ => self.both_free(classes),
        }
    }

    /// `text|length > 0`, which tests for an empty text.
    fn length(
        &mut self,
        op: CompareOpKind,
        left: &Expr<'source>,
        right: &Expr<'source>,
        facts: &Facts,
    ) -> Option<Outcome> {
        let Expr::Filter(filter) = left else { return None };
        let is_zero = right.as_const().is_some_and(|value| value.is_integer() && value.as_i64() == Some(0));
        if !is_zero || !matches!(filter.name, "length" | "count") || !filter.args.is_empty() {
            return None;
        }
        let is_some = match op {
            CompareOpKind::Gt | CompareOpKind::Ne => true,
            CompareOpKind::Eq => false,
            _ => return None,
        };
        let class = self.evaluate(filter.expr.as_ref()?, facts).class;
        if !class.has(Class::MESSAGE_TEXT) || !class.is_within(Class::FREE | Class::MESSAGE_TEXT) {
            return None;
        }
        self.queries.truth = true;
        if class.has(Class::FREE) {
            return Some(Outcome::EITHER);
        }
        Some(Outcome { yes: is_some, no: !is_some })
    }

    fn both_free(&mut self, (left, right): (Class, Class)) -> Outcome {
        if !(left | right).is_within(Class::FREE) {
            self.refuse("message text is compared");
        }
        Outcome::EITHER
    }

    fn equals(&mut self, class: Class, constant: &Value) -> Outcome {
        if class == Class::ROLE
            && let Some(text) = constant.as_str()
        {
            return self.role(|role| role == text);
        }
        if (class == Class::UNDEFINED || class == Class::NONE) && constant.as_str().is_some() {
            return Outcome::NO;
        }
        if class.is_within(Class::FREE) {
            return Outcome::EITHER;
        }
        let text = match (constant.as_str(), constant.kind()) {
            (Some(text), _) => text,
            // Values of other types never equal a text.
            (None, ValueKind::None | ValueKind::Bool | ValueKind::Number)
                if class.is_within(Class::MESSAGE_TEXT) =>
            {
                return Outcome::NO;
            }
            (None, ValueKind::None | ValueKind::Bool | ValueKind::Number) => return Outcome::EITHER,
            _ => return self.both_free((class, class)),
        };
        let is_known = match text {
            "" => {
                self.queries.truth = true;
                class.is_within(Class::FREE | Class::MESSAGE_TEXT)
            }
            text => class.is_within(Class::FREE | Class::CONTENT) && self.look_for(text),
        };
        match (is_known, class.has(Class::FREE)) {
            (true, false) => Outcome::NO,
            (true, true) => Outcome::EITHER,
            (false, _) => self.both_free((class, class)),
        }
    }

    fn same(&mut self, (left, right): (Class, Class)) -> Outcome {
        let messages = Class::MESSAGE | Class::UNDEFINED | Class::NONE;
        if left.is_within(messages) && right.is_within(messages) {
            self.queries.same = true;
            return Outcome::EITHER;
        }
        self.both_free((left, right))
    }

    fn holds(&mut self, class: Class, constant: &Value) -> Outcome {
        if class.is_within(Class::FREE) {
            return Outcome::EITHER;
        }
        let Some(text) = constant.as_str() else { return self.both_free((class, class)) };
        if class == Class::MESSAGE {
            let has = matches!(text, "role" | "content");
            return Outcome { yes: has, no: !has };
        }
        let alike = Class::FREE | Class::MESSAGE | Class::MESSAGES;
        if class.is_within(alike) {
            return Outcome::EITHER;
        }
        if text.is_empty() || !class.is_within(alike | Class::CONTENT) || !self.look_for(text) {
            return self.both_free((class, class));
        }
        if class == Class::CONTENT { Outcome::NO } else { Outcome::EITHER }
    }

    fn holds_any(&mut self, (left, right): (Class, Class)) -> Outcome {
        self.both_free((left, right.without(Class::MESSAGE)))
    }

    fn is_one_of(&mut self, list: &Value) -> Outcome {
        let Ok(items) = list.try_iter() else { return Outcome::EITHER };
        if list.kind() != ValueKind::Seq {
            return Outcome::EITHER;
        }
        let texts: Vec<Value> = items.collect();
        self.role(|role| texts.iter().any(|text| text.as_str() == Some(role)))
    }

    /// The possible outcomes of a predicate on the role of a message, for the given roles.
    fn role(&self, is_so: impl Fn(&str) -> bool) -> Outcome {
        let answers: Vec<bool> = self.assumptions.roles.iter().map(|role| is_so(role)).collect();
        Outcome { yes: answers.contains(&true), no: answers.contains(&false) }
    }
}
