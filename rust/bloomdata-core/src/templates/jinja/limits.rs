//! How much a template may make: one that doubles a text again and again is no template.
//!
//! Fuel (see [`super::FUEL`]) counts all bytes that a template ever makes, but mostly once they are there. What our own
//! filters and methods make is therefore held to [`MAX_TEXT_BYTES`] before it is. What `~` and `+` make of texts, and
//! what is kept in lists or written, is left to fuel: 640 MB in all for a render, of which up to 1.4 GB of memory were
//! seen, as a text that grows is copied; on each thread.
//!
//! Not bounded is what the interpreter does with lists that are nothing but others, without asking for fuel: `~` makes
//! a text of a list that holds one list twice, which holds another one twice, and so on; `+` of a list and itself, again
//! and again, makes one of all items; and the time to compare such lists.

use std::fmt;

use minijinja::value::Value;
use minijinja::{Error, ErrorKind, State};

/// Bytes of a text that a filter or a method takes or makes at most.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 26;
/// Parts into which a text is cut at most: each takes the place of a short text.
pub(super) const MAX_PARTS: usize = 1 << 22;

/// A text that grows to [`MAX_TEXT_BYTES`], and is told to have been too long for what goes beyond.
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

    /// That nothing is missing yet: what goes on for long asks now and then.
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

/// That a text of so many bytes may be made.
pub(super) fn fits(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_TEXT_BYTES { Err(too_long()) } else { Ok(()) }
}

/// That a text is not cut into too many parts.
pub(super) fn few(parts: usize) -> Result<(), Error> {
    if parts > MAX_PARTS {
        let reason = format!("a text in more than {MAX_PARTS} parts");
        return Err(Error::new(ErrorKind::InvalidOperation, reason));
    }
    Ok(())
}

/// A value as the interpreter writes it: lists may hold far more than what they take themselves.
pub(super) fn display(value: &Value) -> Result<String, Error> {
    let mut out = Text::default();
    show(value, &mut out)?;
    out.finish()
}

/// Adds a value to a text, as the interpreter writes it.
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

/// A value as a text, as filters take it: texts as they are.
pub(super) fn text_of(value: &Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => fits(text.len()).map(|()| value.clone()),
        None => display(value).map(Value::from),
    }
}

/// What a list holds, one by one; each takes fuel, as lists may be made that are longer than any memory.
pub(super) fn items<'run>(
    state: &'run State<'_, '_>,
    list: &Value,
) -> Result<impl Iterator<Item = Result<Value, Error>> + 'run, Error> {
    let items = list.try_iter()?;
    Ok(items.map(|item| state.consume_fuel(1).map(|()| item)))
}

/// The bytes of a text in which one is put for another, so many times at most.
pub(super) fn replaced_bytes(text: &str, from: &str, to: &str, count: usize) -> usize {
    let size = |matches: usize| {
        text.len().saturating_add(matches.saturating_mul(to.len().saturating_sub(from.len())))
    };
    // Matches are counted only where as many as there may be would be too many.
    let most = size((text.len() / from.len().max(1) + 1).min(count));
    if most <= MAX_TEXT_BYTES { most } else { size(text.matches(from).take(count).count()) }
}

/// At most so many bytes are made of a text with places for values, of either kind of Python.
pub(super) fn formatted_bytes(format: &str, values: &[Value]) -> Result<usize, Error> {
    /// Digits of the largest float; all that is put around a number is less.
    const NUMBER_BYTES: usize = 512;
    let (mut longest, mut widest) = (NUMBER_BYTES, 0);
    for value in values {
        longest = longest.max(display(value)?.len());
        // A width may be a value, too.
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
    // A width counts letters, which the filling may have of four bytes; a precision adds to that.
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
