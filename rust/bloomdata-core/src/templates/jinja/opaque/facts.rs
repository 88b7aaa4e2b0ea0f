//! Flow-sensitive facts: classes of names and paths at one point of a template, which are more precise than
//! the global ones.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::machinery::ast::Expr;

use super::lattice::Class;

/// Separates the parts of a path; no name contains it.
const DOT: char = '\0';

/// Classes of names, and of paths that start at a name and continue with constant keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts(BTreeMap<String, Class>);

impl Facts {
    pub(super) fn get(&self, path: &str) -> Option<Class> {
        self.0.get(path).copied()
    }

    pub(super) fn insert(&mut self, path: String, class: Class) {
        self.0.insert(path, class);
    }

    /// Drops all facts about a name and its paths, as the name is assigned.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.retain(|path, _| root(path) != name);
    }

    pub(super) fn forget_all(&mut self, names: &BTreeSet<&str>) {
        self.0.retain(|path, _| !names.contains(root(path)));
    }

    /// The join of the facts of two branches.
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

/// The name that a path starts with.
pub(super) fn root(path: &str) -> &str {
    path.split_once(DOT).map_or(path, |(root, _)| root)
}

/// The path of an expression; `None` if it is not a name followed by constant keys.
pub(super) fn path(expr: &Expr<'_>) -> Option<String> {
    let (inner, key) = match expr {
        Expr::Var(name) if name.id == "loop" => return None,
        Expr::Var(name) => return Some(name.id.to_owned()),
        Expr::GetAttr(get) => (&get.expr, get.name.to_owned()),
        Expr::GetItem(get) => {
            let key = get.subscript_expr.as_const()?;
            match key.as_str() {
                // A string key is equivalent to an attribute.
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
