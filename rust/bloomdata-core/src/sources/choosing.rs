//! Which files of one folder or pattern are data.
//!
//! Formats that stand together are decided once: text beside records, in one folder or above them, is what people write
//! about data. Text in a folder of its own is data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::input::{Format, Input, SUPPORTED};
use super::inputs::{Ignored, InputList, Reason};
use crate::error::{Error, Result};

/// How many files an error names.
const MAX_NAMED: usize = 5;

/// Appends what of `found` is data to `list`.
///
/// # Errors
/// More files of text than `.json` files beside them, which may be either.
pub(super) fn take_records(found: Vec<Input>, list: &mut InputList) -> Result<()> {
    if list.inputs.is_empty() && found.iter().all(|input| input.format.is_records()) {
        // A million inputs are not copied.
        list.inputs = found;
        return Ok(());
    }
    let mut with_records: BTreeSet<PathBuf> = BTreeSet::new();
    for input in found.iter().filter(|input| input.format.is_records()) {
        with_records.extend(input.path.ancestors().skip(1).map(Path::to_owned));
    }
    let is_aside = |input: &Input| {
        !input.format.is_records() && input.path.parent().is_some_and(|folder| with_records.contains(folder))
    };
    let (aside, data): (Vec<Input>, Vec<Input>) = found.into_iter().partition(is_aside);
    if let (Some(text), Some(json)) = (aside.first(), data.iter().find(|input| input.format.is_records()))
        && data.iter().all(|input| matches!(input.format, Format::Json | Format::Text))
        && aside.len() > data.iter().filter(|input| input.format == Format::Json).count()
    {
        let reason = format!(
            "{} files of text such as {} stand beside .json files such as {}: name those that are data, with a pattern \
             such as '*.txt' or '*.json'",
            aside.len(),
            text.path.display(),
            json.path.display()
        );
        return Err(Error::config("inputs", reason));
    }
    list.inputs.extend(data);
    for input in aside {
        list.ignore(input.path, Reason::TextBesideRecords);
    }
    Ok(())
}

/// The error for a folder or a pattern that holds no data; `ignored` is what it holds.
pub(super) fn nothing_found(what: &str, ignored: &[Ignored]) -> Error {
    let named: Vec<String> = ignored
        .iter()
        .take(MAX_NAMED)
        .map(|Ignored { path, reason }| format!("{} ({})", path.display(), reason.name()))
        .collect();
    let reason = match ignored.len() - named.len() {
        _ if named.is_empty() => format!("{what} ({SUPPORTED})"),
        more => {
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = named.join(", ");
            format!(
                "{what} ({SUPPORTED}); not read: {named}{more}; a file that is named itself is always read"
            )
        }
    };
    Error::config("inputs", reason)
}
