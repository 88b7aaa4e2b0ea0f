//! Outputs that exist whole or not at all: written under a temporary name, synced, renamed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::hash::ContentHasher;

/// Suffix of unfinished files; a finished folder holds none.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// An output being written, counted and hashed.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    hasher: ContentHasher,
    size: u64,
}

/// A sealed output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the content, in hex.
    pub hash: String,
}

/// The temporary name of `path`.
pub fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}

impl AtomicFile {
    /// Starts `path` anew; its folder is made if needed.
    ///
    /// # Errors
    /// The system's reason, with the path.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let temporary = temporary_path(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(Error::io(&temporary))?;
        Ok(Self { path: path.to_owned(), temporary, file, hasher: ContentHasher::default(), size: 0 })
    }

    /// Goes on with an unfinished `path` after its first `size` bytes; what follows them is discarded.
    ///
    /// # Errors
    /// The file is gone or shorter than `size`.
    pub fn resume(path: &Path, size: u64) -> Result<Self> {
        let temporary = temporary_path(path);
        if !temporary.exists() && path.exists() {
            // Sealed, but killed before anybody took note of it.
            std::fs::rename(path, &temporary).map_err(Error::io(path))?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).open(&temporary).map_err(Error::io(&temporary))?;
        let mut hasher = ContentHasher::default();
        let mut buffer = vec![0; 1 << 20];
        let mut left = size;
        while left > 0 {
            let limit = crate::token::index(left.min(buffer.len() as u64));
            let count = file.read(&mut buffer[..limit]).map_err(Error::io(&temporary))?;
            if count == 0 {
                return Err(Error::mismatch(
                    format!("{}: size in bytes", temporary.display()),
                    format!("at least {size}"),
                    size - left,
                ));
            }
            hasher.update(&buffer[..count]);
            left -= count as u64;
        }
        file.set_len(size).map_err(Error::io(&temporary))?;
        file.seek(SeekFrom::Start(size)).map_err(Error::io(&temporary))?;
        Ok(Self { path: path.to_owned(), temporary, file, hasher, size })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The system's reason (disk full, …), with the path.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.temporary))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was written survive a crash of the machine.
    ///
    /// # Errors
    /// The system's reason.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.temporary))
    }

    /// Syncs, renames into place, syncs the folder.
    ///
    /// # Errors
    /// The system's reason; the file then keeps its temporary name.
    pub fn seal(self) -> Result<Sealed> {
        self.file.sync_all().map_err(Error::io(&self.temporary))?;
        rename_durably(&self.temporary, &self.path)?;
        Ok(Sealed { size: self.size, hash: self.hasher.hex() })
    }
}

/// Renames and makes the new name survive a crash.
///
/// # Errors
/// The system's reason.
pub fn rename_durably(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(Error::io(to))?;
    if let Some(folder) = to.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder).and_then(|handle| handle.sync_all()).map_err(Error::io(folder))?;
    }
    Ok(())
}

/// Writes a small file whole or not at all.
///
/// # Errors
/// The system's reason.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<Sealed> {
    let mut file = AtomicFile::create(path)?;
    file.write(bytes)?;
    file.seal()
}

/// All files of a folder and its sub-folders, sorted. Links are listed and not followed.
///
/// # Errors
/// The system's reason.
pub fn list_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        if entry.file_type().map_err(Error::io(&path))?.is_dir() {
            files.extend(list_files(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Removes a file; that it is not there is fine.
///
/// # Errors
/// The system's reason.
pub fn remove_if_present(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}
