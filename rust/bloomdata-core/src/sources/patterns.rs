//! What a pattern holds: as for a folder, every file is either an input or named as not read.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use globset::GlobMatcher;

use super::asking::ask_all;
use super::choosing::{nothing_found, take_records};
use super::folder_queue::FolderQueue;
use super::folders::{Promises, is_bookkeeping, is_books, is_list, listed};
use super::input::{look_at, natural_order, unsupported};
use super::inputs::{InputList, Reason};
use super::metadata_names::is_metadata;
use crate::error::{Error, Result};

pub(super) fn expand_pattern(pattern: &str, list: &mut InputList) -> Result<()> {
    let is_literal =
        |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
    let base: PathBuf = Path::new(pattern).components().take_while(is_literal).collect();
    let rest: PathBuf = Path::new(pattern).components().skip_while(is_literal).collect();
    let rest = rest.to_string_lossy();
    let matcher = globset::GlobBuilder::new(&rest)
        .literal_separator(true)
        .build()
        .map_err(|error| Error::config("inputs", format!("{pattern}: {error}")))?
        .compile_matcher();
    let parts: Vec<&str> = rest.split('/').collect();
    let mut search = Search {
        base: &base,
        matcher: &matcher,
        with_hidden: parts.iter().any(|part| part.starts_with('.')),
        depth: parts.len(),
        endless: parts.iter().position(|part| part.contains("**")),
        found: Vec::new(),
        repeated: Vec::new(),
    };
    let start = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
    if start.is_dir() {
        search.enter(start, 1)?;
    }
    search.repeated.drain(..).for_each(|path| list.ignore(path, Reason::Linked));
    let (before, before_ignored) = (list.inputs.len(), list.ignored.len());
    let last = parts.last().copied().unwrap_or_default();
    let names_files = !last.contains(['*', '?', '[', '{']);
    let mut paths = Vec::new();
    let mut promises = BTreeMap::new();
    for path in search.found {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let promises: &Option<Promises> =
            promises.entry(folder).or_insert_with_key(|folder| Promises::read(folder));
        let lists = promises.as_ref().map(Promises::lists).unwrap_or_default();
        if path.is_dir() {
            list.ignore(path, Reason::Folder);
        } else if is_bookkeeping(&path) || is_list(&path, &lists) {
            list.ignore(path, Reason::Books);
        } else if is_metadata(&path) && !names_files {
            list.ignore(path, Reason::Metadata);
        } else {
            paths.push(path);
        }
    }
    paths.sort_by(|a, b| natural_order(a, b));
    let facts = ask_all(&paths, |path| look_at(path)?.ok_or_else(|| unsupported(path)))?;
    let found = facts.into_iter().zip(paths).map(|(facts, path)| facts.into_input(path)).collect::<Vec<_>>();
    // A pattern that says `.txt` means text.
    if last.to_ascii_lowercase().contains("txt") {
        list.inputs.extend(found);
    } else {
        take_records(found, list)?;
    }
    if list.inputs.len() == before {
        return Err(nothing_found(&format!("no file matches {pattern}"), &list.ignored[before_ignored..]));
    }
    Ok(())
}

/// Everything below `base` that a pattern matches. As in a shell, a star does not stand for a leading dot.
struct Search<'run> {
    base: &'run Path,
    matcher: &'run GlobMatcher,
    with_hidden: bool,
    /// Parts of the pattern.
    depth: usize,
    /// The part that is `**`: below it, each folder is listed once.
    endless: Option<usize>,
    found: Vec<PathBuf>,
    /// Links to folders that were listed already.
    repeated: Vec<PathBuf>,
}

impl Search<'_> {
    /// Looks at a folder, in which a name is part number `part` of the pattern, counted from 1.
    fn enter(&mut self, folder: &Path, part: usize) -> Result<()> {
        if self.endless.is_none_or(|endless| part <= endless) {
            for inner in self.look(folder)? {
                if part < self.depth {
                    self.enter(&inner, part + 1)?;
                }
            }
            return Ok(());
        }
        let mut folders = FolderQueue::new(folder.to_owned());
        while let Some(folder) = folders.next()? {
            self.look(&folder)?.into_iter().for_each(|inner| folders.push(inner));
        }
        self.repeated.append(&mut folders.repeated);
        Ok(())
    }

    /// Notes what in a folder fits; the folders in it that may hold more.
    fn look(&mut self, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for (path, is_dir) in listed(folder)? {
            let inner = path.strip_prefix(self.base).unwrap_or(&path);
            // The working folder has no name of its own.
            let inner = inner.strip_prefix(".").unwrap_or(inner);
            let path = self.base.join(inner);
            let is_hidden = inner.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if self.matcher.is_match(inner) && (!is_hidden || self.with_hidden) {
                self.found.push(path);
            } else if !is_hidden && is_dir && !is_books(&path) {
                folders.push(path);
            }
        }
        Ok(folders)
    }
}
