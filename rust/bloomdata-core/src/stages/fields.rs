//! Fields of a record as fixed arrays, with the errors of `json_fields`.

use std::borrow::Cow;

use crate::document::BadRecord;
use crate::json_fields::{FieldPath, FieldText, extract_optional, extract_raw};

/// Texts of all fields.
///
/// # Errors
/// The record is no object, or a field is missing or holds no string.
pub fn texts<'record, const N: usize>(
    record: &'record str,
    fields: &[FieldPath; N],
) -> Result<[Cow<'record, str>; N], BadRecord> {
    let found: Vec<_> = extract_optional(record, fields)?.into_iter().collect::<Result<_, _>>()?;
    found.try_into().map_err(|_| BadRecord::NotAnObject)
}

/// The text of each field, or why there is none.
///
/// # Errors
/// The record is no object.
pub fn optional_texts<'record, const N: usize>(
    record: &'record str,
    fields: &[FieldPath; N],
) -> Result<[FieldText<'record>; N], BadRecord> {
    extract_optional(record, fields)?.try_into().map_err(|_| BadRecord::NotAnObject)
}

/// The JSON of each field as it stands in the record.
///
/// # Errors
/// The record is no object.
pub fn raw<'record, const N: usize>(
    record: &'record str,
    fields: &[FieldPath; N],
) -> Result<[Option<&'record str>; N], BadRecord> {
    extract_raw(record, fields)?.try_into().map_err(|_| BadRecord::NotAnObject)
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
