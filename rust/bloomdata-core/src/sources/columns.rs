//! The columns of tables that a verb reads, and what becomes of the others.
//!
//! Of a column that is not read, the records only tell whether it holds something: a text stands there in place of its
//! value, so that such columns are counted as keys of JSON are.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_json::EncoderOptions;
use arrow_json::writer::make_encoder;
use arrow_schema::{ArrowError, DataType, FieldRef};

use crate::json_fields::holds_something;

/// Metadata of a field that names its extension type.
pub(super) const EXTENSION: &str = "ARROW:extension:name";

/// What stands in a record for the value of a column that is not read.
pub(super) const STANDIN: &[u8] = b"\"...\"";

/// Which columns are read.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// None named means all.
    named: Vec<String>,
    notes_others: bool,
}

impl Columns {
    /// Those with these names; none named means all.
    pub fn named(named: Vec<String>) -> Self {
        Self { named, notes_others: false }
    }

    /// And records tell which of the others hold something.
    #[must_use]
    pub fn noting_others(self) -> Self {
        Self { notes_others: true, ..self }
    }

    /// Whether all are read.
    pub(super) fn is_all(&self) -> bool {
        self.named.is_empty()
    }

    /// The names, where not all are read.
    pub(super) fn names(&self) -> &[String] {
        &self.named
    }

    /// Whether the values of a column are read.
    pub(super) fn reads(&self, name: &str) -> bool {
        self.is_all() || self.named.iter().any(|named| named == name)
    }

    /// Whether a column is needed for the records.
    pub(super) fn needs(&self, field: &FieldRef) -> bool {
        let kind = field.data_type();
        let says_nothing = kind.is_integer() || kind.is_floating() || kind.is_null();
        self.reads(field.name()) || (self.notes_others && !says_nothing && *kind != DataType::Boolean)
    }
}

/// Whether the value in a row holds something.
pub(super) type Holds<'a> = Box<dyn FnMut(usize) -> bool + 'a>;

/// Whether the values of a column hold something, as the JSON that would be written of them.
pub(super) fn holds<'a>(field: &'a FieldRef, column: &'a ArrayRef, options: &'a EncoderOptions) -> Holds<'a> {
    let mut holds = holds_if_valid(field, column, options);
    Box::new(move |row| column.is_valid(row) && holds(row))
}

fn holds_if_valid<'a>(field: &'a FieldRef, column: &'a ArrayRef, options: &'a EncoderOptions) -> Holds<'a> {
    match column.data_type() {
        DataType::Utf8 if is_json(field) => {
            Box::new(|row| holds_something(column.as_string::<i32>().value(row).trim()))
        }
        DataType::LargeUtf8 if is_json(field) => {
            Box::new(|row| holds_something(column.as_string::<i64>().value(row).trim()))
        }
        DataType::Utf8View if is_json(field) => {
            Box::new(|row| holds_something(column.as_string_view().value(row).trim()))
        }
        DataType::Utf8 => Box::new(|row| column.as_string::<i32>().value_length(row) > 0),
        DataType::LargeUtf8 => Box::new(|row| column.as_string::<i64>().value_length(row) > 0),
        DataType::Utf8View => Box::new(|row| !column.as_string_view().value(row).is_empty()),
        DataType::Binary => Box::new(|row| column.as_binary::<i32>().value_length(row) > 0),
        DataType::LargeBinary => Box::new(|row| column.as_binary::<i64>().value_length(row) > 0),
        DataType::BinaryView => Box::new(|row| !column.as_binary_view().value(row).is_empty()),
        DataType::FixedSizeBinary(size) => Box::new(|_| *size > 0),
        DataType::List(_) => Box::new(|row| column.as_list::<i32>().value_length(row) > 0),
        DataType::LargeList(_) => Box::new(|row| column.as_list::<i64>().value_length(row) > 0),
        DataType::FixedSizeList(_, size) => Box::new(|_| *size > 0),
        DataType::Map(..) => Box::new(|row| column.as_map().value_length(row) > 0),
        // Keys that are null inside of a struct are left out.
        DataType::Struct(_) => Box::new(|row| {
            let mut inner = column.as_struct().columns().iter();
            inner.any(|inner| inner.is_valid(row) && !inner.data_type().is_null())
        }),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let keys = dictionary.normalized_keys();
            let mut inner = holds(field, dictionary.values(), options);
            Box::new(move |row| keys.get(row).is_some_and(|&key| inner(key)))
        }
        _ => match encoded(field, column, options) {
            Ok(holds) => holds,
            // A type without JSON: it is told, but not what it is.
            Err(_) => Box::new(|_| true),
        },
    }
}

/// By the JSON itself, for types that are rare.
fn encoded<'a>(
    field: &'a FieldRef,
    column: &'a ArrayRef,
    options: &'a EncoderOptions,
) -> Result<Holds<'a>, ArrowError> {
    let mut encoder = make_encoder(field, column, options)?;
    let mut value = Vec::new();
    Ok(Box::new(move |row| {
        value.clear();
        encoder.encode(row, &mut value);
        std::str::from_utf8(&value).is_ok_and(holds_something)
    }))
}

pub(super) fn is_json(field: &FieldRef) -> bool {
    field.metadata().get(EXTENSION).is_some_and(|name| name == "arrow.json")
}
