//! What runs in parts leave in the folder that holds the parts, and its removal.

use std::path::Path;

use super::journal::{JOURNAL_NAME, Journal};
use super::leftovers::discard;
use super::manifest::{Manifest, OutputEntry};
use super::plan::{COUNTING_KEY, COUNTS_NAME, PLAN_NAME, Plan, part_folder};
use crate::error::{Error, Result};
use crate::io::atomic::remove_if_present;

/// Removes everything that the parts in `root` have left, and their plan.
///
/// # Errors
/// A folder that is no output of parts; the system's reason.
pub fn discard_parts(root: &Path) -> Result<()> {
    let counts = root.join(COUNTS_NAME);
    // A run of its own may have that name.
    if Plan::read(&counts)?.is_some_and(|plan| plan.config[COUNTING_KEY] == true) {
        discard_parts(&counts)?;
        // One that holds something else stays.
        let _ = std::fs::remove_dir(counts);
    }
    let Some(plan) = Plan::read(root)? else { return Ok(()) };
    let outputs = |folder: &Path| -> Result<Vec<OutputEntry>> {
        Ok(Manifest::read(folder)?.map(|manifest| manifest.outputs).unwrap_or_default())
    };
    discard(root, &outputs(root)?, &[])?;
    for number in 0..plan.sharing.parts {
        let folder = part_folder(root, number, plan.sharing.parts);
        if folder.exists() {
            // A finished part has no journal.
            let has_journal = folder.join(JOURNAL_NAME).exists();
            let entries = if has_journal { Journal::read(&folder)? } else { Vec::new() };
            discard(&folder, &outputs(&folder)?, &entries)?;
            remove_if_present(&folder.join(JOURNAL_NAME))?;
            // One that holds something else stays.
            let _ = std::fs::remove_dir(folder);
        }
    }
    sweep_plans(root)?;
    remove_if_present(&root.join(PLAN_NAME))
}

/// Removes unfinished plans, which parts leave that are killed while they write one.
///
/// # Errors
/// The system's reason.
pub fn sweep_plans(root: &Path) -> Result<()> {
    if !root.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(root).map_err(Error::io(root))? {
        let path = entry.map_err(Error::io(root))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let chance = name.and_then(|name| name.strip_prefix(PLAN_NAME)?.strip_prefix('.'));
        if chance.is_some_and(|chance| chance.len() == 16 && u64::from_str_radix(chance, 16).is_ok()) {
            remove_if_present(&path)?;
        }
    }
    Ok(())
}
