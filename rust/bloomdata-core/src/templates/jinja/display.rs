//! Formats values as Python does: `str` and `repr`.

use std::fmt::Write as _;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use unicode_categories::UnicodeCategories as _;

use super::limits::{Text, show};

/// Python's limit of nesting.
pub(super) const MAX_DEPTH: usize = 900;

/// `str` of a value.
pub(super) fn python_str(value: &Value) -> Result<String, Error> {
    let mut out = Text::default();
    match value.as_str() {
        Some(text) => out.push_str(text),
        None if value.is_undefined() => {}
        None => repr(value, &mut out, 0)?,
    }
    out.finish()
}

fn repr(value: &Value, out: &mut Text, depth: usize) -> Result<(), Error> {
    out.fits()?;
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidOperation, "nested too deeply"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => out.push_str(&number(value, ["nan", "inf"])),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq => {
            let is_tuple = value.is_tuple();
            let (open, close) = if is_tuple { ('(', ')') } else { ('[', ']') };
            out.push(open);
            let mut count = 0;
            for item in value.try_iter()? {
                out.push_str(if count > 0 { ", " } else { "" });
                repr(&item, out, depth + 1)?;
                count += 1;
            }
            out.push_str(if is_tuple && count == 1 { "," } else { "" });
            out.push(close);
        }
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter()?.enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                repr(&key, out, depth + 1)?;
                out.push_str(": ");
                repr(&value.get_item(&key)?, out, depth + 1)?;
            }
            out.push('}');
        }
        _ => show(value, out)?,
    }
    Ok(())
}

/// `repr` of a string: double quotes if that saves escapes, and escapes for unprintable characters.
fn quoted(text: &str, out: &mut Text) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter == quote || letter == '\\' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter == ' ' || is_printable(letter) => out.push(letter),
            letter => {
                let code = u32::from(letter);
                // An overflow is reported by `finish`.
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

fn is_printable(letter: char) -> bool {
    !(letter.is_other() || letter.is_separator())
}

/// A number; `names` are those of NaN and infinity.
pub(super) fn number(value: &Value, names: [&str; 2]) -> String {
    match if value.is_integer() { None } else { f64::try_from(value.clone()).ok() } {
        None => value.to_string(),
        Some(float) if float.is_nan() => names[0].to_owned(),
        Some(float) if float.is_infinite() => {
            format!("{}{}", if float < 0.0 { "-" } else { "" }, names[1])
        }
        Some(float) => python_float(float),
    }
}

/// `repr` of a float: the shortest digits that round-trip, with an exponent from 1e16 on and below 1e-4.
fn python_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    if float != 0.0 && !(-4..16).contains(&exponent) {
        let digits = scientific.split_once('e').map_or("0", |(digits, _)| digits);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = float.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_as_in_python() {
        let pairs = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1.5e-7, "1.5e-07"),
            (-0.0, "-0.0"),
            (123_456_789.125, "123456789.125"),
            (1e15, "1000000000000000.0"),
            (1e-4, "0.0001"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (float, text) in pairs {
            assert_eq!(number(&Value::from(float), ["nan", "inf"]), text);
        }
    }

    #[test]
    fn strings_are_quoted_as_in_python() {
        let mut out = Text::default();
        quoted("a'\u{1c}\u{3000}\u{2028}é\u{e000}\\", &mut out);
        assert_eq!(out.finish().unwrap(), "\"a'\\x1c\\u3000\\u2028é\\ue000\\\\\"");
    }
}
