//! `{% generation %}` blocks, which mark answers of the model. They are not part of Jinja, so they are
//! rewritten to blocks that are.

/// Start of an answer in the rendered text; a Unicode noncharacter.
pub(super) const BEGIN: char = '\u{fdd1}';
/// End of an answer.
pub(super) const END: char = '\u{fdd2}';

/// The template without `{% generation %}` blocks, and the template with markers in their place; `None` if
/// it has no such block.
///
/// White space control works as for the original blocks.
pub(super) fn rewrite(source: &str) -> (String, Option<String>) {
    let (mut plain, mut marked) = (String::new(), String::new());
    let (mut from, mut found) = (0, false);
    for Tag { start, end, inner, .. } in tags(source).into_iter().filter(|tag| tag.is_block) {
        let (before, after) = signs(inner);
        let name = inner.trim_matches(['-', '+']).trim();
        let (mark, block) = match name {
            "generation" => (BEGIN, "with"),
            "endgeneration" => (END, "endwith"),
            _ => continue,
        };
        found = true;
        for (out, mark) in [(&mut plain, String::new()), (&mut marked, format!("{{{{ '{mark}' }}}}"))] {
            out.push_str(&source[from..start]);
            let parts = ["{%", before, " if 1 %}", &mark, "{% endif %}{% ", block, " ", after, "%}"];
            out.extend(parts);
        }
        from = end;
    }
    for out in [&mut plain, &mut marked] {
        out.push_str(&source[from..]);
    }
    (plain, found.then_some(marked))
}

/// The white space control signs at both ends of a tag.
fn signs(inner: &str) -> (&str, &str) {
    let sign = |has: bool, at: std::ops::Range<usize>| if has { &inner[at] } else { "" };
    let size = inner.len();
    (
        sign(inner.starts_with(['-', '+']), 0..size.min(1)),
        sign(inner.ends_with(['-', '+']) && size > 1, size.saturating_sub(1)..size),
    )
}

struct Tag<'source> {
    start: usize,
    end: usize,
    inner: &'source str,
    /// Whether the tag is `{% … %}`, not `{{ … }}`.
    is_block: bool,
}

/// The contents of all tags.
pub(super) fn expressions(source: &str) -> impl Iterator<Item = &str> {
    tags(source).into_iter().map(|tag| tag.inner)
}

/// All `{% … %}` and `{{ … }}` outside comments and `{% raw %}`.
fn tags(source: &str) -> Vec<Tag<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find('{').map(|open| at + open) {
        let close = match source.as_bytes().get(open + 1) {
            Some(b'#') => source[open..].find("#}").map(|end| open + end + 2),
            Some(b'{') => end_of(source, open + 2, "}}"),
            Some(b'%') => end_of(source, open + 2, "%}"),
            _ => Some(open + 1),
        };
        let Some(close) = close else { break };
        at = close;
        let kind = source.as_bytes().get(open + 1).copied();
        if matches!(kind, Some(b'%' | b'{')) {
            let (inner, is_block) = (&source[open + 2..close - 2], kind == Some(b'%'));
            if is_block && inner.trim_matches(['-', '+']).trim() == "raw" {
                at = end_of_raw(source, close);
            }
            found.push(Tag { start: open, end: close, inner, is_block });
        }
    }
    found
}

/// The end of a tag that closes with `close`, which is ignored within strings.
fn end_of(source: &str, from: usize, close: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let (mut at, mut quote) = (from, None);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, _) if bytes[at..].starts_with(close.as_bytes()) => return Some(at + close.len()),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The offset after the next `{% endraw %}`.
fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = source[at..].find("{%").map(|open| at + open) {
        let Some(close) = source[open..].find("%}").map(|close| open + close + 2) else { break };
        if source[open + 2..close - 2].trim_matches(['-', '+']).trim() == "endraw" {
            return close;
        }
        at = open + 2;
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_count() {
        assert_eq!(rewrite("a{{ '{% generation %}' }}{# {% generation %} #}").1, None);
        assert_eq!(rewrite("{% raw %}{% generation %}{% endraw %}").1, None);
        assert_eq!(rewrite("{% set a = '%}' %}").1, None);
    }

    #[test]
    fn signs_stay_at_their_ends() {
        let (plain, marked) = rewrite("a {%- generation +%} b {% endgeneration -%} c");
        assert_eq!(plain, "a {%- if 1 %}{% endif %}{% with +%} b {% if 1 %}{% endif %}{% endwith -%} c");
        let begin = format!("a {{%- if 1 %}}{{{{ '{BEGIN}' }}}}{{% endif %}}{{% with +%}} b ");
        assert!(marked.unwrap().starts_with(&begin));
    }
}
