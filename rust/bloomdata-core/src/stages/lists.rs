//! Lists and objects inside a record, and errors that say where in them something is wrong: `turns[3].value`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::document::BadRecord;
use crate::json_fields::{FieldPath, elements_of, malformed_value, text_of};
use crate::stages::fields::wrong_kind;

/// The elements of the list that a field holds.
///
/// # Errors
/// The field is missing, null, or no list.
pub fn elements<'record>(field: &str, raw: Option<&'record str>) -> Result<Vec<&'record str>, BadRecord> {
    match raw {
        None => Err(BadRecord::MissingField(field.to_owned())),
        Some("null") => Err(BadRecord::NullField(field.to_owned())),
        Some(raw) if raw.starts_with('[') => parse_list(raw),
        Some(raw) => Err(wrong_kind(field, raw, "a list")),
    }
}

/// The elements of a JSON list.
///
/// # Errors
/// It is malformed.
pub fn parse_list(raw: &str) -> Result<Vec<&str>, BadRecord> {
    elements_of(raw)
}

/// The strings of the list that a field holds.
///
/// # Errors
/// The field is no list, or holds something else than strings.
pub fn strings<'record>(field: &str, raw: Option<&'record str>) -> Result<Vec<Cow<'record, str>>, BadRecord> {
    let string = |(at, raw)| text_of(&FieldPath::of_key(&format!("{field}[{at}]")), Some(raw));
    elements(field, raw)?.into_iter().enumerate().map(string).collect()
}

/// Keys and values of the object that a field holds, in order; of equal keys the last value, at the first's place.
///
/// # Errors
/// The field is missing, null, or no object.
pub fn members<'record>(
    field: &str,
    raw: Option<&'record str>,
) -> Result<Vec<(String, &'record str)>, BadRecord> {
    match raw {
        None => Err(BadRecord::MissingField(field.to_owned())),
        Some("null") => Err(BadRecord::NullField(field.to_owned())),
        Some(raw) if raw.starts_with('{') => serde_json::Deserializer::from_str(raw)
            .deserialize_map(Members)
            .map_err(|error| malformed_value(raw, &error)),
        Some(raw) => Err(wrong_kind(field, raw, "an object")),
    }
}

/// What is wrong inside of an object, told from outside.
pub fn inside(place: &str, bad: BadRecord) -> BadRecord {
    let told = |field: String| format!("{place}.{field}");
    match bad {
        BadRecord::MissingField(field) => BadRecord::MissingField(told(field)),
        BadRecord::NullField(field) => BadRecord::NullField(told(field)),
        BadRecord::NotAString(field) => BadRecord::NotAString(told(field)),
        BadRecord::NotAnObject(_) => BadRecord::WrongForm(format!("{place} is not a JSON object")),
        BadRecord::WrongForm(reason) => BadRecord::WrongForm(format!("{place}: {reason}")),
        BadRecord::MalformedJson(fault) => {
            BadRecord::MalformedJson(format!("{place}: {}", fault.reason).into())
        }
        other => other,
    }
}

struct Members;

impl<'record> Visitor<'record> for Members {
    type Value = Vec<(String, &'record str)>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'record>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Vec<(String, &'record str)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<&'record RawValue>()?.get();
            if let Some(&at) = places.get(&key) {
                found[at].1 = value;
            } else {
                places.insert(key.clone(), found.len());
                found.push((key, value));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_keep_the_first_place_and_the_last_value() {
        let found = members("chat", Some(r#"{"b":1,"a":2,"b":[3]}"#)).unwrap();
        assert_eq!(found, vec![("b".to_owned(), "[3]"), ("a".to_owned(), "2")]);
    }

    #[test]
    fn what_is_wrong_in_a_list_is_told_with_its_place() {
        let told = strings("input", Some(r#"["a",1]"#)).unwrap_err().to_string();
        assert_eq!(told, "field \"input[1]\" is not a string");
        let told = elements("input", Some("{}")).unwrap_err().to_string();
        assert_eq!(told, "field \"input\" holds an object, not a list");
        let told = inside("chat.turn_1", BadRecord::MissingField("MOSS".into())).to_string();
        assert_eq!(told, "no field \"chat.turn_1.MOSS\"");
    }
}
