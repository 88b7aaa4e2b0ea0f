//! The three indices as files with Megatron-core's names, built once on each machine and mapped by everyone.
//!
//! `<prefix>-document_index.npy`, `-sample_index.npy`, `-shuffle_index.npy`, and `-description.txt`, which is written last:
//! where it is, the others are whole. A lock that dies with its owner keeps others from building the same.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

use crate::datasets::gpt_indices::{GptIndices, IndexArray};
use crate::datasets::gpt_plan::GptPlan;
use crate::error::{Error, Result};
use crate::formats::megatron::with_suffix;
use crate::formats::npy::{NpyDtype, header_bytes, parse_header};
use crate::io::atomic::{AtomicFile, rename_durably};
use crate::io::map::FileBytes;
use crate::progress::Progress;

const DESCRIPTION: &str = "-description.txt";
const POLL: Duration = Duration::from_millis(20);

/// Loads the indices of `prefix` if they are there and have this description; else builds and saves them.
///
/// # Errors
/// Those of `build`, the system's reason, or the run was interrupted.
pub fn load_or_build(
    prefix: &Path,
    description: &str,
    plan: &GptPlan,
    progress: &Progress,
    build: impl FnOnce() -> Result<GptIndices>,
) -> Result<GptIndices> {
    let description_path = with_suffix(prefix, DESCRIPTION);
    let load_whole = || {
        let found = std::fs::read(&description_path).ok()?;
        let indices = (found == description.as_bytes()).then(|| load(prefix).ok())??;
        // A cache that is damaged is no loss: it is built again.
        indices.check(plan).ok().map(|()| indices)
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
        progress.check()?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
            // File systems without locks: files are still written under names of their own, and renamed.
            Ok(()) | Err(TryLockError::Error(_)) => break,
        }
    }
    if let Some(indices) = load_whole() {
        return Ok(indices);
    }
    save(prefix, &build()?, description)?;
    load(prefix)
}

/// Writes the four files.
///
/// # Errors
/// The system's reason.
pub fn save(prefix: &Path, indices: &GptIndices, description: &str) -> Result<()> {
    let arrays = [
        ("-document_index.npy", &indices.documents, vec![indices.documents.len()]),
        ("-sample_index.npy", &indices.samples, vec![indices.samples.len() / 2, 2]),
        ("-shuffle_index.npy", &indices.shuffle, vec![indices.shuffle.len()]),
    ];
    for (suffix, array, shape) in arrays {
        write_whole(&with_suffix(prefix, suffix), |file| {
            file.write(&header_bytes(array.dtype(), &shape))?;
            array.each_piece(|bytes| file.write(bytes))
        })?;
    }
    write_whole(&with_suffix(prefix, DESCRIPTION), |file| file.write(description.as_bytes()))
}

/// Writes a file whole or not at all, under a temporary name that no other process has.
fn write_whole(path: &Path, write: impl FnOnce(&mut AtomicFile) -> Result<()>) -> Result<()> {
    let unique = RandomState::new().build_hasher().finish();
    let temporary = with_suffix(path, &format!(".{unique:016x}"));
    let mut file = AtomicFile::create(&temporary)?;
    let done = write(&mut file).and_then(|()| file.seal()).and_then(|_| rename_durably(&temporary, path));
    if done.is_err() {
        for path in [crate::io::atomic::temporary_path(&temporary), temporary] {
            let _ = std::fs::remove_file(path);
        }
    }
    done
}

/// Maps indices that are there, ours or Megatron-core's.
///
/// # Errors
/// A file that is damaged, or no index; the system's reason.
pub fn load(prefix: &Path) -> Result<GptIndices> {
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
            let reason = format!("{} of shape {:?} is no such index", header.dtype.name(), header.shape);
            return Err(Error::corrupt(&path, 10, reason));
        }
        Ok(IndexArray::File(header, bytes))
    };
    Ok(GptIndices {
        documents: array("-document_index.npy", &[None], &[NpyDtype::Int32])?,
        samples: array("-sample_index.npy", &[None, Some(2)], &[NpyDtype::Int32, NpyDtype::Int64])?,
        shuffle: array("-shuffle_index.npy", &[None], &[NpyDtype::Uint32, NpyDtype::Int64])?,
    })
}
