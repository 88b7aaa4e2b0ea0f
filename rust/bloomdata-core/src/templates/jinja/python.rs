//! What chat templates expect of Python: JSON as `json.dumps` writes it, methods of strings, dates.

use std::fmt::Write as _;

use chrono::NaiveDateTime;
use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::conversation::{is_python_space, python_strip};

/// Adds filters, functions and methods as `transformers` and Python have them.
pub(super) fn extend(environment: &mut Environment<'_>, now: Option<NaiveDateTime>) {
    environment.set_unknown_method_callback(method);
    environment.add_filter("tojson", to_json);
    environment.add_filter("trim", |value: &Value, letters: Option<&str>| match value.as_str() {
        Some(text) => strip(text, letters, true, true),
        None => strip(&value.to_string(), letters, true, true),
    });
    // Here one may loop over none; there it is an error, and templates ask before.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: &str| -> Result<String, Error> {
        let now = now.ok_or_else(|| {
            let reason = "the template asks for today's date: say which by template_date";
            Error::new(ErrorKind::InvalidOperation, reason)
        })?;
        let mut text = String::new();
        write!(text, "{}", now.format(format)).map_err(|_| {
            Error::new(ErrorKind::InvalidOperation, format!("{format:?} is no format of dates"))
        })?;
        Ok(text)
    });
}

/// Methods of Python's strings that others lack or do differently.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else { return unknown_method_callback(state, value, name, args) };
    let ends = match name {
        "strip" => (true, true),
        "lstrip" => (true, false),
        "rstrip" => (false, true),
        _ => return more(state, value, text, name, args),
    };
    let (letters,): (Option<&str>,) = from_args(args)?;
    Ok(Value::from(strip(text, letters, ends.0, ends.1)))
}

fn more(
    state: &mut State<'_, '_>,
    value: &Value,
    text: &str,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match name {
        "split" | "rsplit" if args.is_empty() => {
            Ok(text.split(is_python_space).filter(|part| !part.is_empty()).map(Value::from).collect())
        }
        "split" | "rsplit" if args.first().and_then(Value::as_str) == Some("") => {
            Err(Error::new(ErrorKind::InvalidOperation, "empty separator"))
        }
        "rsplit" => {
            let (separator, most): (&str, Option<usize>) = from_args(args)?;
            let mut parts: Vec<&str> =
                text.rsplitn(most.map_or(usize::MAX, |most| most.saturating_add(1)), separator).collect();
            parts.reverse();
            Ok(parts.into_iter().map(Value::from).collect())
        }
        "removeprefix" | "removesuffix" => {
            let (part,): (&str,) = from_args(args)?;
            let rest = if name == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
            Ok(Value::from(rest.unwrap_or(text)))
        }
        "partition" | "rpartition" => {
            let (part,): (&str,) = from_args(args)?;
            let found = if name == "partition" { text.split_once(part) } else { text.rsplit_once(part) };
            Ok(match (found, name) {
                (Some((left, right)), _) => vec![left, part, right],
                (None, "partition") => vec![text, "", ""],
                (None, _) => vec!["", "", text],
            }
            .into_iter()
            .map(Value::from)
            .collect())
        }
        "isspace" if args.is_empty() => {
            Ok(Value::from(!text.is_empty() && text.chars().all(is_python_space)))
        }
        _ => unknown_method_callback(state, value, name, args),
    }
}

fn strip(text: &str, letters: Option<&str>, left: bool, right: bool) -> String {
    let is_gone = |letter: char| match letters {
        None => is_python_space(letter),
        Some(letters) => letters.contains(letter),
    };
    match (left, right) {
        (true, true) if letters.is_none() => python_strip(text),
        (true, true) => text.trim_matches(is_gone),
        (true, false) => text.trim_start_matches(is_gone),
        _ => text.trim_end_matches(is_gone),
    }
    .to_owned()
}

/// `json.dumps`, which is how `transformers` has the filter; HTML is not escaped.
fn to_json(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<Value>>("indent")?,
    };
    let separators: Option<(String, String)> = match options.get::<Option<Vec<String>>>("separators")? {
        None => None,
        Some(list) => match <[String; 2]>::try_from(list) {
            Ok([item, key]) => Some((item, key)),
            Err(_) => return Err(Error::new(ErrorKind::InvalidOperation, "separators are two")),
        },
    };
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let indent = match indent {
        Some(indent) if indent.kind() == ValueKind::Number => {
            let spaces =
                usize::try_from(indent).map_err(|_| Error::new(ErrorKind::InvalidOperation, "indent"))?;
            Some(" ".repeat(spaces.min(1 << 10)))
        }
        Some(indent) => indent.as_str().map(str::to_owned),
        None => None,
    };
    let item = if indent.is_some() { "," } else { ", " };
    let (item, key) = separators.unwrap_or_else(|| (item.to_owned(), ": ".to_owned()));
    let mut writer = JsonWriter { out: String::new(), indent, item, key, ascii, sorted, depth: 0 };
    writer.value(value)?;
    Ok(writer.out)
}

struct JsonWriter {
    out: String,
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    sorted: bool,
    depth: usize,
}

impl JsonWriter {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(('[', ']'), items.len(), |writer, at| writer.value(&items[at]))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                self.list(('{', '}'), keys.len(), |writer, at| {
                    let key = &keys[at];
                    match key.as_str() {
                        Some(text) => writer.text(text),
                        None => writer.text(&key_text(key)),
                    }
                    let colon = writer.key.clone();
                    writer.out.push_str(&colon);
                    writer.value(&value.get_item(key)?)
                })?;
            }
            kind => {
                let reason = format!("{kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::BadSerialization, reason));
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        (open, close): (char, char),
        count: usize,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // As deep as Python goes.
        if self.depth > 900 {
            return Err(Error::new(ErrorKind::BadSerialization, "nested too deep"));
        }
        self.out.push(open);
        self.depth += 1;
        for at in 0..count {
            if at > 0 {
                let between = self.item.clone();
                self.out.push_str(&between);
            }
            self.new_line();
            item(self, at)?;
        }
        self.depth -= 1;
        if count > 0 {
            self.new_line();
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.push_str(&indent.repeat(self.depth));
        }
    }

    fn number(&mut self, value: &Value) {
        let float = if value.is_integer() { None } else { f64::try_from(value.clone()).ok() };
        match float {
            None => self.out.push_str(&value.to_string()),
            Some(float) => self.out.push_str(&python_float(float)),
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                letter if letter < ' ' || (self.ascii && !(' '..='~').contains(&letter)) => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                letter => self.out.push(letter),
            }
        }
        self.out.push('"');
    }
}

/// A key that is no string, as `json.dumps` names it.
fn key_text(key: &Value) -> String {
    match key.kind() {
        ValueKind::None => "null".into(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.into(),
        _ => key.to_string(),
    }
}

/// `repr` of a float: shortest digits that say the same, with an exponent from 1e16 on and below 1e-4.
fn python_float(float: f64) -> String {
    if !float.is_finite() {
        let name = if float.is_nan() { "NaN" } else { "Infinity" };
        return if float.is_sign_negative() && !float.is_nan() { format!("-{name}") } else { name.into() };
    }
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
            (f64::INFINITY, "Infinity"),
        ];
        for (float, text) in pairs {
            assert_eq!(python_float(float), text);
        }
    }
}
