//! Values of tables as JSON, where Arrow's own writer would change them.
//!
//! - NaN and the infinities are written as Python's `json` writes them. JSON has no such numbers, so the row is a bad
//!   record if the value is read, as a line of a file with `NaN` is; Arrow's writer would make nulls of them.
//! - Numbers of 16 and 32 bits are written with all digits that they have as one of 64 bits, which is what a reader makes
//!   of them; Arrow's writer gives as many digits as tell them from others of 32 bits.
//! - A struct has the keys of all rows, so absent and null cannot be told apart: a key that is null inside of a struct
//!   is left out. Columns themselves, elements of lists and values of maps stay null.
//! - Strings of the extension type `arrow.json` (the type `Json` of `datasets`) are values, and are written as such.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::ArrowNativeType;
use arrow_json::writer::{NullableEncoder, make_encoder};
use arrow_json::{Encoder, EncoderFactory, EncoderOptions};
use arrow_schema::{ArrowError, DataType, FieldRef};
use serde_json::value::RawValue;

/// Metadata of a field that names its extension type.
const EXTENSION: &str = "ARROW:extension:name";

static STRUCTS: LazyLock<EncoderOptions> =
    LazyLock::new(|| EncoderOptions::default().with_encoder_factory(Arc::new(Cells)));
static MAPS: LazyLock<EncoderOptions> = LazyLock::new(|| STRUCTS.clone().with_explicit_nulls(true));
static PLAIN: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);

/// The rows of a batch, one after the other without line ends, and where each ends.
/// `others` is what each row tells besides.
pub(super) fn write_rows(batch: &RecordBatch, others: &[u8]) -> Result<(Vec<u8>, Vec<usize>), ArrowError> {
    let schema = batch.schema_ref();
    let fields = schema.fields().iter().zip(batch.columns());
    let mut columns = fields
        .map(|(field, column)| {
            let key = serde_json::to_string(field.name())
                .map_err(|error| ArrowError::JsonError(error.to_string()))?;
            Ok((key, make_encoder(field, column, &STRUCTS)?))
        })
        .collect::<Result<Vec<_>, ArrowError>>()?;
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(batch.num_rows()));
    for row in 0..batch.num_rows() {
        bytes.push(b'{');
        for (at, (key, column)) in columns.iter_mut().enumerate() {
            if at > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(key.as_bytes());
            bytes.push(b':');
            if column.is_null(row) {
                bytes.extend_from_slice(b"null");
            } else {
                column.encode(row, &mut bytes);
            }
        }
        bytes.extend_from_slice(others);
        bytes.push(b'}');
        ends.push(bytes.len());
    }
    Ok((bytes, ends))
}

/// Encoders for what Arrow's own would change.
#[derive(Debug)]
struct Cells;

impl EncoderFactory for Cells {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let is_json = || self::is_json(field);
        let encoder: Option<Box<dyn Encoder + 'a>> = match array.data_type() {
            DataType::Struct(_) if options.explicit_nulls() => {
                return make_encoder(field, array, &STRUCTS).map(Some);
            }
            DataType::Map(..) if !options.explicit_nulls() => {
                return make_encoder(field, array, &MAPS).map(Some);
            }
            DataType::Float16 => {
                let values = array.as_primitive::<Float16Type>();
                Some(Box::new(Floats { value: |row| f64::from(values.value(row).to_f32()), finite: None }))
            }
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>();
                Some(Box::new(Floats { value: |row| f64::from(values.value(row)), finite: None }))
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>();
                if values.values().iter().all(|value| value.is_finite()) {
                    return Ok(None);
                }
                let finite = Some(make_encoder(field, array, &PLAIN)?);
                Some(Box::new(Floats { value: |row| values.value(row), finite }))
            }
            // Arrow's own encoders of lists hand on their own field in place of that of their elements.
            DataType::List(inner) if self::is_json(inner) => {
                let lists = array.as_list::<i32>();
                Some(elements(inner, lists.values(), |row| lists.value_offsets()[row].as_usize())?)
            }
            DataType::LargeList(inner) if self::is_json(inner) => {
                let lists = array.as_list::<i64>();
                Some(elements(inner, lists.values(), |row| lists.value_offsets()[row].as_usize())?)
            }
            DataType::FixedSizeList(inner, _) if self::is_json(inner) => {
                let lists = array.as_fixed_size_list();
                Some(elements(inner, lists.values(), |row| row * lists.value_length().as_usize())?)
            }
            DataType::Utf8 if is_json() => {
                let texts = array.as_string::<i32>();
                Some(Box::new(Values(|row| texts.value(row))))
            }
            DataType::LargeUtf8 if is_json() => {
                let texts = array.as_string::<i64>();
                Some(Box::new(Values(|row| texts.value(row))))
            }
            DataType::Utf8View if is_json() => {
                let texts = array.as_string_view();
                Some(Box::new(Values(|row| texts.value(row))))
            }
            _ => None,
        };
        Ok(encoder.map(|encoder| NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

/// Numbers of which some may not be finite, and numbers of fewer bits than a reader of JSON gives them.
struct Floats<'a, F> {
    value: F,
    /// Arrow's encoder, if it is exact for finite numbers.
    finite: Option<NullableEncoder<'a>>,
}

impl<F: Fn(usize) -> f64> Encoder for Floats<'_, F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = (self.value)(row);
        let word: &[u8] = match (&mut self.finite, value) {
            (Some(finite), _) if value.is_finite() => return finite.encode(row, out),
            (None, _) if value.is_finite() => {
                return out.extend(serde_json::to_string(&value).unwrap_or_default().into_bytes());
            }
            _ if value.is_nan() => b"NaN",
            _ if value > 0.0 => b"Infinity",
            _ => b"-Infinity",
        };
        out.extend_from_slice(word);
    }
}

fn is_json(field: &FieldRef) -> bool {
    field.metadata().get(EXTENSION).is_some_and(|name| name == "arrow.json")
}

/// An encoder for lists; `start` says where the elements of a row begin, which is where those of the row before end.
fn elements<'a>(
    field: &'a FieldRef,
    values: &'a ArrayRef,
    start: impl Fn(usize) -> usize + 'a,
) -> Result<Box<dyn Encoder + 'a>, ArrowError> {
    Ok(Box::new(Elements { start, values: make_encoder(field, values, &STRUCTS)? }))
}

/// Lists of values that are JSON.
struct Elements<'a, F> {
    start: F,
    values: NullableEncoder<'a>,
}

impl<F: Fn(usize) -> usize> Encoder for Elements<'_, F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let (start, end) = ((self.start)(row), (self.start)(row + 1));
        out.push(b'[');
        for at in start..end {
            if at > start {
                out.push(b',');
            }
            if self.values.is_null(at) {
                out.extend_from_slice(b"null");
            } else {
                self.values.encode(at, out);
            }
        }
        out.push(b']');
    }
}

/// Texts that are JSON.
struct Values<F>(F);

impl<'a, F: Fn(usize) -> &'a str> Encoder for Values<F> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = (self.0)(row).trim_ascii();
        if serde_json::from_str::<&RawValue>(text).is_ok() {
            // A line end in JSON is white space; in a record it would be the record's end.
            out.extend(text.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
        } else {
            // No JSON either way, so that the record is a bad one; quoted, so that it cannot reach into its neighbours.
            out.push(b'!');
            out.extend(serde_json::to_string(text).unwrap_or_default().into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {

    use arrow_array::builder::{Float64Builder, MapBuilder, StringBuilder};
    use arrow_array::{Float32Array, StringArray, StructArray};
    use arrow_schema::{Field, Schema};

    use super::*;

    fn rows(columns: Vec<(FieldRef, ArrayRef)>) -> Vec<String> {
        let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let (bytes, ends) = write_rows(&batch, b"").unwrap();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts
            .zip(&ends)
            .map(|(start, end)| String::from_utf8(bytes[start..*end].to_vec()).unwrap())
            .collect()
    }

    fn field(name: &str, column: &ArrayRef) -> FieldRef {
        Arc::new(Field::new(name, column.data_type().clone(), true))
    }

    #[test]
    fn numbers_that_json_lacks_are_not_nulls() {
        let found: ArrayRef =
            Arc::new(Float32Array::from(vec![Some(0.5), None, Some(f32::NAN), Some(f32::NEG_INFINITY)]));
        let expected = [r#"{"a":0.5}"#, r#"{"a":null}"#, r#"{"a":NaN}"#, r#"{"a":-Infinity}"#];
        assert_eq!(rows(vec![(field("a", &found), found)]), expected);
    }

    #[test]
    fn null_keys_of_structs_are_left_out_and_those_of_maps_and_columns_stay() {
        let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None]));
        let outer: ArrayRef = Arc::new(StructArray::from(vec![(field("b", &inner), inner)]));
        let mut map = MapBuilder::new(None, StringBuilder::new(), Float64Builder::new());
        map.keys().append_value("k");
        map.values().append_null();
        map.append(true).unwrap();
        map.append(false).unwrap();
        let map: ArrayRef = Arc::new(map.finish());
        let expected = [r#"{"a":{"b":"x"},"m":{"k":null}}"#, r#"{"a":{},"m":null}"#];
        assert_eq!(rows(vec![(field("a", &outer), outer), (field("m", &map), map)]), expected);
    }

    #[test]
    #[allow(clippy::disallowed_types, reason = "Arrow takes its metadata so")]
    fn json_is_written_as_what_it_is_and_cannot_reach_into_its_neighbours() {
        let texts = ["{\n\"a\": [1, \"\\n\"]}", "\"s\"", "1,\"c\":2", "", "\r\nnull\r\n"];
        let found: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let metadata = std::collections::HashMap::from([(EXTENSION.to_owned(), "arrow.json".to_owned())]);
        let field = Arc::new(Field::new("j", DataType::Utf8, true).with_metadata(metadata));
        let expected = [
            "{\"j\":{ \"a\": [1, \"\\n\"]}}",
            "{\"j\":\"s\"}",
            "{\"j\":!\"1,\\\"c\\\":2\"}",
            "{\"j\":!\"\"}",
            "{\"j\":null}",
        ];
        assert_eq!(rows(vec![(field, found)]), expected);
    }
}
