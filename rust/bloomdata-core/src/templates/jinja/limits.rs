//! Limits the size of what a template makes: one that doubles a text again and again must fail.
//!
//! Fuel (see [`super::FUEL`]) counts all bytes that a template ever makes, but mostly once they exist. Our
//! own filters and methods therefore check [`MAX_TEXT_BYTES`] in advance. What `~` and `+` make of texts,
//! what is kept in lists, and what is written is limited by fuel only: 640 MB in total per render and
//! thread, for which up to 1.4 GB of memory were measured, as a growing text is copied.
//!
//! Unlimited is what the interpreter does with nested lists without consuming fuel: `~` on a list that
//! holds another list twice, which again holds a list twice, and so on; `+` of a list and itself, again and
//! again; and the time to compare such lists.

use std::fmt;

use minijinja::value::Value;
use minijinja::{Error, ErrorKind, State};

/// Maximum bytes of a text that a filter or a method takes or makes.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 26;
/// Maximum number of parts of a text: each takes as much memory as a short text.
pub(super) const MAX_PARTS: usize = 1 << 22;

/// A text of at most [`MAX_TEXT_BYTES`], which records whether it overflowed.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    is_too_long: bool,
}

impl Text {
    pub(super) fn push_str(&mut self, part: &str) {
        if self.is_too_long || self.text.len() + part.len() > MAX_TEXT_BYTES {
            self.is_too_long = true;
        } else {
            self.text.push_str(part);
        }
    }

    pub(super) fn push(&mut self, letter: char) {
        self.push_str(letter.encode_utf8(&mut [0; 4]));
    }

    /// Fails if the text has overflowed; long loops check this now and then.
    pub(super) fn fits(&self) -> Result<(), Error> {
        if self.is_too_long { Err(too_long()) } else { Ok(()) }
    }

    pub(super) fn finish(self) -> Result<String, Error> {
        self.fits().map(|()| self.text)
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.push_str(part);
        if self.is_too_long { Err(fmt::Error) } else { Ok(()) }
    }
}

fn too_long() -> Error {
    let reason = format!("a text of more than {MAX_TEXT_BYTES} bytes");
    Error::new(ErrorKind::InvalidOperation, reason)
}

/// Fails if a text of so many bytes is too large.
pub(super) fn fits(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_TEXT_BYTES { Err(too_long()) } else { Ok(()) }
}

/// Fails if a text would be split into too many parts.
pub(super) fn few(parts: usize) -> Result<(), Error> {
    if parts > MAX_PARTS {
        let reason = format!("a text in more than {MAX_PARTS} parts");
        return Err(Error::new(ErrorKind::InvalidOperation, reason));
    }
    Ok(())
}

/// A value as the interpreter writes it: a list may be far longer as text than in memory.
pub(super) fn display(value: &Value) -> Result<String, Error> {
    let mut out = Text::default();
    show(value, &mut out)?;
    out.finish()
}

/// Appends a value, as the interpreter writes it.
pub(super) fn show(value: &Value, out: &mut Text) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.push_str(text),
        None if fmt::write(out, format_args!("{value}")).is_err() => {
            out.fits()?;
            return Err(Error::new(ErrorKind::InvalidOperation, "the value cannot be displayed"));
        }
        None => {}
    }
    out.fits()
}

/// A value as a text, as filters take it.
pub(super) fn text_of(value: &Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => fits(text.len()).map(|()| value.clone()),
        None => display(value).map(Value::from),
    }
}

/// The items of a list. Each consumes fuel, as lazy lists may be longer than fits into memory.
pub(super) fn items<'run>(
    state: &'run State<'_, '_>,
    list: &Value,
) -> Result<impl Iterator<Item = Result<Value, Error>> + 'run, Error> {
    let items = list.try_iter()?;
    Ok(items.map(|item| state.consume_fuel(1).map(|()| item)))
}

/// Size of a text after at most `count` replacements.
pub(super) fn replaced_bytes(text: &str, from: &str, to: &str, count: usize) -> usize {
    let size = |matches: usize| {
        text.len().saturating_add(matches.saturating_mul(to.len().saturating_sub(from.len())))
    };
    // Matches are counted only if the upper bound is too large.
    let most = size((text.len() / from.len().max(1) + 1).min(count));
    if most <= MAX_TEXT_BYTES { most } else { size(text.matches(from).take(count).count()) }
}

/// Upper bound of the size of a formatted text, for both `%` and `str.format`.
pub(super) fn formatted_bytes(format: &str, values: &[Value]) -> Result<usize, Error> {
    /// Digits of the largest float; anything else around a number is shorter.
    const NUMBER_BYTES: usize = 512;
    let (mut longest, mut widest) = (NUMBER_BYTES, 0);
    for value in values {
        longest = longest.max(display(value)?.len());
        // A width may be given as a value, too.
        if format.contains('*') || format.contains(":{") {
            widest = widest.max(usize::try_from(value.clone()).unwrap_or(0));
        }
    }
    for digits in format.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty()) {
        widest = widest.max(digits.parse().unwrap_or(usize::MAX));
    }
    // `repr` makes up to six bytes of one.
    let escaped = if format.contains(['!', 'r', 'a']) { longest.saturating_mul(6) } else { longest };
    let places = format.bytes().filter(|byte| matches!(byte, b'%' | b'{')).count();
    // A width counts characters, and the fill character may have four bytes; a precision adds to that.
    let each = escaped.saturating_add(widest.saturating_mul(8));
    Ok(format.len().saturating_add(places.saturating_mul(each)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_no_less_than_what_is_made() {
        for (text, from, to) in [("aXbX", "X", "yyy"), ("", "", "ab"), ("éa", "", "--"), ("aaa", "aa", "")] {
            for count in [0, 1, 2, usize::MAX] {
                let made = text.replacen(from, to, count).len();
                assert!(replaced_bytes(text, from, to, count) >= made, "{text:?} {from:?} {to:?}");
            }
        }
        let long = "a".repeat(MAX_TEXT_BYTES / 2);
        assert_eq!(replaced_bytes(&long, "b", "ccc", usize::MAX), long.len());
        assert_eq!(replaced_bytes(&long, "a", "ccc", usize::MAX), 3 * long.len());
        assert!(formatted_bytes("{:>1000}%s", &[Value::from("ab")]).is_ok_and(|bytes| bytes > 1000));
        assert!(formatted_bytes("{:99999999999999999999}", &[]).is_ok_and(|bytes| fits(bytes).is_err()));
    }

    #[test]
    fn a_text_keeps_to_its_bound() {
        let mut text = Text::default();
        let part = "a".repeat(MAX_TEXT_BYTES - 1);
        text.push_str(&part);
        text.push('b');
        assert!(text.fits().is_ok());
        text.push('c');
        assert!(text.fits().is_err());
        assert!(text.finish().is_err());
    }
}
