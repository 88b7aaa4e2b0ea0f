//! JSON as template values: keys in order, whole numbers exact.

use std::cell::Cell;
use std::fmt;

use minijinja::value::Value;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Floats beyond this may be whole numbers that do not fit 64 bits.
const WHOLE: f64 = 9e18;

/// Parses JSON to a template value.
///
/// # Errors
/// Malformed JSON, or a whole number that does not fit 64 bits, which would be rounded.
pub fn value_of(json: &str) -> Result<Value, serde_json::Error> {
    let is_large = Cell::new(false);
    let mut parser = serde_json::Deserializer::from_str(json);
    let value = Seed(&is_large).deserialize(&mut parser)?;
    parser.end()?;
    if is_large.get() && has_long_number(json) {
        return Err(serde_json::Error::custom("a whole number does not fit 64 bits"));
    }
    Ok(value)
}

/// Whether there is a number of 19 digits or more, without a dot or an exponent, that does not fit 64 bits.
fn has_long_number(json: &str) -> bool {
    // Outside strings: every other part between quotes, after removing escapes.
    let plain = json.replace("\\\\", "").replace("\\\"", "");
    plain.split('"').step_by(2).any(|part| {
        part.split([',', ':', '[', ']', '{', '}', ' ', '\n', '\r', '\t']).any(|word| {
            let digits = word.strip_prefix('-').unwrap_or(word);
            digits.len() > 18
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && word.parse::<u64>().is_err()
                && word.parse::<i64>().is_err()
        })
    })
}

struct Seed<'run>(&'run Cell<bool>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Value, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        self.0.set(self.0.get() || value.abs() > WHOLE);
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(().into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Seed(self.0))? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        while let Some(key) = map.next_key_seed(Seed(self.0))? {
            pairs.push((key, map.next_value_seed(Seed(self.0))?));
        }
        Ok(Value::from_pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_whole_or_are_refused() {
        for json in
            ["18446744073709551615", "-9223372036854775808", "1e22", "[1e300, \"99999999999999999999\"]"]
        {
            assert!(value_of(json).is_ok(), "{json}");
        }
        for json in [
            "18446744073709551616",
            "[\"\\\\\", -9223372036854775809]",
            "{\"a\": [1, 1000000000000000000000 ]}",
        ] {
            assert!(value_of(json).is_err(), "{json}");
        }
    }
}
