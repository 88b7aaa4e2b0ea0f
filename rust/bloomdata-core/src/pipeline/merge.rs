//! The verb `merge`: finished Megatron pairs become one, as if their documents had been written one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::folder::manifest::{InputEntry, Manifest, OutputEntry, UNHASHED_KEY};
use super::folder::names::OutputNames;
use super::folder::plan::{JOINED_KEY, PARTS_KEY, PLAN_KEY, whole_name};
use super::folder::run::{Opened, Request, Run, RunOptions, RunResult};
use super::pack_options::TOKENIZER_PATH;
use super::pair_groups::{PairGroups, describe, open_pair};
use crate::error::{Error, Result};
use crate::formats::megatron::with_suffix;
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::sources::inputs::InputList;

/// Merges `prefixes` (paths without `.bin` and `.idx`, or folders written by `pack`) in their order.
///
/// # Errors
/// Pairs of different token types or from different tokenizers, folders with different fields, damaged indices.
pub fn merge(sources: &[String], name: &str, options: &RunOptions, progress: &Progress) -> Result<RunResult> {
    let (groups, manifests, bare) = collect(sources, name)?;
    let mut list = InputList::default();
    for pair in groups.0.values().flatten() {
        for suffix in [".bin", ".idx"] {
            list.inputs.push(describe(&with_suffix(&pair.prefix, suffix))?);
        }
    }
    let names: Vec<&String> = groups.0.keys().collect();
    let config = json!({ "names": names });
    let request = Request {
        verb: "merge",
        output: &options.output,
        config,
        inputs: &list,
        overwrite: options.overwrite,
        limits: options.limits,
        names: OutputNames {
            last: names
                .iter()
                .flat_map(|name| [".bin", ".idx"].map(|suffix| format!("{name}{suffix}")))
                .chain([TOKENIZER_PATH.to_owned()])
                .collect(),
            ..OutputNames::default()
        },
    };
    let run = match Run::open(request, progress)? {
        Opened::Finished(result) => return Ok(*result),
        Opened::Ready(run) => run,
    };
    let folder = run.folder();
    let mut inputs = Vec::new();
    let mut outputs = Vec::new();
    let mut ledger = Ledger::default();
    for manifest in manifests.iter().flatten() {
        ledger.add(&manifest.ledger);
    }
    ledger.add(&bare);
    outputs.extend(groups.merge_into(folder, &mut inputs, None, progress)?);
    let mut details = Map::new();
    if let Some(Some(first)) = manifests.first() {
        details.clone_from(&first.details);
        // What a folder of parts says of its parts.
        for key in [PARTS_KEY, PLAN_KEY, JOINED_KEY, UNHASHED_KEY] {
            details.remove(key);
        }
        sum_counts(&mut details, &manifests.iter().map(Option::as_ref).collect::<Vec<_>>());
        if let Some(source) = sources.first() {
            outputs.extend(copy_tokenizer(Path::new(source), folder, &mut details)?);
        }
    }
    let inputs: BTreeMap<usize, InputEntry> = inputs.into_iter().enumerate().collect();
    let manifest = run.finish(inputs, outputs, ledger, details)?;
    Ok(RunResult { manifest, was_finished: false, was_resumed: false })
}

/// Counts of articles are those of all inputs; without them where one does not say.
pub fn sum_counts(details: &mut Map<String, Value>, manifests: &[Option<&Manifest>]) {
    let of = |key: &str| -> Option<Vec<&Value>> {
        manifests.iter().map(|manifest| (*manifest)?.details.get(key)).collect()
    };
    if let Some(all) = of("metrics") {
        let mut sum: Map<String, Value> = Map::new();
        for (name, count) in all.into_iter().filter_map(Value::as_object).flatten() {
            let before = sum.get(name).and_then(Value::as_u64).unwrap_or_default();
            sum.insert(name.clone(), (before + count.as_u64().unwrap_or_default()).into());
        }
        details.insert("metrics".to_owned(), sum.into());
    }
    let sum = |counts: Vec<&Value>| counts.into_iter().filter_map(Value::as_u64).sum::<u64>();
    let (articles, lines) = (of("articles").map(sum), of("lines").map(sum));
    let histogram = of("length_histogram").map(|histograms| {
        let mut sum: Vec<u64> = Vec::new();
        for histogram in histograms.into_iter().filter_map(Value::as_array) {
            sum.resize(sum.len().max(histogram.len()), 0);
            for (total, count) in sum.iter_mut().zip(histogram) {
                *total += count.as_u64().unwrap_or_default();
            }
        }
        sum
    });
    details.remove("articles");
    details.remove("length_histogram");
    details.extend(articles.map(|articles| ("articles".to_owned(), articles.into())));
    details.extend(lines.map(|lines| ("lines".to_owned(), lines.into())));
    details.extend(histogram.map(|histogram| ("length_histogram".to_owned(), histogram.into())));
}

/// Opens all pairs; the last of the three are the books of those that have no manifest.
fn collect(sources: &[String], name: &str) -> Result<(PairGroups, Vec<Option<Manifest>>, Ledger)> {
    let mut bare = Ledger::default();
    let mut groups = PairGroups::default();
    // In how many sources each group is.
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    let mut manifests: Vec<Option<Manifest>> = Vec::new();
    for source in sources {
        let path = Path::new(source);
        let manifest = if path.is_dir() { Manifest::read(path)? } else { None };
        match &manifest {
            Some(manifest) => {
                let indices = manifest.outputs.iter().filter_map(|output| output.path.strip_suffix(".idx"));
                let mut names = BTreeSet::new();
                for stem in indices {
                    // A folder of parts has a pair in each of them.
                    let name = whole_name(stem, &manifest.config);
                    groups.push(&name, path, stem, &manifest.outputs)?;
                    names.insert(name);
                }
                for name in names {
                    *named.entry(name).or_default() += 1;
                }
            }
            None if path.is_dir() => {
                return Err(Error::config(
                    "inputs",
                    format!("expected a finished folder of pack or merge, got {source}"),
                ));
            }
            None => {
                let stem =
                    source.strip_suffix(".idx").or_else(|| source.strip_suffix(".bin")).unwrap_or(source);
                let pair = open_pair(Path::new(stem))?;
                bare.add(&pair.books()?);
                groups.0.entry(name.to_owned()).or_default().push(pair);
                *named.entry(name.to_owned()).or_default() += 1;
            }
        }
        // A bare pair says nothing of its tokenizer; the folders around it still do.
        if let (Some(first), Some(this)) = (manifests.iter().flatten().next(), &manifest) {
            same(source, "tokenizer", first, this)?;
        }
        manifests.push(manifest);
    }
    for (name, pairs) in &groups.0 {
        let holders = named.get(name).copied().unwrap_or_default();
        if holders != sources.len() {
            let reason =
                format!("{name} is in {holders} of {} inputs; all must hold the same fields", sources.len());
            return Err(Error::config("inputs", reason));
        }
        for pair in pairs {
            if pair.header.dtype != pairs[0].header.dtype {
                let what = format!("{}.idx: token type", pair.prefix.display());
                return Err(Error::mismatch(
                    what,
                    format!("{:?}", pairs[0].header.dtype),
                    format!("{:?}", pair.header.dtype),
                ));
            }
        }
    }
    if groups.is_empty() {
        return Err(Error::config("inputs", "no Megatron pairs to merge"));
    }
    Ok((groups, manifests, bare))
}

fn same(source: &str, key: &str, first: &Manifest, this: &Manifest) -> Result<()> {
    let of =
        |manifest: &Manifest| manifest.details.get(key).and_then(|value| value.get("fingerprint")).cloned();
    if of(first) == of(this) {
        return Ok(());
    }
    let text = |value: Option<Value>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
    Err(Error::mismatch(format!("{source}: {key}"), text(of(first)), text(of(this))))
}

fn copy_tokenizer(
    source: &Path,
    folder: &Path,
    details: &mut Map<String, Value>,
) -> Result<Option<OutputEntry>> {
    let place = details.get_mut("tokenizer").and_then(|tokenizer| tokenizer.get_mut("path"));
    let Some(place) = place.filter(|place| place.is_string()) else { return Ok(None) };
    // In a folder of parts it lies in that of the first one.
    let path = std::mem::replace(place, TOKENIZER_PATH.into());
    let from = source.join(path.as_str().unwrap_or_default());
    let bytes = std::fs::read(&from).map_err(Error::io(&from))?;
    let sealed = crate::io::atomic::write_atomically(&folder.join(TOKENIZER_PATH), &bytes)?;
    Ok(Some(OutputEntry {
        path: TOKENIZER_PATH.to_owned(),
        size: sealed.size,
        hash: sealed.hash,
        details: Map::new(),
    }))
}
