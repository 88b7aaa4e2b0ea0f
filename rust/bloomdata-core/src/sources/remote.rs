//! Inputs in a store that is not this machine's: what is read of them is first brought to a local file.
//!
//! The local file has the size of the whole one, with holes where nothing was brought, so that all offsets are those of
//! the input and nobody who reads it knows the difference.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::folders::is_bookkeeping;
use super::input::{Input, named, natural_order, unsupported};
use super::inputs::{InputList, Reason};
use super::metadata_names::is_metadata;
use super::place::Place;
use super::read::{PieceSender, read_input_from};
use super::tables::TableReader;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// What the parts of a run agree on.
const PLAN_NAME: &str = "plan.json";

/// An object in a store, as the caller lists it.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its address, such as `s3://bucket/a.jsonl`.
    pub address: String,
    /// Bytes.
    pub size: u64,
    /// Changes with its content: an `ETag`, or the time of its last change.
    pub tag: String,
    /// Its last bytes, with the seek table if it is a file of zstd frames that has one, or with the footer of a Parquet
    /// file. Empty for one that is not cut.
    pub end: Vec<u8>,
    /// The argument that it comes from.
    pub argument: usize,
    /// Whether the argument is its own address.
    pub is_named: bool,
}

/// What is brought of an input.
#[derive(Debug, Clone)]
pub struct Share {
    /// Address of the object.
    pub address: String,
    /// Bytes of the whole object.
    pub size: u64,
    /// The bytes that are brought, from and to.
    pub range: [u64; 2],
    /// The local file.
    pub local: PathBuf,
}

/// Brings bytes of objects to local files.
pub trait Store: Send + Sync {
    /// Told once what will be read, in order.
    ///
    /// # Errors
    /// What the store reports.
    fn begin(&self, shares: Vec<Share>) -> Result<()>;

    /// Waits a moment for share number `file`; whether it is there.
    ///
    /// # Errors
    /// What the store reports, also of earlier shares.
    fn is_there(&self, file: usize) -> Result<bool>;

    /// Brings what follows the share, up to byte `end` of the object.
    ///
    /// # Errors
    /// What the store reports.
    fn extend(&self, file: usize, end: u64) -> Result<()>;

    /// The local file is not needed any more.
    ///
    /// # Errors
    /// What the store reports.
    fn release(&self, file: usize) -> Result<()>;
}

/// Makes a list of objects. Those of a pattern or a folder are in natural order, and only what is data by its name.
///
/// # Errors
/// An object of unknown format that is named directly, none that is data, or a run in parts that is not finished.
pub fn list_objects(mut objects: Vec<Object>) -> Result<InputList> {
    objects.sort_by(|a, b| {
        a.argument.cmp(&b.argument).then_with(|| natural_order(Path::new(&a.address), Path::new(&b.address)))
    });
    let mut list = InputList::default();
    let finished = check_parts(&objects)?;
    for object in objects {
        let path = PathBuf::from(&object.address);
        let name = object.address.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let Some((format, compression)) = named(&name) else {
            if object.is_named {
                return Err(unsupported(&path));
            }
            list.ignore(path, Reason::UnknownFormat);
            continue;
        };
        let reason = if name.starts_with('.') || name.starts_with('_') {
            Some(Reason::Hidden)
        } else if is_bookkeeping(&path)
            || (name == PLAN_NAME && path.parent().is_some_and(|folder| finished.contains(folder)))
        {
            Some(Reason::Books)
        } else {
            is_metadata(&path).then_some(Reason::Metadata)
        };
        if let Some(reason) = reason.filter(|_| !object.is_named) {
            list.ignore(path, reason);
            continue;
        }
        let (size, tag) = (object.size, Some(object.tag.into()));
        list.inputs.push(Input { format, compression, size, tag, ..Input::bare(path) });
        list.patterns.push(object.argument);
        list.ends.push(object.end);
    }
    if list.inputs.is_empty() {
        return Err(Error::config("inputs", "none of the objects holds data, by their names"));
    }
    Ok(list)
}

/// Refuses the parts of a run that is not finished; the folders that have a manifest.
fn check_parts(objects: &[Object]) -> Result<BTreeSet<PathBuf>> {
    let folder_of = |object: &Object, name: &str| {
        let path = Path::new(&object.address);
        path.ends_with(name).then(|| path.parent().unwrap_or(path).to_owned())
    };
    let finished: BTreeSet<PathBuf> =
        objects.iter().filter_map(|object| folder_of(object, "manifest.json")).collect();
    let is_part_of = |object: &Object, folder: &Path| {
        let inner =
            Path::new(&object.address).strip_prefix(folder).ok().and_then(|inner| inner.iter().next());
        inner
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("part-") && name.contains("-of-"))
    };
    for folder in objects.iter().filter_map(|object| folder_of(object, PLAN_NAME)) {
        if !finished.contains(&folder) && objects.iter().any(|object| is_part_of(object, &folder)) {
            let what = "the output of a run in parts that was not finished (bloomdata-cli finish)";
            return Err(Error::config("inputs", format!("{} is {what}", folder.display())));
        }
    }
    Ok(finished)
}

/// Tells `store` what will be read, and where the inputs will lie.
///
/// # Errors
/// What the store reports.
pub fn begin(store: &dyn Store, inputs: &mut [Input], folder: &Path) -> Result<()> {
    let mut shares = Vec::with_capacity(inputs.len());
    for (at, input) in inputs.iter_mut().enumerate() {
        let local = folder.join(format!("{at:08}"));
        input.place = Place(Some(local.clone()));
        shares.push(Share {
            address: input.path.to_string_lossy().into_owned(),
            size: input.size,
            range: input.range().map_or([0, input.size], |range| range.stored),
            local,
        });
    }
    store.begin(shares)
}

/// Waits until share number `file` is there.
///
/// # Errors
/// What the store reports; an interrupted run.
pub fn wait_for(store: &dyn Store, file: usize, progress: &Progress) -> Result<()> {
    while !store.is_there(file)? {
        progress.check()?;
    }
    Ok(())
}

/// Reads input number `file` once it is there, from offset `start` of its content on.
///
/// # Errors
/// What the store reports; everything that can be wrong with a file.
pub fn read_brought(
    store: &dyn Store,
    tables: &TableReader,
    (file, input): (usize, &Input),
    start: u64,
    out: &PieceSender,
    progress: &Progress,
) -> Result<bool> {
    wait_for(store, file, progress)?;
    if !tables.read(file, input, start, out, progress)? {
        read_input_from(input, start, out, &|end| store.extend(file, end), progress)?;
    }
    store.release(file)?;
    Ok(true)
}
