//! The verb `finish`: the parts of a run become one folder. No data are read or moved, unless pairs are joined.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::decontaminate::found::sum_found;
use super::dedup::decided::Decided;
use super::folder::limits::Limits;
use super::folder::manifest::{FORMAT_VERSION, MANIFEST_NAME, Manifest, VERSION, check_size, fingerprint};
use super::folder::part_leftovers::sweep_plans;
use super::folder::part_manifests::{output_in_root, read_parts, told_missing};
use super::folder::plan::{
    COUNTS_KEY, COUNTS_NAME, DECISIONS_KEY, DECISIONS_NAME, PARTS_KEY, PLAN_KEY, PLAN_NAME, Plan, part_name,
    part_prefix,
};
use super::folder::run::RunResult;
use super::merge::{PairGroups, sum_counts};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::progress::Progress;

/// Finishes the folder `root`, which holds the parts of a run. With `joined`, the Megatron pairs of all parts become one.
///
/// # Errors
/// Parts that are missing, or of another plan, version or configuration; inputs that changed since they were planned;
/// books that do not balance.
pub fn finish(root: &Path, joined: bool, limits: Limits, progress: &Progress) -> Result<RunResult> {
    let plan = Plan::read(root)?.ok_or_else(|| {
        let reason = format!(
            "expected a folder with the parts of a run and their {PLAN_NAME}, got {}",
            root.display()
        );
        Error::config("output", reason)
    })?;
    let hash = plan.hash()?;
    if let Some(manifest) = Manifest::read(root)?
        && manifest.details.get(PLAN_KEY).and_then(Value::as_str) == Some(&*hash)
        && manifest.details.contains_key(JOINED_KEY) == joined
    {
        manifest.outputs.iter().try_for_each(|output| check_size(root, output))?;
        return Ok(RunResult { manifest, was_finished: true, was_resumed: false });
    }
    if plan.bloomdata_version != VERSION {
        return Err(Error::mismatch("version of bloomdata", &plan.bloomdata_version, VERSION));
    }
    plan.check_inputs()?;
    let (manifests, missing) = read_parts(root, &plan, progress)?;
    if !missing.is_empty() {
        return Err(Error::config("parts", told_missing(plan.sharing.parts, &missing)));
    }
    let mut manifest = join(root, &plan, &hash, manifests, joined, progress)?;
    manifest.ledger.balance()?;
    if let Some(decisions) = plan.config.get(DECISIONS_KEY) {
        let decided = Decided::of_parts(root, decisions)?;
        decided.check_written(&manifest.ledger)?;
        add_decisions(&mut manifest, decided);
    }
    if let Some(counts) = plan.config.get(COUNTS_KEY) {
        let counted = finish(&root.join(COUNTS_NAME), false, Limits::default(), progress)?.manifest;
        add_counts(&mut manifest, counts, counted)?;
    }
    limits.check(&manifest.ledger)?;
    manifest.write(root)?;
    sweep_plans(root)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed: false })
}

/// Key of the details of folders whose pairs are joined.
const JOINED_KEY: &str = "joined";
/// Key of the names of files that are in no hash.
const UNHASHED_KEY: &str = "unhashed_outputs";

/// The manifest of all parts together.
fn join(
    root: &Path,
    plan: &Plan,
    hash: &str,
    parts: Vec<Manifest>,
    joined: bool,
    progress: &Progress,
) -> Result<Manifest> {
    let count = plan.sharing.parts;
    let mut details = parts.first().map(|first| first.details.clone()).unwrap_or_default();
    sum_counts(&mut details, &parts.iter().map(Some).collect::<Vec<_>>());
    sum_found(&mut details, &parts);
    let first = part_name(0, count);
    if let Some(path) = details.get_mut("tokenizer").and_then(|tokenizer| tokenizer.get_mut("path"))
        && let Some(inner) = path.as_str()
    {
        *path = format!("{first}/{inner}").into();
    }
    let mut ledger = Ledger::default();
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let mut unhashed = vec![PLAN_NAME.to_owned()];
    let mut pairs = PairGroups::default();
    let (mut ignored_inputs, mut ignored_reasons) = (Vec::new(), BTreeMap::new());
    for (number, part) in (0..).zip(parts) {
        let name = part_name(number, count);
        ledger.add(&part.ledger);
        inputs.extend(part.inputs);
        unhashed.push(format!("{name}/{MANIFEST_NAME}"));
        for output in part.outputs {
            let inner = &output.path;
            let (index, tokens) = (inner.strip_suffix(".idx"), inner.strip_suffix(".bin"));
            if joined && (index.is_some() || tokens.is_some()) {
                if let Some(stem) = index {
                    pairs.push(&without_number(stem, number, &plan.config), &root.join(&name).join(stem))?;
                }
                unhashed.push(format!("{name}/{inner}"));
            } else {
                outputs.push(output_in_root(&name, output));
            }
        }
        (ignored_inputs, ignored_reasons) = (part.ignored_inputs, part.ignored_reasons);
    }
    if joined {
        if pairs.is_empty() {
            return Err(Error::config("joined", "expected Megatron pairs to join, found none"));
        }
        outputs.splice(..0, pairs.merge_into(root, &mut Vec::new(), progress)?);
        details.insert(JOINED_KEY.to_owned(), true.into());
    } else {
        details.insert(PARTS_KEY.to_owned(), count.into());
    }
    details.insert(PLAN_KEY.to_owned(), hash.into());
    details.insert(UNHASHED_KEY.to_owned(), unhashed.into());
    let mut config = plan.config.clone();
    config["parts"] = count.into();
    Ok(Manifest {
        format_version: FORMAT_VERSION,
        bloomdata_version: VERSION.to_owned(),
        verb: plan.verb.clone(),
        config,
        inputs,
        ignored_inputs,
        ignored_reasons,
        fingerprint: fingerprint(&outputs),
        outputs,
        ledger,
        details,
    })
}

/// What was decided once for all parts belongs to the folder of all of them.
fn add_decisions(manifest: &mut Manifest, decided: Decided) {
    add_unhashed(manifest, DECISIONS_NAME, [MANIFEST_NAME]);
    manifest.details.extend(decided.manifest.details);
    let outputs = decided.manifest.outputs.into_iter();
    manifest.outputs.extend(outputs.map(|output| output_in_root(DECISIONS_NAME, output)));
    manifest.fingerprint = fingerprint(&manifest.outputs);
}

/// What was counted before is there, but none of the data.
///
/// # Errors
/// Parts have gone by other counts, of which they know the fingerprint.
fn add_counts(manifest: &mut Manifest, used: &Value, counted: Manifest) -> Result<()> {
    if counted.fingerprint != *used {
        let what = format!("{COUNTS_NAME}: fingerprint of what parts have gone by");
        return Err(Error::mismatch(what, used, counted.fingerprint));
    }
    let unhashed = counted.details.get(UNHASHED_KEY).and_then(Value::as_array).into_iter().flatten();
    let names = counted.outputs.iter().map(|output| &*output.path).chain(unhashed.filter_map(Value::as_str));
    add_unhashed(manifest, COUNTS_NAME, names.chain([MANIFEST_NAME]));
    Ok(())
}

/// Names files of a folder beside the parts that are in no hash.
fn add_unhashed<'name>(manifest: &mut Manifest, folder: &str, names: impl IntoIterator<Item = &'name str>) {
    if let Some(unhashed) = manifest.details.get_mut(UNHASHED_KEY).and_then(Value::as_array_mut) {
        unhashed.extend(names.into_iter().map(|name| format!("{folder}/{name}").into()));
    }
}

/// The name that a part's pair has without the number of the part.
fn without_number(stem: &str, number: u64, config: &Value) -> String {
    let prefix = config.get("prefix").and_then(Value::as_str).unwrap_or_default();
    match stem.strip_prefix(&*part_prefix(prefix, number)) {
        Some(rest) => format!("{prefix}{rest}"),
        None => stem.to_owned(),
    }
}
