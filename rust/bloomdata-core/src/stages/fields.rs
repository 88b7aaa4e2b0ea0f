//! Fields of a record as fixed arrays, with the errors of `json_fields`; numbers and switches.

use std::borrow::Cow;

use crate::document::BadRecord;
use crate::json_fields::{FieldPath, FieldText, Notes, extract_optional, extract_raw, holds_something, kind};
use crate::key_log::KeyLog;

/// Texts of all fields.
///
/// # Errors
/// The record is no object, or a field is missing or holds no string.
pub fn texts<'record, const N: usize>(
    record: &'record str,
    fields: &[FieldPath; N],
    notes: Notes<'_, '_>,
) -> Result<[Cow<'record, str>; N], BadRecord> {
    let found: Vec<_> = extract_optional(record, fields, notes)?.into_iter().collect::<Result<_, _>>()?;
    found.try_into().map_err(|_| BadRecord::NotAnObject("something else"))
}

/// The text of each field, or why there is none.
///
/// # Errors
/// The record is no object.
pub fn optional_texts<'record, const N: usize>(
    record: &'record str,
    fields: &[FieldPath; N],
    notes: Notes<'_, '_>,
) -> Result<[FieldText<'record>; N], BadRecord> {
    extract_optional(record, fields, notes)?.try_into().map_err(|_| BadRecord::NotAnObject("something else"))
}

/// The JSON of each field as it stands in the record.
///
/// # Errors
/// The record is no object.
pub fn raw<'record, const N: usize>(
    record: &'record str,
    fields: &[FieldPath; N],
    notes: Notes<'_, '_>,
) -> Result<[Option<&'record str>; N], BadRecord> {
    extract_raw(record, fields, notes)?.try_into().map_err(|_| BadRecord::NotAnObject("something else"))
}

/// A field that need not be there: missing and null are `None`.
///
/// # Errors
/// The field holds something else.
pub fn or_none(text: FieldText<'_>) -> Result<Option<Cow<'_, str>>, BadRecord> {
    match text {
        Err(BadRecord::MissingField(_) | BadRecord::NullField(_)) => Ok(None),
        other => other.map(Some),
    }
}

/// Takes note of fields of the open object that were found, but are not used.
pub fn note_unused(fields: &[(&str, Option<&str>)], log: &mut KeyLog<'_>) {
    for (key, raw) in fields {
        log.note(key.as_bytes(), raw.is_some_and(holds_something));
    }
}

/// A whole number; missing and null are `None`. `3.0` is one, too: tables with gaps write numbers so.
///
/// # Errors
/// Something else, or a number beyond 64 bits.
pub fn integer(field: &str, raw: Option<&str>) -> Result<Option<i64>, BadRecord> {
    match raw {
        None | Some("null") => Ok(None),
        Some(raw) => {
            let digits = raw.strip_suffix(".0").unwrap_or(raw);
            digits.parse().map(Some).map_err(|_| wrong_kind(field, raw, "a whole number"))
        }
    }
}

/// A switch; missing and null are off.
///
/// # Errors
/// Something else than `true` or `false`.
pub fn switch(field: &str, raw: Option<&str>) -> Result<bool, BadRecord> {
    match raw {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(raw) => Err(wrong_kind(field, raw, "true or false")),
    }
}

/// A field that holds something else than it should.
pub fn wrong_kind(field: &str, raw: &str, expected: &str) -> BadRecord {
    BadRecord::WrongForm(format!("field {field:?} holds {}, not {expected}", kind(raw)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_tables_with_gaps_are_whole_numbers() {
        assert_eq!(integer("rank", Some("3.0")), Ok(Some(3)));
        assert_eq!(integer("rank", Some("-1")), Ok(Some(-1)));
        assert_eq!(integer("rank", None), Ok(None));
        for raw in ["3.5", "\"3\"", "9223372036854775808", "1e3"] {
            let told = integer("rank", Some(raw)).unwrap_err().to_string();
            assert!(told.starts_with("field \"rank\" holds a"), "{told}");
        }
    }
}
