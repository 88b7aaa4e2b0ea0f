//! The verb `finish`: the parts of a run become one folder. No data are read or moved, unless pairs are joined.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::decontaminate::counts::Counts;
use super::decontaminate::found::sum_found;
use super::dedup::decided::Decided;
use super::folder::counting::{COUNTED_KEY, check_counted};
use super::folder::limits::Limits;
use super::folder::manifest::{
    FORMAT_VERSION, MANIFEST_NAME, Manifest, OutputEntry, UNHASHED_KEY, VERSION, check_size, fingerprint,
};
use super::folder::part_leftovers::sweep_plans;
use super::folder::plan::{
    COUNTS_KEY, COUNTS_NAME, DECISIONS_KEY, DECISIONS_NAME, JOINED_KEY, PARTS_KEY, PLAN_KEY, PLAN_NAME, Plan,
    common_config, is_part, part_folder, part_name, whole_name,
};
use super::folder::run::RunResult;
use super::merge::sum_counts;
use super::pair_groups::PairGroups;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::sources::remote::Store;

/// Parts that messages name at most.
const MAX_NAMED: usize = 10;

/// A store that holds the folder, and its address there. The local folder then has files of the right sizes, of which the
/// books and the indices are whole.
pub type Stored<'run> = (&'run dyn Store, &'run str);

/// Finishes the folder `root`, which holds the parts of a run. With `joined`, the Megatron pairs of all parts become one.
///
/// # Errors
/// Parts that are missing, or of another plan, version or configuration; inputs that changed since they were planned;
/// books that do not balance; pairs that are damaged.
pub fn finish(
    root: &Path,
    joined: bool,
    limits: Limits,
    stored: Option<Stored<'_>>,
    progress: &Progress,
) -> Result<RunResult> {
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
        && (manifest.details.contains_key(JOINED_KEY) || !joined)
    {
        manifest.outputs.iter().try_for_each(|output| check_size(root, output))?;
        return Ok(RunResult { manifest, was_finished: true, was_resumed: false });
    }
    if plan.bloomdata_version != VERSION {
        return Err(Error::mismatch("version of bloomdata", &plan.bloomdata_version, VERSION));
    }
    plan.check_inputs()?;
    let manifests = read_parts(root, &plan, &hash, progress)?;
    let counts = check_counted(&manifests)?;
    let (mut manifest, pairs) = join(root, &plan, &hash, manifests, joined)?;
    if let Some(pairs) = pairs {
        if let Some((store, address)) = stored {
            pairs.begin(store, address, root)?;
        }
        let store = stored.map(|(store, _)| store);
        manifest.outputs.splice(..0, pairs.merge_into(root, &mut Vec::new(), store, progress)?);
        manifest.fingerprint = fingerprint(&manifest.outputs);
    }
    add_unhashed(&mut manifest, counts);
    manifest.ledger.balance()?;
    if let Some(decisions) = plan.config.get(DECISIONS_KEY) {
        let decided = Decided::of_parts(root, decisions)?;
        decided.check_written(&manifest.ledger)?;
        add_decisions(&mut manifest, decided);
    }
    if let Some(used) = plan.config.get(COUNTS_KEY) {
        add_unhashed(&mut manifest, Counts::of_parts(root, &plan, used)?);
    }
    if !WITH_EMPTY_OUTPUT.contains(&&*plan.verb) {
        limits.check(&manifest.ledger)?;
    }
    manifest.write(root)?;
    sweep_plans(root)?;
    sweep_plans(&root.join(COUNTS_NAME))?;
    Ok(RunResult { manifest, was_finished: false, was_resumed: false })
}

/// Verbs whose runs may keep nothing without being asked.
const WITH_EMPTY_OUTPUT: [&str; 3] = ["signatures", "count", "train_tokenizer"];

/// The manifests of all parts, in order.
fn read_parts(root: &Path, plan: &Plan, hash: &str, progress: &Progress) -> Result<Vec<Manifest>> {
    let parts = plan.sharing.parts;
    refuse_foreign(root, parts)?;
    let (mut manifests, mut missing) = (Vec::new(), Vec::new());
    for number in 0..parts {
        progress.check()?;
        let folder = part_folder(root, number, parts);
        let Some(manifest) = Manifest::read(&folder)? else {
            missing.push(number.to_string());
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
    if missing.is_empty() {
        return Ok(manifests);
    }
    let more = missing.len().saturating_sub(MAX_NAMED);
    missing.truncate(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let reason = format!("of {parts} parts, not finished: {}{more}", missing.join(", "));
    Err(Error::config("parts", reason))
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

/// The manifest of all parts together, and the pairs that are to be joined, which are not in it yet.
fn join(
    root: &Path,
    plan: &Plan,
    hash: &str,
    parts: Vec<Manifest>,
    joined: bool,
) -> Result<(Manifest, Option<PairGroups>)> {
    let count = plan.sharing.parts;
    let mut details = parts.first().map(|first| first.details.clone()).unwrap_or_default();
    sum_counts(&mut details, &parts.iter().map(Some).collect::<Vec<_>>());
    sum_found(&mut details, &parts);
    details.remove(COUNTED_KEY);
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
        for output in &part.outputs {
            let inner = &output.path;
            let (index, tokens) = (inner.strip_suffix(".idx"), inner.strip_suffix(".bin"));
            let path = format!("{name}/{inner}");
            if joined && (index.is_some() || tokens.is_some()) {
                if let Some(stem) = index {
                    let joined = whole_name(&format!("{name}/{stem}"), &plan.config);
                    pairs.push(&joined, &root.join(&name), stem, &part.outputs)?;
                }
                unhashed.push(path);
            } else {
                outputs.push(OutputEntry { path, ..output.clone() });
            }
        }
        (ignored_inputs, ignored_reasons) = (part.ignored_inputs, part.ignored_reasons);
    }
    if joined {
        if pairs.is_empty() {
            return Err(Error::config("joined", "expected Megatron pairs to join, found none"));
        }
        details.insert(JOINED_KEY.to_owned(), true.into());
    } else {
        details.insert(PARTS_KEY.to_owned(), count.into());
    }
    details.insert(PLAN_KEY.to_owned(), hash.into());
    details.insert(UNHASHED_KEY.to_owned(), unhashed.into());
    let mut config = plan.config.clone();
    config["parts"] = count.into();
    let manifest = Manifest {
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
    };
    Ok((manifest, joined.then_some(pairs)))
}

/// What was decided once for all parts belongs to the folder of all of them.
fn add_decisions(manifest: &mut Manifest, decided: Decided) {
    let place = |name: &str| format!("{DECISIONS_NAME}/{name}");
    add_unhashed(manifest, vec![place(MANIFEST_NAME)]);
    manifest.details.extend(decided.manifest.details);
    let outputs = decided.manifest.outputs.into_iter();
    manifest.outputs.extend(outputs.map(|output| OutputEntry { path: place(&output.path), ..output }));
    manifest.fingerprint = fingerprint(&manifest.outputs);
}

/// Lists files that are known, and of no output.
fn add_unhashed(manifest: &mut Manifest, names: Vec<String>) {
    if let Some(unhashed) = manifest.details.get_mut(UNHASHED_KEY).and_then(Value::as_array_mut) {
        unhashed.extend(names.into_iter().map(Value::from));
    }
}
