//! What is known of names at one place of a template, beyond what holds of them everywhere.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::machinery::ast::Expr;

use super::lattice::Class;

/// Stands between the parts of a path; no name holds it.
const DOT: char = '\0';

/// Classes of names, and of what is reached from them by constants only.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts(BTreeMap<String, Class>);

impl Facts {
    pub(super) fn get(&self, path: &str) -> Option<Class> {
        self.0.get(path).copied()
    }

    pub(super) fn insert(&mut self, path: String, class: Class) {
        self.0.insert(path, class);
    }

    /// A name has another value: what was known of it, and of all that is reached from it, no longer holds.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.retain(|path, _| root(path) != name);
    }

    pub(super) fn forget_all(&mut self, names: &BTreeSet<&str>) {
        self.0.retain(|path, _| !names.contains(root(path)));
    }

    /// What is known where two ways meet.
    pub(super) fn join(mut self, other: &Self) -> Self {
        self.0.retain(|path, class| {
            let class_there = other.0.get(path);
            *class |= class_there.copied().unwrap_or(Class::BOTTOM);
            class_there.is_some()
        });
        self
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The name that a path begins with.
pub(super) fn root(path: &str) -> &str {
    path.split_once(DOT).map_or(path, |(root, _)| root)
}

/// The path of an expression that is a name, or reached from one by constants.
pub(super) fn path(expr: &Expr<'_>) -> Option<String> {
    let (inner, key) = match expr {
        Expr::Var(name) if name.id == "loop" => return None,
        Expr::Var(name) => return Some(name.id.to_owned()),
        Expr::GetAttr(get) => (&get.expr, get.name.to_owned()),
        Expr::GetItem(get) => {
            let key = get.subscript_expr.as_const()?;
            match key.as_str() {
                // As a name: it means the same.
                Some(key) if !key.contains([DOT, '#']) => (&get.expr, key.to_owned()),
                Some(_) => return None,
                None => (&get.expr, format!("#{}", key.as_i64().filter(|_| key.is_integer())?)),
            }
        }
        _ => return None,
    };
    let mut path = path(inner)?;
    path.push(DOT);
    path.push_str(&key);
    Some(path)
}
