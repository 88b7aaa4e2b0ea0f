//! The named text fields of one JSON record, found without building a tree.
//!
//! The whole record is validated, not only the part before the field. A key that occurs twice counts with its last
//! value, as in Python's `json`. A text with a lone surrogate escape is malformed, since it has no UTF-8; elsewhere such
//! escapes are left alone, and so is deep nesting: what is skipped is skipped without recursion. `NaN`, `Infinity` and
//! `-Infinity` are no JSON, but Python writes them: in what is not read they do not matter.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::document::{BadRecord, JsonFault};
use crate::error::{Error, Result};
use crate::json_escapes::unescaped;
use crate::json_faults::{fault, fault_or, lone_surrogate};
use crate::json_nan::Masked;
use crate::json_search::{Besides, Path, is_object, search};
pub use crate::json_search::{Given, Notes, Wanted, holds_something, is_empty, key_of};

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

    /// A key as it is, dots and all.
    pub fn of_key(key: &str) -> Self {
        Self { name: key.to_owned(), keys: vec![key.to_owned()] }
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

/// The text of one field, or why there is none.
pub type FieldText<'record> = std::result::Result<Cow<'record, str>, BadRecord>;

/// The texts of `fields` in a record, in that order.
///
/// # Errors
/// Why the record cannot become a document.
pub fn extract<'record>(
    record: &'record [u8],
    fields: &[FieldPath],
    notes: Notes<'_, '_>,
) -> std::result::Result<Vec<Cow<'record, str>>, BadRecord> {
    let text = simdutf8::basic::from_utf8(record).map_err(|_| invalid_utf8(record))?;
    extract_optional(text, fields, notes)?.into_iter().collect()
}

/// As [`extract`], from text, with a verdict for each field.
///
/// # Errors
/// The record is not a JSON object.
pub fn extract_optional<'record>(
    text: &'record str,
    fields: &[FieldPath],
    notes: Notes<'_, '_>,
) -> std::result::Result<Vec<FieldText<'record>>, BadRecord> {
    let found = extract_raw(text, fields, notes)?;
    Ok(fields.iter().zip(found).map(|(field, raw)| text_of(field, raw)).collect())
}

/// As [`extract`], from text, but the JSON of each field as it stands there; `None` where there is none.
///
/// # Errors
/// The record is not a JSON object.
pub fn extract_raw<'record>(
    text: &'record str,
    fields: &[FieldPath],
    notes: Notes<'_, '_>,
) -> std::result::Result<Vec<Option<&'record str>>, BadRecord> {
    found_in(text, fields, None, notes)
}

fn found_in<'record>(
    text: &'record str,
    fields: &[FieldPath],
    mut besides: Besides<'_, 'record>,
    mut notes: Notes<'_, '_>,
) -> std::result::Result<Vec<Option<&'record str>>, BadRecord> {
    if !is_object(text) {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| malformed(text, &error))?;
        return Err(BadRecord::NotAnObject(kind(text.trim_start())));
    }
    let paths: Vec<(usize, &[String])> =
        fields.iter().enumerate().map(|(slot, field)| (slot, field.keys.as_slice())).collect();
    let mut found = vec![None; fields.len()];
    let reborrowed = besides.as_mut().map(|(wanted, given)| (*wanted, &mut **given));
    if let Some(log) = &mut notes {
        log.open();
    }
    match search(text, &paths, &mut found, reborrowed, notes.as_deref_mut()) {
        Ok(()) => Ok(found),
        Err(error) => {
            found_beside_nan(text, &paths, besides, notes).unwrap_or_else(|| Err(malformed(text, &error)))
        }
    }
}

/// As `found_in`, for a record with words such as NaN: `None` if it has none, or other faults besides. Lists and objects
/// that hold such words are found as they are; a field that is one is a fault. `notes` has the object open.
fn found_beside_nan<'record>(
    text: &'record str,
    paths: &[Path<'_>],
    besides: Besides<'_, 'record>,
    notes: Notes<'_, '_>,
) -> Option<std::result::Result<Vec<Option<&'record str>>, BadRecord>> {
    let masked = Masked::new(text)?;
    let mut found = vec![None; paths.len()];
    let mut given = Vec::new();
    let wanted = besides.as_ref().map(|(wanted, _)| (*wanted, &mut given));
    search(&masked.text, paths, &mut found, wanted, notes).ok()?;
    let mut read = None;
    let mut of_record = |raw: &str| {
        let range = range_in(&masked.text, raw);
        read = read.take().or_else(|| masked.places.iter().find(|place| place.end == range.end).cloned());
        &text[range]
    };
    let found = found.into_iter().map(|raw| raw.map(&mut of_record)).collect();
    if let Some((_, before)) = besides {
        before.clear();
        before.extend(given.into_iter().map(|(name, raw)| (name, of_record(raw))));
    }
    let Some(place) = read else { return Some(Ok(found)) };
    // All words before it are masked, so that it is the first fault.
    let shown = format!("{}{}", &masked.text[..place.start], &text[place.start..]);
    fault(&shown).map(|fault| Err(BadRecord::MalformedJson(fault)))
}

/// What a JSON value is, in words.
pub fn kind(raw: &str) -> &'static str {
    match raw.bytes().next() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The name among `names` that a key is.
pub fn name_of(key: &[u8], names: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    names.into_iter().find(|name| name.as_bytes() == key)
}

/// As [`extract_raw`], and the keys of the record that are wanted besides, unless they are null. It costs nothing where
/// there are none. Of equal keys the last one counts.
///
/// # Errors
/// The record is not a JSON object.
pub fn extract_raw_and<'record>(
    text: &'record str,
    fields: &[FieldPath],
    wanted: Wanted,
    notes: Notes<'_, '_>,
) -> std::result::Result<(Vec<Option<&'record str>>, Vec<Given<'record>>), BadRecord> {
    let mut given = Vec::new();
    let found = found_in(text, fields, Some((wanted, &mut given)), notes)?;
    given.retain(|(_, raw)| *raw != "null");
    Ok((found, given))
}

/// The elements of a JSON list, whatever they are; they may hold NaN.
///
/// # Errors
/// It is malformed.
pub fn elements_of(list: &str) -> std::result::Result<Vec<&str>, BadRecord> {
    let ranges = |text: &str| {
        let elements: Vec<&RawValue> = serde_json::from_str(text)?;
        Ok(elements.into_iter().map(|element| range_in(text, element.get())).collect::<Vec<_>>())
    };
    let found = ranges(list).or_else(|error| {
        Masked::new(list)
            .and_then(|masked| ranges(&masked.text).ok())
            .ok_or_else(|| malformed_value(list, &error))
    });
    Ok(found?.into_iter().map(|range| &list[range]).collect())
}

/// Where a part of a text stands in it.
pub(crate) fn range_in(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

/// Where the text's JSON string stands in a record, quotes and all, in bytes; and the text.
///
/// # Errors
/// Why the record cannot become a document.
pub fn locate<'record>(
    record: &'record [u8],
    field: &FieldPath,
) -> std::result::Result<(Range<usize>, Cow<'record, str>), BadRecord> {
    let json = simdutf8::basic::from_utf8(record).map_err(|_| invalid_utf8(record))?;
    let raw = extract_raw(json, std::slice::from_ref(field), None)?.into_iter().next().flatten();
    let text = text_of(field, raw)?;
    let place = raw.map_or(0..0, |raw| range_in(json, raw));
    Ok((place, text))
}

/// Checks that a record is one JSON object; with `allow_nan`, as Python's `json` reads it.
///
/// # Errors
/// Why it is not.
pub fn validate(record: &[u8], allow_nan: bool) -> std::result::Result<(), BadRecord> {
    let text = simdutf8::basic::from_utf8(record).map_err(|_| invalid_utf8(record))?;
    if allow_nan || !is_object(text) {
        return extract_raw(text, &[], None).map(|_| ());
    }
    search(text, &[], &mut [], None, None).map_err(|error| malformed(text, &error))
}

/// Where UTF-8 ends; off the hot path.
pub fn invalid_utf8(record: &[u8]) -> BadRecord {
    BadRecord::InvalidUtf8(std::str::from_utf8(record).err().map_or(0, |error| error.valid_up_to()))
}

/// What is wrong with a record that the parser refused.
pub fn malformed(record: &str, error: &serde_json::Error) -> BadRecord {
    BadRecord::MalformedJson(fault_or(record, error))
}

/// As `bad`, with its place in the record if it was found in a value of it.
pub fn placed(record: &[u8], bad: BadRecord) -> BadRecord {
    match (&bad, std::str::from_utf8(record)) {
        (BadRecord::MalformedJson(JsonFault { at: None, .. }), Ok(text)) => {
            fault(text).map_or(bad, BadRecord::MalformedJson)
        }
        _ => bad,
    }
}

/// What is wrong with a value of a record that the parser refused; its place in the record is not known.
pub fn malformed_value(value: &str, error: &serde_json::Error) -> BadRecord {
    BadRecord::MalformedJson(JsonFault { at: None, remedy: None, ..fault_or(value, error) })
}

/// The string that a raw value is.
///
/// # Errors
/// No value, null, or something else than a string.
pub fn text_of<'record>(
    field: &FieldPath,
    raw: Option<&'record str>,
) -> std::result::Result<Cow<'record, str>, BadRecord> {
    let name = || field.name.clone();
    match raw {
        None => Err(BadRecord::MissingField(name())),
        Some("null") => Err(BadRecord::NullField(name())),
        Some(raw) => match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
            None => Err(BadRecord::NotAString(name())),
            Some(plain) if memchr::memchr(b'\\', plain.as_bytes()).is_none() => Ok(Cow::Borrowed(plain)),
            Some(plain) => match unescaped(plain) {
                Some(text) => Ok(Cow::Owned(text)),
                None => Err(no_text(&field.name, raw)),
            },
        },
    }
}

/// Why a valid string of JSON is no text.
fn no_text(name: &str, raw: &str) -> BadRecord {
    let half = lone_surrogate(raw).unwrap_or("an escape");
    let reason = format!("field {name:?} holds {half}, half of a surrogate pair, which is no character");
    BadRecord::MalformedJson(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(record: &str, field: &str) -> std::result::Result<String, BadRecord> {
        let fields = [FieldPath::parse(field).unwrap()];
        extract(record.as_bytes(), &fields, None).map(|texts| texts[0].clone().into_owned())
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
        assert!(matches!(one(r#"["text"]"#, "text"), Err(BadRecord::NotAnObject(_))));
        assert!(matches!(one(r#""text""#, "text"), Err(BadRecord::NotAnObject(_))));
        for malformed in [
            r#"{"text":"x"} x"#,
            r#"{"text":"x""#,
            r#"{"text":"x",}"#,
            r#"{"text":"x","a":01}"#,
            r#"{"text":"x","a":nul}"#,
            r#"{"text":"\ud800"}"#,
            "{\"text\":\"a\tb\"}",
            "{\"text\":\"x\",\"a\tb\":1}",
            "{\"text\":\"x\",\"\\u0061\tb\":1}",
            "",
        ] {
            assert!(matches!(one(malformed, "text"), Err(BadRecord::MalformedJson(_))), "{malformed}");
        }
        let bytes = b"{\"text\":\"\xff\"}";
        let fields = [FieldPath::parse("text").unwrap()];
        assert_eq!(extract(bytes, &fields, None), Err(BadRecord::InvalidUtf8(9)));
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let open = "[".repeat(1_000_000);
        assert!(matches!(one(&format!("{{\"a\":{open}"), "text"), Err(BadRecord::MalformedJson(_))));
        let closed = format!("{{\"a\":{open}{},\"text\":\"x\"}}", "]".repeat(1_000_000));
        assert_eq!(one(&closed, "text").unwrap(), "x");
    }

    #[test]
    fn what_is_skipped_may_hold_any_number_and_any_escape() {
        let record = r#"{"\ud800":1E400,"a":"\udc00","text":"x"}"#;
        assert_eq!(one(record, "text").unwrap(), "x");
        assert!(matches!(one(r#"{"text":1E400}"#, "text"), Err(BadRecord::NotAString(_))));
    }

    #[test]
    fn nan_does_not_matter_where_it_is_not_read() {
        let record = r#"{"a":NaN,"b":{"c":[-Infinity],"d":"x"},"text":"y NaN","e":Infinity}"#;
        assert_eq!(
            (one(record, "text").unwrap().as_str(), one(record, "b.d").unwrap().as_str()),
            ("y NaN", "x")
        );
        for (field, at, key) in [("a", 5, "a"), ("e", 58, "e")] {
            let Err(BadRecord::MalformedJson(fault)) = one(record, field) else { panic!("{field} was read") };
            assert_eq!(fault.at, Some(at));
            assert!(fault.reason.ends_with(&format!("is not JSON, under {key:?}")), "{}", fault.reason);
        }
        assert_eq!(one(record, "b"), Err(BadRecord::NotAString("b".into())));
        assert_eq!(elements_of(r#"[{"a":NaN}, "NaN" ,1]"#).unwrap(), [r#"{"a":NaN}"#, "\"NaN\"", "1"]);
        assert!(elements_of("[NaN").is_err());
        let other = r#"{"a":NaN,"text":"x","b":1,}"#;
        assert!(matches!(one(other, "text"), Err(BadRecord::MalformedJson(_))));
        assert!(validate(record.as_bytes(), true).is_ok() && validate(record.as_bytes(), false).is_err());
        let wanted: Wanted = |key| name_of(key, ["a", "z"]);
        assert!(extract_raw_and(record, &[], wanted, None).is_err());
        let (_, given) = extract_raw_and(r#"{"a":1,"b":NaN,"z":null}"#, &[], wanted, None).unwrap();
        assert_eq!(given, [("a", "1")]);
    }

    #[test]
    fn text_without_escapes_is_not_copied() {
        let fields = [FieldPath::parse("text").unwrap()];
        let found = extract(br#"{"text":"plain"}"#, &fields, None).unwrap();
        assert!(matches!(found[0], Cow::Borrowed("plain")));
    }
}
