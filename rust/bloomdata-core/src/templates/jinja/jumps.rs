//! Rejects `{% break %}` and `{% continue %}` out of a block that the interpreter then fails to close: it
//! would write wrong text, or panic.

use minijinja::machinery::ast::Stmt;
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;

/// Checks that the interpreter handles all jumps of a template correctly.
///
/// # Errors
/// A jump that it does not.
pub(super) fn check(source: &str, syntax: SyntaxConfig) -> Result<(), String> {
    // Compilation reports syntax errors better.
    let Ok(Stmt::Template(template)) = parse(source, "template", syntax) else { return Ok(()) };
    // Elsewhere outside loops the interpreter reports an error; in this block it would loop forever.
    block(&template.children, Some("{% else %} of a loop"))
}

/// Checks statements within a block of this kind, without a loop between them and the block.
fn block(statements: &[Stmt<'_>], inside: Option<&str>) -> Result<(), String> {
    for statement in statements {
        match statement {
            Stmt::Break(jump) => refuse("break", jump.span().start_line, inside)?,
            Stmt::Continue(jump) => refuse("continue", jump.span().start_line, inside)?,
            Stmt::ForLoop(each) => {
                block(&each.body, None)?;
                block(&each.else_body, inside)?;
            }
            Stmt::IfCond(branch) => {
                block(&branch.true_body, inside)?;
                block(&branch.false_body, inside)?;
            }
            Stmt::WithBlock(with) => block(&with.body, Some("{% with %} or {% generation %}"))?,
            Stmt::SetBlock(set) => block(&set.body, Some("{% set %}"))?,
            Stmt::FilterBlock(filter) => block(&filter.body, Some("{% filter %}"))?,
            Stmt::AutoEscape(escape) => block(&escape.body, Some("{% autoescape %}"))?,
            Stmt::Macro(one) => block(&one.body, Some("{% macro %}"))?,
            Stmt::CallBlock(call) => block(&call.macro_decl.body, Some("{% call %}"))?,
            Stmt::Template(_) | Stmt::EmitExpr(_) | Stmt::EmitRaw(_) | Stmt::Set(_) | Stmt::Do(_) => {}
        }
    }
    Ok(())
}

fn refuse(jump: &str, line: u16, inside: Option<&str>) -> Result<(), String> {
    match inside {
        Some(inside) => Err(format!(
            "chat template, line {line}: {{% {jump} %}} inside of {inside} is not supported; use {{% if %}}"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_jumps_out_of_blocks_are_refused() {
        let checked = |source: &str| check(source, super::super::syntax().unwrap());
        for inner in ["with a = 1", "filter upper", "set b", "autoescape false"] {
            let name = inner.split(' ').next().unwrap();
            for jump in ["break", "continue"] {
                let out = format!(
                    "{{% for a in x %}}\n{{% {inner} %}}{{% if a %}}{{% {jump} %}}{{% endif %}}{{% end{name} %}}{{% endfor %}}"
                );
                let reason = checked(&out).unwrap_err();
                assert!(reason.starts_with("chat template, line 2: ") && reason.contains(name), "{reason}");
                let whole = format!(
                    "{{% {inner} %}}{{% for a in x %}}{{% if a %}}{{% {jump} %}}{{% endif %}}{{% endfor %}}{{% end{name} %}}"
                );
                assert!(checked(&whole).is_ok(), "{whole}");
            }
        }
        assert!(
            checked("{% for a in x %}{% for b in x %}{% else %}{% break %}{% endfor %}{% endfor %}").is_ok()
        );
    }
}
