//! What chat templates expect of Python: `json.dumps`, methods of strings, dates. Every result is limited
//! in size.

use std::fmt::Write as _;

use chrono::NaiveDateTime;
use minijinja::value::{Kwargs, Rest, StringInput, Tuple, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, filters};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::display::python_str;
use super::json::to_json;
use super::limits::{
    MAX_PARTS, Text, display, few, fits, formatted_bytes, items, replaced_bytes, show, text_of,
};
use super::text;
use crate::conversation::{is_python_space, python_strip};

/// Adds filters, functions and methods as in `transformers` and Python.
pub(super) fn extend(environment: &mut Environment<'_>, now: Option<NaiveDateTime>) {
    environment.set_unknown_method_callback(method);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::String => Ok(out.write_str(value.as_str().unwrap_or_default())?),
        ValueKind::Seq | ValueKind::Map | ValueKind::Number => Ok(out.write_str(&python_str(value)?)?),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_filter("tojson", to_json);
    environment.add_filter("trim", |value: &Value, letters: Option<&str>| match value.as_str() {
        Some(text) => Ok(strip(text, letters, true, true)),
        None => display(value).map(|text| strip(&text, letters, true, true)),
    });
    // Jinja2 does not have these.
    for name in ["split", "lines", "bool", "chain", "zip", "pprint"] {
        environment.remove_filter(name);
    }
    for name in ["startingwith", "endingwith", "containing", "safe", "int"] {
        environment.remove_test(name);
    }
    environment.remove_global("debug");
    environment.add_filter("string", python_str);
    for name in ["default", "d"] {
        environment.add_filter(name, default);
    }
    for name in ["escape", "e"] {
        environment.add_filter(name, |value: &Value| {
            if value.is_safe() {
                return Ok(value.clone());
            }
            text::escape(&python_str(value)?).map(Value::from_safe_string)
        });
    }
    bound(environment);
    environment.add_filter("indent", indent);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    // Whatever has a length and items by index or key.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined)
    });
    // Here iterating over none is allowed; in Jinja2 it is an error, for which templates test.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, display(message)?))
    });
    environment.add_function("strftime_now", move |format: &str| -> Result<String, Error> {
        let now = now.ok_or_else(|| {
            let reason = "strftime_now: the option template_date is not set";
            Error::new(ErrorKind::InvalidOperation, reason)
        })?;
        let mut text = Text::default();
        let written = write!(text, "{}", now.format(format));
        text.fits()?;
        written.map_err(|_| {
            Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {format:?} is not a date format"))
        })?;
        text.finish()
    });
}

/// Replaces a missing value, or with `boolean` any false one.
#[allow(clippy::needless_pass_by_value, reason = "filters receive owned arguments")]
fn default(
    value: &Value,
    other: Option<Value>,
    boolean: Option<bool>,
    named: Kwargs,
) -> Result<Value, Error> {
    let other = match other {
        Some(other) => other,
        None => named.get::<Option<Value>>("default_value")?.unwrap_or_else(|| Value::from("")),
    };
    let boolean = match boolean {
        Some(boolean) => boolean,
        None => named.get::<Option<bool>>("boolean")?.unwrap_or(false),
    };
    named.assert_all_used()?;
    let is_missing = value.is_undefined() || (boolean && !value.is_true());
    Ok(if is_missing { other } else { value.clone() })
}

/// Indents lines by a number of spaces or by a text.
#[allow(clippy::needless_pass_by_value, reason = "filters receive owned arguments")]
fn indent(
    text: &str,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    named: Kwargs,
) -> Result<String, Error> {
    let width = if width.is_some() { width } else { named.get("width")? };
    let first = if first.is_some() { first } else { named.get("first")? };
    let blank = if blank.is_some() { blank } else { named.get("blank")? };
    named.assert_all_used()?;
    let width = match width {
        Some(width) if width.as_str().is_some() => width.as_str().unwrap_or_default().to_owned(),
        Some(width) => " ".repeat(usize::try_from(width).unwrap_or(0).min(1 << 10)),
        None => " ".repeat(4),
    };
    fits(text.len())?;
    few(text::num_lines(text))?;
    let mut out = Text::default();
    for (number, line) in text::lines(&format!("{text}\n"), false).into_iter().enumerate() {
        out.fits()?;
        out.push_str(if number > 0 { "\n" } else { "" });
        let is_moved =
            if number > 0 { blank.unwrap_or(false) || !line.is_empty() } else { first.unwrap_or(false) };
        out.push_str(if is_moved { &width } else { "" });
        out.push_str(line);
    }
    out.finish()
}

/// Limits filters of the interpreter whose result may be larger than their input.
fn bound(environment: &mut Environment<'_>) {
    type Plain = fn(StringInput<'_>) -> Value;
    let plain: [(&str, Plain); 3] =
        [("upper", filters::upper), ("lower", filters::lower), ("capitalize", filters::capitalize)];
    for (name, filter) in plain {
        environment.add_filter(name, move |state: &State<'_, '_>, value: &Value| {
            Ok(filter(StringInput::new(state, &text_of(value)?)?))
        });
    }
    environment.add_filter("title", |value: &Value| {
        Ok(filters::title(text_of(value)?.as_str().unwrap_or_default().into()))
    });
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("format", format);
    environment.add_filter("sum", sum);
}

/// Replaces a text by another, at most `count` times.
#[allow(clippy::needless_pass_by_value, reason = "filters receive owned arguments")]
fn replace(
    value: &Value,
    from: &Value,
    to: &Value,
    count: Option<i64>,
    named: Kwargs,
) -> Result<String, Error> {
    let count = if count.is_some() { count } else { named.get("count")? };
    named.assert_all_used()?;
    let [value, from, to] = [text_of(value)?, text_of(from)?, text_of(to)?];
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    let (value, from, to) = (text(&value), text(&from), text(&to));
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    fits(replaced_bytes(&value, &from, &to, count))?;
    Ok(value.replacen(&from, &to, count))
}

/// Joins the items of a list with a text in between.
#[allow(clippy::needless_pass_by_value, reason = "filters receive owned arguments")]
fn join(
    state: &State<'_, '_>,
    value: &Value,
    between: Option<Value>,
    attribute: Option<&str>,
    named: Kwargs,
) -> Result<String, Error> {
    let between = if between.is_some() { between } else { named.get("d")? };
    let attribute = if attribute.is_some() { attribute } else { named.get("attribute")? };
    named.assert_all_used()?;
    let between = between.map_or_else(|| Ok(String::new()), |between| display(&between))?;
    let mut out = Text::default();
    for (at, item) in items(state, value)?.enumerate() {
        let mut item = item?;
        if let Some(path) = attribute {
            item = attribute_of(&item, path);
        }
        out.push_str(if at > 0 { &between } else { "" });
        show(&item, &mut out)?;
    }
    out.finish()
}

/// The value at a path of names and indices; undefined if there is none.
fn attribute_of(value: &Value, path: &str) -> Value {
    let step = |value: Value, part: &str| match part.parse() {
        Ok(number) => value.get_item_by_index(number),
        Err(_) => value.get_attr(part),
    };
    path.split('.').try_fold(value.clone(), step).unwrap_or_default()
}

/// Python's `%` formatting.
#[allow(clippy::needless_pass_by_value, reason = "filters receive owned arguments")]
fn format(state: &mut State<'_, '_>, text: &Value, values: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let plain: Vec<Value> = values.iter().map(|value| Value::clone(value)).collect();
    fits(formatted_bytes(text.as_str().unwrap_or_default(), &plain)?)?;
    filters::format(state, text, values)
}

/// A sum. Texts and tuples are refused, as each step would copy them.
fn sum(
    state: &State<'_, '_>,
    values: Value,
    attribute: Option<&str>,
    start: Option<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let first = if start.is_some() { start.clone() } else { named.get("start")? };
    if first.is_some_and(|first| first.as_str().is_some() || first.is_tuple()) {
        return Err(refused("sum: expected numbers or lists"));
    }
    filters::sum(state, values, attribute, start, named)
}

/// A whole number, or `default`.
fn int(value: &Value, default: Option<Value>, base: Option<u32>) -> Result<Value, Error> {
    let default = default.unwrap_or_else(|| Value::from(0));
    let truncated = |float: f64| {
        let whole = float.trunc().to_string();
        whole.parse::<i128>().ok().map(Value::from)
    };
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(refused("int: the value is undefined")),
        ValueKind::Bool => Some(Value::from(u8::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => Some(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(truncated),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            let whole = text::int(text, base.unwrap_or(10)).map(Value::from);
            whole.or_else(|| text::float(text).and_then(truncated))
        }
        _ => None,
    }
    .unwrap_or(default))
}

/// A float, or `default`.
fn float(value: &Value, default: Option<Value>) -> Result<Value, Error> {
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(refused("float: the value is undefined")),
        ValueKind::Bool => Some(if value.is_true() { 1.0 } else { 0.0 }),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::String => text::float(value.as_str().unwrap_or_default()),
        _ => None,
    }
    .map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from))
}

/// Methods of Python's strings that `minijinja_contrib` lacks or implements differently.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else { return unknown_method_callback(state, value, name, args) };
    fits(text.len())?;
    let ends = match name {
        "strip" => (true, true),
        "lstrip" => (true, false),
        "rstrip" => (false, true),
        _ => return more(state, value, text, name, args),
    };
    let (letters,): (Option<&str>,) = from_args(args)?;
    Ok(Value::from(strip(text, letters, ends.0, ends.1)))
}

/// All methods other than stripping.
fn more(
    state: &mut State<'_, '_>,
    value: &Value,
    text: &str,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match name {
        "split" | "rsplit" => {
            let (separator, most, named): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
            let separator = if separator.is_some() { separator } else { named.get("sep")? };
            let most = if most.is_some() { most } else { named.get("maxsplit")? };
            named.assert_all_used()?;
            let separator = match &separator {
                Some(value) if !value.is_none() => {
                    Some(value.as_str().ok_or_else(|| refused("expected a string as separator"))?)
                }
                _ => None,
            };
            if separator == Some("") {
                return Err(refused("empty separator"));
            }
            let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
            // One more than the limit, to detect that there are too many.
            let most = most.min(MAX_PARTS);
            let parts = if name == "split" {
                text::split(text, separator, most)
            } else {
                text::rsplit(text, separator, most)
            };
            few(parts.len())?;
            Ok(parts.into_iter().map(Value::from).collect())
        }
        "splitlines" => {
            let (keeps_ends,): (Option<bool>,) = from_args(args)?;
            few(text::num_lines(text))?;
            Ok(text::lines(text, keeps_ends.unwrap_or(false)).into_iter().map(Value::from).collect())
        }
        "title" if args.is_empty() => Ok(Value::from(text::title(text))),
        "isdigit" if args.is_empty() => Ok(Value::from(!text.is_empty() && text.chars().all(text::is_digit))),
        "join" => {
            let (list,): (Value,) = from_args(args)?;
            let mut out = Text::default();
            for (at, item) in items(state, &list)?.enumerate() {
                let item = item?;
                out.push_str(if at > 0 { text } else { "" });
                out.push_str(item.as_str().ok_or_else(|| refused("join: expected strings"))?);
                out.fits()?;
            }
            out.finish().map(Value::from)
        }
        "replace" => {
            if let [from, to, count @ ..] = args
                && let (Some(from), Some(to)) = (from.as_str(), to.as_str())
            {
                let count = count.first().and_then(|count| usize::try_from(count.clone()).ok());
                fits(replaced_bytes(text, from, to, count.unwrap_or(usize::MAX)))?;
            }
            unknown_method_callback(state, value, name, args)
        }
        "format" => {
            fits(formatted_bytes(text, args)?)?;
            unknown_method_callback(state, value, name, args)
        }
        "removeprefix" | "removesuffix" => {
            let (part,): (&str,) = from_args(args)?;
            let rest = if name == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
            Ok(Value::from(rest.unwrap_or(text)))
        }
        "partition" | "rpartition" => {
            let (part,): (&str,) = from_args(args)?;
            if part.is_empty() {
                return Err(refused("empty separator"));
            }
            let found = if name == "partition" { text.split_once(part) } else { text.rsplit_once(part) };
            let three = match (found, name) {
                (Some((left, right)), _) => [left, part, right],
                (None, "partition") => [text, "", ""],
                (None, _) => ["", "", text],
            };
            Ok(Value::from(Tuple::from(three.map(Value::from).to_vec())))
        }
        "isspace" if args.is_empty() => {
            Ok(Value::from(!text.is_empty() && text.chars().all(is_python_space)))
        }
        _ => unknown_method_callback(state, value, name, args),
    }
}

fn refused(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
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
