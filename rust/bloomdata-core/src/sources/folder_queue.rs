//! Folders that are still to be listed, each once, however many links lead to it.

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// A queue that gives folders before links to folders, so that a folder is listed under its own name if it has one here.
#[derive(Debug)]
pub(super) struct FolderQueue {
    folders: VecDeque<PathBuf>,
    links: VecDeque<PathBuf>,
    /// Device and inode of those that were given out.
    seen: BTreeSet<(u64, u64)>,
    /// Links to folders that were given out before.
    pub(super) repeated: Vec<PathBuf>,
}

impl FolderQueue {
    /// A queue of one folder, which may be a link itself.
    pub(super) fn new(folder: PathBuf) -> Self {
        let folders = VecDeque::from([folder]);
        Self { folders, links: VecDeque::new(), seen: BTreeSet::new(), repeated: Vec::new() }
    }

    /// Adds a folder, or a link to one.
    pub(super) fn push(&mut self, path: PathBuf) {
        if path.is_symlink() { self.links.push_back(path) } else { self.folders.push_back(path) }
    }

    /// The next folder.
    ///
    /// # Errors
    /// The system's reason.
    pub(super) fn next(&mut self) -> Result<Option<PathBuf>> {
        while let Some(path) = self.folders.pop_front().or_else(|| self.links.pop_front()) {
            let facts = std::fs::metadata(&path).map_err(Error::io(&path))?;
            if self.seen.insert((facts.dev(), facts.ino())) {
                return Ok(Some(path));
            }
            self.repeated.push(path);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_given_once_and_under_its_own_name() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("b/inner")).unwrap();
        for (link, target) in [("a", "b"), ("loop", "."), ("b/loop", "..")] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        let mut queue = FolderQueue::new(root.path().to_owned());
        let mut given = Vec::new();
        while let Some(folder) = queue.next().unwrap() {
            given.push(folder.clone());
            for entry in std::fs::read_dir(&folder).unwrap() {
                queue.push(entry.unwrap().path());
            }
        }
        assert_eq!(given, [root.path().to_owned(), at("b"), at("b/inner")]);
        let mut repeated = queue.repeated;
        repeated.sort();
        assert_eq!(repeated, [at("a"), at("b/loop"), at("loop")]);
    }
}
