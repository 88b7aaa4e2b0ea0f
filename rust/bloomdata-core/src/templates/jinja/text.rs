//! Methods of Python's strings for which other libraries differ.

use unicode_categories::UnicodeCategories as _;

use minijinja::Error;

use super::limits::{MAX_PARTS, Text};
use crate::conversation::is_python_space;

/// `str.split`: by a separator or by white space, at most `most` times.
pub(super) fn split<'text>(text: &'text str, separator: Option<&str>, most: usize) -> Vec<&'text str> {
    if let Some(separator) = separator {
        return text.splitn(most.saturating_add(1), separator).collect();
    }
    let (mut parts, mut rest) = (Vec::new(), text.trim_start_matches(is_python_space));
    while !rest.is_empty() {
        let end =
            if parts.len() < most { rest.find(is_python_space).unwrap_or(rest.len()) } else { rest.len() };
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_python_space);
    }
    parts
}

/// `str.rsplit`: the same, from the end.
pub(super) fn rsplit<'text>(text: &'text str, separator: Option<&str>, most: usize) -> Vec<&'text str> {
    let mut parts: Vec<&str> = Vec::new();
    if let Some(separator) = separator {
        parts.extend(text.rsplitn(most.saturating_add(1), separator));
    } else {
        let mut rest = text.trim_end_matches(is_python_space);
        while !rest.is_empty() {
            let found = if parts.len() < most {
                rest.char_indices().rfind(|&(_, letter)| is_python_space(letter))
            } else {
                None
            };
            let start = found.map_or(0, |(at, letter)| at + letter.len_utf8());
            parts.push(&rest[start..]);
            rest = rest[..start].trim_end_matches(is_python_space);
        }
    }
    parts.reverse();
    parts
}

/// `str.splitlines`: at every line boundary of Python.
pub(super) fn lines(text: &str, keeps_ends: bool) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let at = rest.find(is_line_end).unwrap_or(rest.len());
        let end = if rest[at..].starts_with("\r\n") {
            at + 2
        } else {
            at + rest[at..].chars().next().map_or(0, char::len_utf8)
        };
        parts.push(&rest[..if keeps_ends { end } else { at }]);
        rest = &rest[end..];
    }
    parts
}

/// Upper bound of the number of lines.
pub(super) fn num_lines(text: &str) -> usize {
    if text.len() < MAX_PARTS { text.len() } else { 1 + text.matches(is_line_end).count() }
}

fn is_line_end(letter: char) -> bool {
    matches!(letter, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// `str.title`: upper case after every character without case.
pub(super) fn title(text: &str) -> String {
    let (mut out, mut is_inside) = (String::with_capacity(text.len()), false);
    for letter in text.chars() {
        if is_inside {
            out.extend(letter.to_lowercase());
        } else {
            let mut capitals = letter.to_uppercase();
            out.extend(capitals.next());
            out.extend(capitals.flat_map(char::to_lowercase));
        }
        is_inside = letter.is_lowercase() || letter.is_uppercase();
    }
    out
}

/// `str.isdigit` of a character: decimal digits, also as superscripts, subscripts or in circles.
pub(super) fn is_digit(letter: char) -> bool {
    letter.is_number_decimal_digit()
        || matches!(letter, '²' | '³' | '¹' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}')
        || matches!(letter, '\u{1369}'..='\u{1371}' | '\u{19da}' | '\u{2460}'..='\u{2468}' | '\u{2474}'..='\u{247c}')
        || matches!(letter, '\u{2488}'..='\u{2490}' | '\u{24ea}' | '\u{24f5}'..='\u{24fd}' | '\u{24ff}')
        || matches!(letter, '\u{2776}'..='\u{277e}' | '\u{2780}'..='\u{2788}' | '\u{278a}'..='\u{2792}')
        || matches!(letter, '\u{10a40}'..='\u{10a43}' | '\u{10e60}'..='\u{10e68}' | '\u{11052}'..='\u{1105a}')
        || matches!(letter, '\u{1f100}'..='\u{1f10a}')
}

/// `int` of a string.
pub(super) fn int(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(is_python_space);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let prefix = match base {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        _ => "",
    };
    let digits = match digits.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &digits[prefix.len()..],
        _ => digits,
    };
    let is_whole = (2..=36).contains(&base) && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = if is_whole { i128::from_str_radix(digits, base).ok()? } else { return None };
    Some(if text.starts_with('-') { -number } else { number })
}

/// `float` of a string.
pub(super) fn float(text: &str) -> Option<f64> {
    text.trim_matches(is_python_space).parse().ok()
}

/// Escapes HTML as `markupsafe` does.
pub(super) fn escape(text: &str) -> Result<String, Error> {
    let mut out = Text::default();
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out.finish()
}
