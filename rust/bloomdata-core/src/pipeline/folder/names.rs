//! Names of the files that a run writes: all inside its folder.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Names of the files that a run writes, all relative to its folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputNames {
    /// Outputs that get their names without a step of their own, at the end.
    pub last: Vec<String>,
    /// Outputs with a number in their names; each is sealed by a step.
    pub numbered: Vec<NumberedName>,
    /// Files that only ever have a temporary name: this one and [`TEMPORARY_SUFFIX`].
    pub scratch: Vec<String>,
    /// Folders that only an unfinished run needs.
    pub folders: Vec<String>,
}

/// The names `part-00000.jsonl`, `part-00001.jsonl` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedName {
    /// What stands before the digits, with the sub-folder if there is one.
    pub before: String,
    /// What stands after them.
    pub after: String,
}

impl OutputNames {
    /// Refuses names that lead out of the folder, as [`check_inside`].
    ///
    /// # Errors
    /// Such a name.
    pub fn check_inside(&self, folder: &Path, source: &Path) -> Result<()> {
        for name in self.last.iter().chain(&self.scratch).chain(&self.folders) {
            check_inside(folder, name, source)?;
        }
        for NumberedName { before, after } in &self.numbered {
            check_inside(folder, &format!("{before}0{after}"), source)?;
        }
        Ok(())
    }
}

impl NumberedName {
    /// Whether a name is one of them.
    pub fn is_match(&self, name: &str) -> bool {
        let number = name.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.after));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// Refuses a name that leads out of the folder. `source` is the file that gives it: anybody may have edited that.
///
/// # Errors
/// A name that is absolute, empty, or has `..` in it.
pub fn check_inside(folder: &Path, name: &str, source: &Path) -> Result<()> {
    let mut parts = Path::new(name).components().peekable();
    if parts.peek().is_none()
        || parts.any(|part| !matches!(part, Component::Normal(_)))
        || name.contains('\0')
    {
        let reason = format!("{name:?}: expected a path inside {}", folder.display());
        return Err(Error::corrupt(source, 0, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../x", "/etc/x", "a/../../x", "", "a/\0", "."] {
            assert!(
                check_inside(Path::new("out"), name, Path::new("out/manifest.json")).is_err(),
                "{name:?}"
            );
        }
        assert!(check_inside(Path::new("out"), "a/b.bin", Path::new("out/manifest.json")).is_ok());
    }
}
