//! Files that only stand for data: what Git LFS and git-annex leave until the content is fetched.

use std::io::Read;

use super::input::Input;
use crate::error::{Error, Result};

/// Pointers are shorter than this (Git LFS specification, version 1).
const MAX_BYTES: u64 = 1024;
/// How they begin, what they are, and what fetches the content.
const POINTERS: [(&[u8], &str, &str); 3] = [
    (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer", "git lfs pull"),
    (b"version https://hawser.github.com/spec/v1", "a Git LFS pointer", "git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer", "git annex get"),
];

/// Refuses a pointer, whatever its name.
///
/// # Errors
/// A pointer; the system's reason.
pub(super) fn refuse_pointer(input: &Input) -> Result<()> {
    if input.size >= MAX_BYTES || !input.is_file() {
        return Ok(());
    }
    let mut start = Vec::new();
    let file = std::fs::File::open(&input.path).map_err(Error::io(&input.path))?;
    file.take(MAX_BYTES).read_to_end(&mut start).map_err(Error::io(&input.path))?;
    match POINTERS.iter().find(|(beginning, ..)| start.starts_with(beginning)) {
        Some((_, what, command)) => Err(Error::Unsupported {
            path: input.path.clone(),
            found: format!("{what} in place of the data"),
            supported: format!("the file that it stands for: fetch it with `{command}`"),
        }),
        None => Ok(()),
    }
}
