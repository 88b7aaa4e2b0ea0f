//! The named text fields of one JSON record, found without building a tree.
//!
//! The whole record is validated, not only the part before the field. A key that occurs twice counts with its last
//! value, as in Python's `json`. Strings with a lone surrogate escape are malformed: they have no UTF-8.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::document::BadRecord;
use crate::error::{Error, Result};

/// Where a text field is: `text`, or `data.text` inside an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    name: String,
    keys: Vec<String>,
}

impl FieldPath {
    /// Parses a dotted path.
    ///
    /// # Errors
    /// An empty name or part.
    pub fn parse(name: &str) -> Result<Self> {
        let keys: Vec<String> = name.split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(Error::config("text_field", format!("{name:?} has an empty part")));
        }
        Ok(Self { name: name.to_owned(), keys })
    }

    /// As the user wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first key: the column of a table.
    pub fn column(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }
}

/// What stands where a field should be.
#[derive(Debug, Clone, Default)]
enum Found<'record> {
    #[default]
    Nothing,
    Null,
    Other,
    Text(Cow<'record, str>),
}

/// The texts of `fields` in a record, in that order.
///
/// # Errors
/// Why the record cannot become a document.
pub fn extract<'record>(
    record: &'record [u8],
    fields: &[FieldPath],
) -> std::result::Result<Vec<Cow<'record, str>>, BadRecord> {
    let text = simdutf8::basic::from_utf8(record).map_err(|_| invalid_utf8(record))?;
    let mut found = vec![Found::Nothing; fields.len()];
    let paths: Vec<(usize, &[String])> =
        fields.iter().enumerate().map(|(slot, field)| (slot, field.keys.as_slice())).collect();
    let mut parser = serde_json::Deserializer::from_str(text);
    let seed = Fields { paths: &paths, found: &mut found };
    let is_object = seed
        .deserialize(&mut parser)
        .and_then(|is_object| parser.end().map(|()| is_object))
        .map_err(|error| BadRecord::MalformedJson(error.to_string()))?;
    if !is_object {
        return Err(BadRecord::NotAnObject);
    }
    fields
        .iter()
        .zip(found)
        .map(|(field, found)| match found {
            Found::Text(text) => Ok(text),
            Found::Nothing => Err(BadRecord::MissingField(field.name.clone())),
            Found::Null => Err(BadRecord::NullField(field.name.clone())),
            Found::Other => Err(BadRecord::NotAString(field.name.clone())),
        })
        .collect()
}

/// Checks that a record is one JSON object.
///
/// # Errors
/// Why it is not.
pub fn validate(record: &[u8]) -> std::result::Result<(), BadRecord> {
    extract(record, &[]).map(|_| ())
}

/// Where UTF-8 ends; off the hot path.
pub fn invalid_utf8(record: &[u8]) -> BadRecord {
    BadRecord::InvalidUtf8(std::str::from_utf8(record).err().map_or(0, |error| error.valid_up_to()))
}

/// Visits one value: an object is searched for the rest of the paths, anything else is only validated.
struct Fields<'run, 'record> {
    /// Slot in `found`, and the keys still to go; all keys used up means: this value itself.
    paths: &'run [(usize, &'run [String])],
    found: &'run mut [Found<'record>],
}

impl<'record> Fields<'_, 'record> {
    /// Notes `found` for the paths that end here.
    fn note(self, found: &Found<'record>) {
        for (slot, keys) in self.paths {
            if keys.is_empty() {
                self.found[*slot] = found.clone();
            }
        }
    }
}

impl<'record> DeserializeSeed<'record> for Fields<'_, 'record> {
    /// Whether the value is an object.
    type Value = bool;

    fn deserialize<D: Deserializer<'record>>(self, parser: D) -> std::result::Result<bool, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'record> Visitor<'record> for Fields<'_, 'record> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'record>>(self, mut map: A) -> std::result::Result<bool, A::Error> {
        for (slot, keys) in self.paths {
            self.found[*slot] = if keys.is_empty() { Found::Other } else { Found::Nothing };
        }
        let mut inner = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            inner.clear();
            inner.extend(self.paths.iter().filter_map(|(slot, keys)| match keys.split_first() {
                Some((first, rest)) if *first == key => Some((*slot, rest)),
                _ => None,
            }));
            if inner.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                for (slot, _) in &inner {
                    self.found[*slot] = Found::Nothing;
                }
                map.next_value_seed(Fields { paths: &inner, found: self.found })?;
            }
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'record>>(self, mut items: A) -> std::result::Result<bool, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.note(&Found::Other);
        Ok(false)
    }

    fn visit_borrowed_str<E>(self, text: &'record str) -> std::result::Result<bool, E> {
        self.note(&Found::Text(Cow::Borrowed(text)));
        Ok(false)
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<bool, E> {
        self.note(&Found::Text(Cow::Owned(text.to_owned())));
        Ok(false)
    }

    fn visit_unit<E>(self) -> std::result::Result<bool, E> {
        self.note(&Found::Null);
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<bool, E> {
        self.note(&Found::Other);
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<bool, E> {
        self.note(&Found::Other);
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<bool, E> {
        self.note(&Found::Other);
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<bool, E> {
        self.note(&Found::Other);
        Ok(false)
    }
}

/// An object's key, borrowed from the record where it has no escapes.
struct Key;

impl<'record> DeserializeSeed<'record> for Key {
    type Value = Cow<'record, str>;

    fn deserialize<D: Deserializer<'record>>(self, parser: D) -> std::result::Result<Self::Value, D::Error> {
        parser.deserialize_str(self)
    }
}

impl<'record> Visitor<'record> for Key {
    type Value = Cow<'record, str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'record str) -> std::result::Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(record: &str, field: &str) -> std::result::Result<String, BadRecord> {
        let fields = [FieldPath::parse(field).unwrap()];
        extract(record.as_bytes(), &fields).map(|texts| texts[0].clone().into_owned())
    }

    #[test]
    fn fields_are_found_at_any_depth_and_the_last_of_equal_keys_wins() {
        assert_eq!(one(r#"{"a":1,"text":"x\u00e9\n"}"#, "text").unwrap(), "x\u{e9}\n");
        assert_eq!(one(r#"{"text":"x","text":"y"}"#, "text").unwrap(), "y");
        assert_eq!(one(r#" {"a":{"b":{"c":"deep"}}} "#, "a.b.c").unwrap(), "deep");
        assert_eq!(one(r#"{"te\u0078t":"x"}"#, "text").unwrap(), "x");
        assert!(matches!(one(r#"{"a":{"b":"x"},"a":1}"#, "a.b"), Err(BadRecord::MissingField(_))));
    }

    #[test]
    fn every_kind_of_bad_record_has_its_reason() {
        assert!(matches!(one("{}", "text"), Err(BadRecord::MissingField(_))));
        assert!(matches!(one(r#"{"text":null}"#, "text"), Err(BadRecord::NullField(_))));
        assert!(matches!(one(r#"{"text":["x"]}"#, "text"), Err(BadRecord::NotAString(_))));
        assert!(matches!(one(r#"["text"]"#, "text"), Err(BadRecord::NotAnObject)));
        assert!(matches!(one(r#""text""#, "text"), Err(BadRecord::NotAnObject)));
        for malformed in [
            r#"{"text":"x"} x"#,
            r#"{"text":"x""#,
            r#"{"text":"x",}"#,
            r#"{"text":"x","a":01}"#,
            r#"{"text":"x","a":nul}"#,
            r#"{"text":"\ud800"}"#,
            "{\"text\":\"a\tb\"}",
            "",
        ] {
            assert!(matches!(one(malformed, "text"), Err(BadRecord::MalformedJson(_))), "{malformed}");
        }
        let bytes = b"{\"text\":\"\xff\"}";
        let fields = [FieldPath::parse("text").unwrap()];
        assert_eq!(extract(bytes, &fields), Err(BadRecord::InvalidUtf8(9)));
    }

    #[test]
    fn deep_nesting_is_refused_without_overflowing_the_stack() {
        let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert!(matches!(one(&deep, "text"), Err(BadRecord::MalformedJson(_))));
    }

    #[test]
    fn text_without_escapes_is_not_copied() {
        let fields = [FieldPath::parse("text").unwrap()];
        let found = extract(br#"{"text":"plain"}"#, &fields).unwrap();
        assert!(matches!(found[0], Cow::Borrowed("plain")));
    }
}
