//! What the finished parts of a run say about themselves.

use std::path::Path;

use serde_json::Value;

use super::manifest::{Manifest, OutputEntry, check_size};
use super::plan::{PLAN_KEY, Plan, common_config, is_part, part_folder};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Parts that messages name at most.
const MAX_NAMED: usize = 10;

/// The manifests of the parts in `root`, in order, and the numbers of those that have none.
///
/// # Errors
/// Parts of another plan, version or configuration, or whose files have other sizes; the system's reason.
pub fn read_parts(root: &Path, plan: &Plan<'_>, progress: &Progress) -> Result<(Vec<Manifest>, Vec<u64>)> {
    let (parts, hash) = (plan.sharing.parts, plan.hash()?);
    refuse_foreign(root, parts)?;
    let (mut manifests, mut missing) = (Vec::new(), Vec::new());
    for number in 0..parts {
        progress.check()?;
        let folder = part_folder(root, number, parts);
        let Some(manifest) = Manifest::read(&folder)? else {
            missing.push(number);
            continue;
        };
        let place = |what: &str| format!("{}: {what}", folder.display());
        if manifest.bloomdata_version != plan.bloomdata_version {
            let (then, now) = (&plan.bloomdata_version, &manifest.bloomdata_version);
            return Err(Error::mismatch(place("version of bloomdata"), then, now));
        }
        let of = |key: &str| manifest.config.get(key).and_then(Value::as_u64);
        if (of("part"), of("parts")) != (Some(number), Some(parts)) {
            let found = format!("part {:?} of {:?}", of("part"), of("parts"));
            return Err(Error::mismatch(place("part"), format!("part {number} of {parts}"), found));
        }
        let own = common_config(&manifest.config, number);
        Manifest::check_same_run(&manifest.verb, (&plan.verb, &plan.config), &own)?;
        let found = manifest.details.get(PLAN_KEY).and_then(Value::as_str).unwrap_or("none");
        if found != hash {
            return Err(Error::mismatch(place("hash of the plan"), hash, found));
        }
        manifest.outputs.iter().try_for_each(|output| check_size(&folder, output))?;
        manifests.push(manifest);
    }
    Ok((manifests, missing))
}

/// Says which parts are missing.
pub fn told_missing(parts: u64, missing: &[u64]) -> String {
    let named: Vec<String> = missing.iter().take(MAX_NAMED).map(u64::to_string).collect();
    let more = missing.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("of {parts} parts, not finished: {}{more}", named.join(", "))
}

/// An output of the folder `name` as one of the folder around it.
pub fn output_in_root(name: &str, output: OutputEntry) -> OutputEntry {
    OutputEntry { path: format!("{name}/{}", output.path), ..output }
}

/// Folders of parts of another number of parts are no part of this run.
fn refuse_foreign(root: &Path, parts: u64) -> Result<()> {
    for entry in std::fs::read_dir(root).map_err(Error::io(root))? {
        let entry = entry.map_err(Error::io(root))?;
        if let Some((number, of)) = entry.file_name().to_str().and_then(is_part)
            && (of != parts || number >= parts)
        {
            let what = format!("{}: parts (foreign to the plan)", entry.path().display());
            return Err(Error::mismatch(what, parts, of));
        }
    }
    Ok(())
}
