//! Options of `shard` and `prepare`. Same names as in Python and on the command line.

use std::collections::BTreeMap;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use super::cutter::{SPLIT_NAMES, Splits};
use super::shuffle::BUCKET_FOLDER;
use crate::error::{Error, Result};
use crate::formats::jsonl_shards::LineEncoder;
use crate::io::compression::Compression;
use crate::pipeline::folder::books::{OnBadRecord, QUARANTINE_NAME};
use crate::pipeline::folder::names::{NumberedName, OutputNames};
use crate::sources::inputs::InputList;
use crate::stages::RecordSource;
use crate::templates::chat_template::TemplateOptions;

/// Options of `shard`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches, named as in Python")]
pub struct ShardConfig {
    /// Lines in a shard; only the last one of a split is shorter.
    pub max_lines: u64,
    /// Decompressed bytes in a shard at most.
    pub max_bytes: Option<u64>,
    /// `zstd`, `gzip` or `none`.
    pub compression: Compression,
    /// Compression level.
    pub level: i32,
    /// First part of shard names.
    pub prefix: String,
    /// Digits of the number in a shard's name, at least.
    pub digits: usize,
    /// Number of the first shard.
    pub first_index: u64,
    /// Key under which the lines of `.txt` inputs are stored; `None` copies lines as they are, blank ones too.
    pub text_field: Option<String>,
    /// Whether every line must be a JSON object.
    pub validate: bool,
    /// Whether a line may hold NaN, Infinity and -Infinity, as Python's `json` writes them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_nan: bool,
    /// Key of the list of records in JSON files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<String>,
    /// What to do with a line that is not.
    pub on_bad_record: OnBadRecord,
    /// Whether to shuffle all lines.
    pub shuffle: bool,
    /// Seed of the shuffle and of splits by ratio.
    pub seed: u64,
    /// Train, dev and test.
    pub splits: Option<Splits>,
    /// Whether lines are only counted, for the parts behind.
    #[serde(default, skip_serializing_if = "is_false")]
    pub counting: bool,
    /// What `prepare` makes of records; `shard` copies them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<PrepareConfig>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl ShardConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the option.
    pub fn validate(&self) -> Result<()> {
        if self.max_lines == 0 || self.max_bytes == Some(0) {
            return Err(Error::config("max_lines", "a shard must hold at least one line and one byte"));
        }
        if self.prefix.is_empty() || self.prefix.contains('/') || self.prefix.starts_with('.') {
            return Err(Error::config(
                "prefix",
                format!("{:?} does not begin the name of a visible file", self.prefix),
            ));
        }
        if !(1..=18).contains(&self.digits) {
            return Err(Error::config("digits", format!("{} is outside 1 to 18", self.digits)));
        }
        LineEncoder::new(self.compression, self.level)?;
        self.splits.as_ref().map_or(Ok(()), Splits::validate)
    }

    /// Names of the files that a run with these options writes.
    pub fn names(&self) -> OutputNames {
        let after = format!(".jsonl{}", self.compression.suffix());
        let numbered =
            |folder: &str| NumberedName { before: format!("{folder}{}-", self.prefix), after: after.clone() };
        let mut names = OutputNames { last: vec![QUARANTINE_NAME.into()], ..OutputNames::default() };
        match &self.splits {
            None => names.numbered.push(numbered("")),
            Some(Splits::Files(files)) => {
                let suffix = self.compression.suffix();
                names.scratch.extend(files.iter().map(|name| format!("{name}{suffix}")));
            }
            Some(_) => names.numbered.extend(SPLIT_NAMES.map(|split| numbered(&format!("{split}/")))),
        }
        if self.shuffle {
            names.folders.push(BUCKET_FOLDER.to_owned());
        }
        names
    }
}

/// The form of the lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// Conversations as messages, texts as text.
    Auto,
    /// `{"messages": [{"role": …, "content": …}, …]}`.
    Messages,
    /// `{"prompt": …, "completion": …}`, or a list of them for several turns.
    PromptCompletion,
    /// `{"prompt": "", "completion": text}` with the rendered text, as `BLOOMChat` has it.
    Completion,
    /// `{"text": text}` with the rendered text.
    Text,
}

/// Which records of an input are taken when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// The first ones.
    Head,
    /// Any, each with the same chance, decided by the seed.
    Reservoir,
}

/// Options of `prepare`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareConfig {
    /// Where the records come from, with its options.
    pub source: RecordSource,
    /// The form of the lines.
    pub style: Style,
    /// How conversations become text, for styles that hold text.
    pub template: Option<TemplateOptions>,
    /// Whether all but ASCII is escaped.
    pub ensure_ascii: bool,
    /// Records taken of each input at most.
    pub max_rows_per_input: Option<u64>,
    /// Which ones.
    pub sampling: Sampling,
    /// How often the lines of an input are written: pattern of its file name → times.
    pub repeat: BTreeMap<String, u64>,
    /// Inputs that were named and are not there.
    pub missing_inputs: Vec<String>,
}

impl PrepareConfig {
    /// Whether the fate of a record depends on others of its file.
    pub fn reads_whole_files(&self) -> bool {
        self.source.trees().is_some() || self.max_rows_per_input.is_some()
    }

    /// How often the lines of each input are written.
    ///
    /// # Errors
    /// An invalid pattern, or one that fits no input, of any part.
    pub fn repeats(&self, list: &InputList) -> Result<Vec<u64>> {
        let (mut inputs, mut first) = (list.inputs.iter().collect::<Vec<_>>(), 0);
        if let Some(part) = &list.part {
            (inputs, first) = (part.shared.iter().map(|shared| &shared.input).collect(), part.first_input);
        }
        let mut times = vec![1; inputs.len()];
        for (pattern, &count) in &self.repeat {
            let matcher = glob(pattern)?;
            let mut fits = false;
            for (times, input) in times.iter_mut().zip(&inputs) {
                if input.path.file_name().is_some_and(|name| matcher.is_match(name)) {
                    *times = count;
                    fits = true;
                }
            }
            let names = self.missing_inputs.iter().filter_map(|path| Path::new(path).file_name());
            fits |= names.into_iter().any(|name| matcher.is_match(name));
            if !fits {
                return Err(Error::config(
                    "repeat",
                    format!("expected the name of an input, got {pattern:?}"),
                ));
            }
        }
        Ok(times.into_iter().skip(first).take(list.inputs.len()).collect())
    }
}

fn glob(pattern: &str) -> Result<GlobMatcher> {
    let glob =
        GlobBuilder::new(pattern).build().map_err(|error| Error::config("repeat", error.to_string()))?;
    Ok(glob.compile_matcher())
}
