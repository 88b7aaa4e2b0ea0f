//! The columns of tables that a verb reads, and what becomes of the others.
//!
//! A column of a file that is not read is not decoded either, which would cost more than the text. In the records a text
//! stands in place of its values, so that such columns are counted as keys of JSON are: in every record, whatever it holds.

use arrow_schema::{DataType, Schema};

/// What stands in a record for the value of a column that is not read.
const STANDIN: &str = "\"...\"";

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

    /// And records tell which others there are.
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

    /// What each record tells of the columns that are not read: `,"title":"..."`. Numbers, truth values and nulls carry no
    /// text.
    pub(super) fn others(&self, schema: &Schema) -> Vec<u8> {
        let mut others = Vec::new();
        for field in schema.fields().iter().filter(|field| self.notes_others && !self.reads(field.name())) {
            let kind = field.data_type();
            let says_nothing = kind.is_numeric() || kind.is_null();
            if !says_nothing && *kind != DataType::Boolean {
                let key = serde_json::Value::from(field.name().as_str());
                others.extend_from_slice(format!(",{key}:{STANDIN}").as_bytes());
            }
        }
        others
    }
}
