//! In Jinja2, `+` with a `safe` string escapes HTML in the other operand, although nothing else is escaped.
//! That is never intended, so templates in which it may happen are refused.

use super::generation::expressions;

/// Checks that no `safe` string is added to.
///
/// # Errors
/// A tag in which that may happen.
pub(super) fn check(source: &str) -> Result<(), String> {
    for inner in expressions(source) {
        let plain = without_strings(inner);
        let is_safe = |part: &str| {
            let name = part.trim_start();
            name.strip_prefix("safe")
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let inside = plain.trim_matches(['-', '+']);
        if inside.contains('+') && inside.split('|').skip(1).any(is_safe) {
            return Err(format!(
                "chat template: {:?} adds to a `safe` string, for which Jinja2 escapes HTML; use `~`, or leave \
                 out `safe`",
                inner.trim()
            ));
        }
    }
    Ok(())
}

/// The contents of a tag without string literals.
fn without_strings(inner: &str) -> String {
    let (mut out, mut quote, mut is_escaped) = (String::new(), None, false);
    for letter in inner.chars() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if letter == '\\' => is_escaped = true,
            Some(open) if open == letter => quote = None,
            Some(_) => {}
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            None => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_added_to_is_refused() {
        for source in [
            "{{ x | safe }}",
            "{{- '+' ~ x|safe +}}",
            "{{ a + b }}",
            "{{ x|safer + 1 }}",
            "{# {{ x|safe + y }} #}",
        ] {
            assert!(check(source).is_ok(), "{source}");
        }
        for source in ["{{ 'a' + x | safe }}", "{% set y = x|tojson|safe + 'a' %}"] {
            assert!(check(source).is_err(), "{source}");
        }
    }
}
