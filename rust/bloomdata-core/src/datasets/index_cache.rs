//! The three indices as files with Megatron-core's names, built once on each machine and mapped by everyone.
//!
//! `<prefix>-document_index.npy`, `-sample_index.npy`, `-shuffle_index.npy`, and `-description.txt`, which is written last:
//! where it is, the others are whole. A lock that dies with its owner keeps others from building the same.
//!
//! Megatron before core, bigscience and `AscendSpeed` have the same arrays as `<prefix>_doc_idx.npy`, `_sample_idx.npy` and
//! `_shuffle_idx.npy`, without a description; these are read and written, too.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::datasets::gpt_indices::{Builder, GptIndices, IndexArray};
use crate::datasets::sample_index::Entry;
use crate::error::{Error, Result};
use crate::formats::megatron::with_suffix;
use crate::formats::npy::{NpyDtype, header_bytes, parse_header};
use crate::io::atomic::{TEMPORARY_SUFFIX, rename_durably};
use crate::io::map::FileBytes;

/// Names of the three files, behind their prefix.
struct Suffixes {
    documents: &'static str,
    samples: &'static str,
    shuffle: &'static str,
}

const CORE: Suffixes = Suffixes {
    documents: "-document_index.npy",
    samples: "-sample_index.npy",
    shuffle: "-shuffle_index.npy",
};
const LEGACY: Suffixes =
    Suffixes { documents: "_doc_idx.npy", samples: "_sample_idx.npy", shuffle: "_shuffle_idx.npy" };
const DESCRIPTION: &str = "-description.txt";
const POLL: Duration = Duration::from_millis(20);

/// Loads the indices of `prefix` if they are there and have this description; else builds and saves them.
///
/// # Errors
/// As [`GptIndices::build`], the system's reason, or the run was interrupted.
pub fn load_or_build(prefix: &Path, description: &str, builder: &Builder<'_>) -> Result<GptIndices> {
    let description_path = with_suffix(prefix, DESCRIPTION);
    let load_whole = || {
        let found = std::fs::read(&description_path).ok()?;
        let indices = (found == description.as_bytes()).then(|| load(prefix).ok())??;
        // A cache that is damaged is no loss: it is built again.
        indices.check(builder.plan).ok().map(|()| indices)
    };
    if let Some(indices) = load_whole() {
        return Ok(indices);
    }
    if let Some(folder) = prefix.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    let lock_path = with_suffix(prefix, ".lock");
    let lock = File::create(&lock_path).map_err(Error::io(&lock_path))?;
    loop {
        builder.progress.check()?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
            // File systems without locks: files are still written under names of their own, and renamed.
            Ok(()) | Err(TryLockError::Error(_)) => break,
        }
    }
    if let Some(indices) = load_whole() {
        return Ok(indices);
    }
    build(prefix, description, builder)?;
    load(prefix)
}

/// Builds the indices into files. Of the three, only one of documents and shuffle is in memory at a time.
fn build(prefix: &Path, description: &str, builder: &Builder<'_>) -> Result<()> {
    let rows = builder.plan.num_samples + 1;
    let array = IndexArray::Int32(builder.documents()?);
    let IndexArray::Int32(documents) = &array else { return Ok(()) };
    let (samples, written) = builder.at_once(
        || {
            let path = with_suffix(prefix, CORE.samples);
            if Builder::needs_wide(documents) {
                write_samples::<i64>(&path, NpyDtype::Int64, rows, builder, documents)
            } else {
                write_samples::<i32>(&path, NpyDtype::Int32, rows, builder, documents)
            }
        },
        || write_array(&with_suffix(prefix, CORE.documents), &array, &[array.len()]),
    );
    samples.and(written)?;
    // Collected in place: there are mostly fewer samples than documents, and the shuffle needs no memory of its own.
    let IndexArray::Int32(documents) = array else { return Ok(()) };
    let shuffle = builder.shuffle(documents.into_iter().map(i32::cast_unsigned).collect())?;
    write_array(&with_suffix(prefix, CORE.shuffle), &shuffle, &[shuffle.len()])?;
    write_text(prefix, description)
}

/// Writes the three files: with a description, which comes last, under Megatron-core's names, else under the older ones.
///
/// # Errors
/// The system's reason.
pub fn save(prefix: &Path, indices: &GptIndices, description: Option<&str>) -> Result<()> {
    let suffixes = if description.is_some() { CORE } else { LEGACY };
    write_array(&with_suffix(prefix, suffixes.documents), &indices.documents, &[indices.documents.len()])?;
    write_array(&with_suffix(prefix, suffixes.samples), &indices.samples, &[indices.samples.len() / 2, 2])?;
    write_array(&with_suffix(prefix, suffixes.shuffle), &indices.shuffle, &[indices.shuffle.len()])?;
    description.map_or(Ok(()), |description| write_text(prefix, description))
}

fn write_text(prefix: &Path, description: &str) -> Result<()> {
    let mut file = NewFile::create(&with_suffix(prefix, DESCRIPTION))?;
    file.append(description.as_bytes())?;
    file.finish()
}

fn write_array(path: &Path, array: &IndexArray, shape: &[u64]) -> Result<()> {
    let mut file = NewFile::create(path)?;
    file.append(&header_bytes(array.dtype(), shape))?;
    array.each_piece(|bytes| file.append(bytes))?;
    file.finish()
}

fn write_samples<T: Entry>(
    path: &Path,
    dtype: NpyDtype,
    rows: u64,
    builder: &Builder<'_>,
    documents: &[i32],
) -> Result<()> {
    let mut file = NewFile::create(path)?;
    file.append(&header_bytes(dtype, &[rows, 2]))?;
    let (start, mut bytes) = (file.size, Vec::new());
    builder.samples::<T>(documents, |first, part| {
        bytes.clear();
        for entry in part {
            entry.append_to(&mut bytes);
        }
        file.write_at(&bytes, start + 2 * first * dtype.itemsize())
    })?;
    file.finish()
}

/// A file that is whole or not there. Its temporary name is no other process's, on no other machine.
struct NewFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    size: u64,
}

impl NewFile {
    fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let unique = RandomState::new().build_hasher().finish();
        let temporary = with_suffix(path, &format!(".{unique:016x}{TEMPORARY_SUFFIX}"));
        let file = File::create_new(&temporary).map_err(Error::io(&temporary))?;
        Ok(Self { path: path.to_owned(), temporary, file, size: 0 })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(Error::io(&self.temporary))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_at(bytes, self.size)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.file.sync_all().map_err(Error::io(&self.temporary))?;
        rename_durably(&self.temporary, &self.path)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Gone already where all went well.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Maps indices that are there: ours, Megatron-core's, or those of older Megatrons.
///
/// # Errors
/// A file that is damaged, or no index; the system's reason.
pub fn load(prefix: &Path) -> Result<GptIndices> {
    let is_there = |suffixes: &Suffixes| with_suffix(prefix, suffixes.documents).exists();
    let suffixes = if is_there(&LEGACY) && !is_there(&CORE) { LEGACY } else { CORE };
    let array = |suffix: &str, dimensions: &[Option<u64>], dtypes: &[NpyDtype]| {
        let path = with_suffix(prefix, suffix);
        let bytes = FileBytes::map(&path)?;
        let header = parse_header(&path, &bytes)?;
        let fits = header.shape.len() == dimensions.len()
            && header
                .shape
                .iter()
                .zip(dimensions)
                .all(|(size, wanted)| wanted.is_none_or(|wanted| *size == wanted));
        if !fits || !dtypes.contains(&header.dtype) {
            let reason =
                format!("expected an index, got {} of shape {:?}", header.dtype.name(), header.shape);
            return Err(Error::corrupt(&path, 10, reason));
        }
        Ok(IndexArray::File(header, bytes))
    };
    Ok(GptIndices {
        documents: array(suffixes.documents, &[None], &[NpyDtype::Int32])?,
        samples: array(suffixes.samples, &[None, Some(2)], &[NpyDtype::Int32, NpyDtype::Int64])?,
        shuffle: array(suffixes.shuffle, &[None], &[NpyDtype::Uint32, NpyDtype::Int64])?,
    })
}
