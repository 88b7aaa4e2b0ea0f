//! What a verb reads, from the values that Python gives.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use bloomdata_core::pipeline::folder::plan::{part_folder, part_prefix};
use bloomdata_core::pipeline::folder::run::{RunOptions, RunResult};
use bloomdata_core::progress::Progress;
use bloomdata_core::sources::Input;
use bloomdata_core::sources::columns::Columns;
use bloomdata_core::sources::duplicates::{refuse_derived, refuse_duplicates};
use bloomdata_core::sources::expand::{expand, expand_once};
use bloomdata_core::sources::inputs::InputList;
use bloomdata_core::sources::parts::Sharing;
use bloomdata_core::sources::remote::{begin, list_objects};
use bloomdata_core::sources::tables::{Table, TableReader};
use bloomdata_core::{Error, Result};
use pyo3::prelude::*;

use crate::store::{PythonObjects, PythonStore, Readers, objects};
use crate::streams::Raised;

/// Files, folders and patterns, whether one content may be there under two names, the part that is read, and objects of
/// a store in place of files.
pub(crate) type PythonInputs = (Vec<String>, bool, Option<PythonPart>, Option<PythonObjects>);

/// Number of the part, number of parts, least content of a unit in bytes.
pub(crate) type PythonPart = (u64, u64, u64);

/// The output of a part is a folder in that of the run, and its files have its number. The output of the run.
pub(crate) fn enter_part(
    (_, _, part, _): &PythonInputs,
    options: &mut RunOptions,
    prefix: &mut String,
    counting: bool,
) -> PathBuf {
    if let Some((number, ..)) = part {
        *prefix = part_prefix(prefix, *number);
    }
    enter_folder(*part, options, counting)
}

/// The same for files that the core names.
pub(crate) fn enter_folder(part: Option<PythonPart>, options: &mut RunOptions, counting: bool) -> PathBuf {
    let root = options.output.clone();
    if let Some((number, parts, _)) = part {
        options.output = part_folder(&root, number, parts);
    }
    // Nor does it read what else is there of the run that it counts for.
    root.parent().filter(|_| counting).map_or(root.clone(), Path::to_owned)
}

/// What a verb writes, and where: what lies there is no input.
#[derive(Clone, Copy)]
pub(crate) enum Output<'run> {
    Nothing,
    Counts(&'run Path),
    Data(&'run Path),
}

impl<'run> Output<'run> {
    fn folder(self) -> Option<&'run Path> {
        match self {
            Self::Nothing => None,
            Self::Counts(folder) | Self::Data(folder) => Some(folder),
        }
    }
}

/// Lists everything that will be read. Parts cut files, unless `whole_files`.
pub(crate) fn list_inputs(
    (inputs, allow_duplicates, part, stored): &PythonInputs,
    whole_files: bool,
    output: Output<'_>,
    streams: Vec<Table>,
    columns: Columns,
    records: Option<&str>,
    (raised, progress): (&Raised, &Progress),
) -> Result<(InputList, Readers)> {
    let mut list = if let Some((given, ..)) = stored {
        list_objects(objects(given))?
    } else if inputs.is_empty() && !streams.is_empty() {
        InputList::default()
    } else {
        expand_once(inputs, output.folder())?
    };
    list.set_records(records)?;
    if !allow_duplicates {
        refuse_duplicates(&list, progress)?;
        // Numbers of both may be wanted, to compare them.
        if matches!(output, Output::Data(_)) {
            refuse_derived(&list)?;
        }
    }
    if let Some((number, parts, unit_bytes)) = *part {
        if !streams.is_empty() {
            return Err(Error::config("parts", "a table in memory has no parts; `shard` it first"));
        }
        list.restrict(number, Sharing { parts, unit_bytes, whole_files })?;
    }
    let store = stored.as_ref().map(|(_, folder, object)| {
        let store = Python::attach(|py| PythonStore { object: object.clone_ref(py), raised: raised.clone() });
        begin(&store, &mut list.inputs, folder).map(|()| store)
    });
    let store = store.transpose()?;
    let (list, tables) = with_tables(list, (streams, columns), progress)?;
    Ok((list, Readers { tables, store }))
}

/// Lists files for a verb that reads them more than once: those of a part, or all of them.
pub(crate) fn list_for_rereading(
    (inputs, allow_duplicates): (&[String], bool),
    output: &Path,
    (part, whole_files): (Option<PythonPart>, bool),
    progress: &Progress,
) -> Result<(InputList, TableReader)> {
    let mut list = expand(inputs, Some(output))?;
    if !allow_duplicates {
        refuse_duplicates(&list, progress)?;
    }
    if let Some((number, parts, unit_bytes)) = part {
        list.restrict(number, Sharing { parts, unit_bytes, whole_files })?;
    }
    with_tables(list, (Vec::new(), Columns::default()), progress)
}

/// Adds tables in memory, of which these columns are read, to the files that will be read.
fn with_tables(
    mut list: InputList,
    (streams, columns): (Vec<Table>, Columns),
    progress: &Progress,
) -> Result<(InputList, TableReader)> {
    progress.total_bytes.store(list.inputs.iter().map(Input::stored_bytes).sum(), Relaxed);
    let tables = TableReader::new(&mut list.inputs, streams, columns, progress)?;
    Ok((list, tables))
}

/// A folder that was finished before answers for a stream only if that has the same rows.
pub(crate) fn check_streams(
    result: &RunResult,
    inputs: &InputList,
    tables: &TableReader,
    progress: &Progress,
) -> Result<()> {
    if !result.was_finished {
        return Ok(());
    }
    let hashes: Vec<&str> = result.manifest.inputs.iter().map(|input| &*input.hash).collect();
    tables.check_unread(&inputs.inputs, &hashes, progress)
}
