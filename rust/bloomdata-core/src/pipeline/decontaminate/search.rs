//! What is looked for, read and made ready.

use std::path::Path;

use serde_json::{Value, json};

use super::evaluations::Evaluations;
use super::options::DecontaminateConfig;
use crate::decontaminate::table::NgramTable;
use crate::error::{Error, Result};
use crate::json_fields::FieldPath;
use crate::pipeline::dedup::options::check_memory;
use crate::pipeline::folder::run::CustomReader;
use crate::pipeline::scratch::refuse_tables;
use crate::progress::Progress;
use crate::sources::inputs::InputList;

/// Rows and their n-grams, and where the text of a record is.
#[derive(Debug)]
pub struct Search<'run> {
    /// What is asked for.
    pub config: &'run DecontaminateConfig,
    /// The rows.
    pub evaluations: Evaluations,
    /// Their n-grams.
    pub table: NgramTable,
    /// Where the text of a record is.
    pub field: FieldPath,
}

impl<'run> Search<'run> {
    /// Reads the rows. Files below `output` are none of them.
    ///
    /// # Errors
    /// Options or inputs that cannot work, evaluations without rows, or more of them than the memory holds.
    pub fn read(
        config: &'run DecontaminateConfig,
        memory_limit: u64,
        (inputs, evaluations): (&InputList, &[String]),
        output: &Path,
        custom: &CustomReader<'_>,
        progress: &Progress,
    ) -> Result<Self> {
        config.validate()?;
        check_memory(memory_limit)?;
        refuse_tables("inputs", inputs)?;
        let mut evaluations = Evaluations::read(evaluations, output, custom, progress)?;
        evaluations.texts.retain(|text| config.looks_for(text.part));
        let table = NgramTable::build(&evaluations.texts, config.ngram)?;
        let needed = table.bytes() + evaluations.bytes();
        if needed > memory_limit {
            let reason = format!("expected {needed} bytes or more for these evaluations, got {memory_limit}");
            return Err(Error::config("memory_limit", reason));
        }
        Ok(Self { config, evaluations, table, field: config.field()? })
    }

    /// All that decides what is written.
    ///
    /// # Errors
    /// Never, for what we hold.
    pub fn to_value(&self) -> Result<Value> {
        let mut value =
            serde_json::to_value(self.config).map_err(|error| Error::Internal(error.to_string()))?;
        let sets = self.evaluations.sets.iter();
        value["evaluations"] = sets.map(|set| json!({"path": set.path, "hash": set.hash})).collect();
        Ok(value)
    }
}
