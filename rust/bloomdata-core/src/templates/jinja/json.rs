//! `json.dumps`, which `transformers` uses as the filter `tojson`, without HTML escapes.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::display::{MAX_DEPTH, number};
use super::limits::Text;
use crate::json_text::json_string;

/// The filter `tojson`.
#[allow(clippy::needless_pass_by_value, reason = "filters receive owned arguments")]
pub(super) fn to_json(value: &Value, ensure_ascii: Option<Value>, options: Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<Value>>("indent")?;
    let separators: Option<(String, String)> = match options.get::<Option<Vec<String>>>("separators")? {
        None => None,
        Some(list) => match <[String; 2]>::try_from(list) {
            Ok([item, key]) => Some((item, key)),
            Err(_) => {
                return Err(Error::new(ErrorKind::InvalidOperation, "separators: expected two strings"));
            }
        },
    };
    let ascii = match ensure_ascii {
        Some(ascii) => ascii.is_true(),
        None => options.get::<Option<Value>>("ensure_ascii")?.is_some_and(|ascii| ascii.is_true()),
    };
    let sorted = options.get::<Option<Value>>("sort_keys")?.is_some_and(|sorted| sorted.is_true());
    options.assert_all_used()?;
    let indent = match indent {
        Some(indent) if indent.kind() == ValueKind::Number => {
            let spaces = usize::try_from(indent).map_err(|_| {
                Error::new(ErrorKind::InvalidOperation, "indent: expected a whole number, at least 0")
            })?;
            Some(" ".repeat(spaces.min(1 << 10)))
        }
        Some(indent) => indent.as_str().map(str::to_owned),
        None => None,
    };
    let item = if indent.is_some() { "," } else { ", " };
    let (item, key) = separators.unwrap_or_else(|| (item.to_owned(), ": ".to_owned()));
    let mut writer = JsonWriter { out: Text::default(), indent, item, key, ascii, sorted, depth: 0 };
    writer.value(value)?;
    writer.out.finish()
}

struct JsonWriter {
    out: Text,
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
            ValueKind::Number => self.out.push_str(&number(value, ["NaN", "Infinity"])),
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                self.list(('[', ']'), value.try_iter()?, |writer, item| writer.value(&item))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                self.list(('{', '}'), keys.into_iter(), |writer, key| {
                    match key.as_str() {
                        Some(text) => writer.text(text),
                        None => writer.text(&key_text(&key)),
                    }
                    let colon = writer.key.clone();
                    writer.out.push_str(&colon);
                    writer.value(&value.get_item(&key)?)
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
        items: impl Iterator<Item = Value>,
        mut write: impl FnMut(&mut Self, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.depth > MAX_DEPTH {
            return Err(Error::new(ErrorKind::BadSerialization, "nested too deeply"));
        }
        self.out.push(open);
        self.depth += 1;
        let mut is_empty = true;
        for item in items {
            // A lazy list may be longer than fits into memory.
            self.out.fits()?;
            if !is_empty {
                let between = self.item.clone();
                self.out.push_str(&between);
            }
            is_empty = false;
            self.new_line();
            write(self, item)?;
        }
        self.depth -= 1;
        if !is_empty {
            self.new_line();
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            for _ in 0..self.depth {
                self.out.push_str(indent);
            }
        }
    }

    fn text(&mut self, text: &str) {
        json_string(text, self.ascii, |part| self.out.push_str(part));
    }
}

/// A key that is not a string, as `json.dumps` writes it.
fn key_text(key: &Value) -> String {
    match key.kind() {
        ValueKind::None => "null".into(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.into(),
        _ => number(key, ["NaN", "Infinity"]),
    }
}
