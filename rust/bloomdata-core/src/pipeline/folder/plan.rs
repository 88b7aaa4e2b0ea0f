//! `plan.json`: what all parts of a run agree on before any of them reads: options, inputs, and who reads what.
//!
//! The first part to start writes it, once; each other one makes its own and compares. So a part that was given other
//! options, or sees other inputs, stops before it writes anything.

use std::borrow::Cow;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::manifest::{FORMAT_VERSION, MANIFEST_NAME, Manifest, VERSION, check_same_input, differs};
use crate::error::{Error, Result};
use crate::hash::ContentHasher;
use crate::io::atomic::remove_if_present;
use crate::sources::parts::{Part, SharedInput, Sharing};

/// Its name, in the folder that holds the parts.
pub const PLAN_NAME: &str = "plan.json";
/// Key of its hash in the details of manifests.
pub const PLAN_KEY: &str = "plan";
/// Key of the number of parts in the details of the manifest of all of them.
pub const PARTS_KEY: &str = "parts";
/// Key of the details of folders whose Megatron pairs are joined.
pub const JOINED_KEY: &str = "joined";
/// Folder of what was decided once for all parts, beside them.
pub const DECISIONS_NAME: &str = "decisions";
/// Key of the fingerprint of the decisions in the options of the parts that write by them.
pub const DECISIONS_KEY: &str = "decisions";
/// Folder of what the parts before one hold, as a counting phase has found: parts with a plan of their own.
pub const COUNTS_NAME: &str = "counts";
/// Key in the options of a counting phase.
pub const COUNTING_KEY: &str = "counting";
/// Key of the hash of all that was counted, in the options of the parts that go by it.
pub const COUNTS_KEY: &str = "counts";
/// Key of how much there is in the parts before one, in its options.
pub const COUNTED_BEFORE_KEY: &str = "counted_before";
/// Folder of what a decision needs of all inputs, which is gone once there is one.
const SIGNATURES_NAME: &str = "signatures";

/// The plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan<'run> {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of the library; parts of two versions are not joined.
    pub bloomdata_version: String,
    /// `shard`, `prepare`, `pack`.
    pub verb: String,
    /// Every option that decides output bytes, the same for all parts.
    pub config: Value,
    /// How inputs are shared out.
    #[serde(flatten)]
    pub sharing: Sharing,
    /// All inputs, and the parts that they are in.
    pub inputs: Cow<'run, [SharedInput]>,
}

impl Plan<'_> {
    /// Writes the plan beside `folder`, the folder of a part, or compares it with the one that is there. Its hash.
    ///
    /// # Errors
    /// [`Error::Mismatch`] names the first thing that differs; a folder that holds something else; the system's reason.
    pub fn agree(folder: &Path, verb: &str, config: &Value, part: &Part) -> Result<String> {
        let root = folder.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(root).map_err(Error::io(root))?;
        let plan = Plan::of_part(verb, config, part);
        if let Some((hash, compared)) = plan.compare_written(root)? {
            if compared.is_ok() || has_parts(root)? {
                return compared.map(|()| hash);
            }
            // No part has done anything by the plan that is there: it stands in nobody's way.
            remove_if_present(&root.join(PLAN_NAME))?;
        } else {
            refuse_others(root)?;
        }
        if !plan.create(root)? {
            // Another part was faster.
            let found = Plan::read(root)?.ok_or_else(|| Error::Internal("a plan that is gone".into()))?;
            found.compare(&plan)?;
        }
        plan.hash()
    }

    /// Compares the plan in a folder that holds other parts of the same inputs with what it must be for a part. Its hash;
    /// `None` where there is none.
    ///
    /// # Errors
    /// As [`Plan::agree`].
    pub fn check(root: &Path, verb: &str, config: &Value, part: &Part) -> Result<Option<String>> {
        let written = Plan::of_part(verb, config, part).compare_written(root)?;
        written.map(|(hash, compared)| compared.map(|()| hash)).transpose()
    }

    fn of_part<'run>(verb: &str, config: &Value, part: &'run Part) -> Plan<'run> {
        Plan {
            format_version: FORMAT_VERSION,
            bloomdata_version: VERSION.to_owned(),
            verb: verb.to_owned(),
            config: common_config(config, part.number),
            sharing: part.sharing,
            inputs: Cow::Borrowed(&part.shared[..]),
        }
    }

    /// The hash of the plan that is there, and how it compares with this one; `None` where there is none.
    fn compare_written(&self, root: &Path) -> Result<Option<(String, Result<()>)>> {
        if self.is_written(root)? {
            return Ok(Some((self.hash()?, Ok(()))));
        }
        let Some(found) = Plan::read(root)? else { return Ok(None) };
        Ok(Some((found.hash()?, found.compare(self).map_err(for_all_parts))))
    }

    /// Whether the plan that is there is this one, byte for byte. Of a million inputs it is not to be held twice.
    fn is_written(&self, root: &Path) -> Result<bool> {
        let path = root.join(PLAN_NAME);
        let Some(file) = open_if_there(&path)? else { return Ok(false) };
        let comparing = Comparing { file: BufReader::new(file), found: Vec::new() };
        let mut writer = BufWriter::with_capacity(1 << 16, comparing);
        let written = serde_json::to_writer(&mut writer, self).map_err(std::io::Error::from);
        match written.and_then(|()| writer.write_all(b"\n")).and_then(|()| writer.flush()) {
            Ok(()) => {
                let rest = writer.get_mut().file.fill_buf().map_err(Error::io(&path))?;
                Ok(rest.is_empty())
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(false),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    /// Reads the plan in the folder that holds the parts; `None` where there is none.
    ///
    /// # Errors
    /// A file that is no plan; the system's reason.
    pub fn read(root: &Path) -> Result<Option<Plan<'static>>> {
        let path = root.join(PLAN_NAME);
        let Some(file) = open_if_there(&path)? else { return Ok(None) };
        let plan = serde_json::from_reader(BufReader::new(file));
        plan.map(Some).map_err(|error| Error::corrupt(&path, 0, format!("not a plan of bloomdata: {error}")))
    }

    /// Writes it unless there is one; whether it did.
    fn create(&self, root: &Path) -> Result<bool> {
        let path = root.join(PLAN_NAME);
        // Other machines may be at it, too.
        let chance = RandomState::new().build_hasher().finish();
        let temporary = root.join(format!("{PLAN_NAME}.{chance:016x}"));
        let file = File::create(&temporary).map_err(Error::io(&temporary))?;
        let mut writer = BufWriter::new(file);
        serde_json::to_writer(&mut writer, self).map_err(|error| Error::io(&temporary)(error.into()))?;
        let written = writer.write_all(b"\n").and_then(|()| writer.into_inner()?.sync_all());
        // A link is made only if the name is free, also on NFS, where two machines would race for it.
        let linked = written.and_then(|()| std::fs::hard_link(&temporary, &path));
        remove_if_present(&temporary)?;
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    /// Hash of what decides output bytes: without times, so that a copy of the inputs has the same.
    ///
    /// # Errors
    /// Never, for what we hold.
    pub fn hash(&self) -> Result<String> {
        let mut hasher = HashWriter(ContentHasher::default());
        let head = (self.format_version, &self.bloomdata_version, &self.verb, &self.config, self.sharing);
        hasher.put(&head)?;
        for SharedInput { input, content_bytes, rows, first_part, cuts } in self.inputs.iter() {
            let stored =
                (&input.path, input.format, input.compression, input.size, &input.records, &input.tag);
            hasher.put(&(stored, content_bytes, rows, first_part, cuts))?;
        }
        Ok(hasher.0.hex())
    }

    /// # Errors
    /// The first thing that differs.
    fn compare(&self, now: &Plan<'_>) -> Result<()> {
        if self.bloomdata_version != now.bloomdata_version {
            let what = differs("version of bloomdata");
            return Err(Error::mismatch(what, &self.bloomdata_version, &now.bloomdata_version));
        }
        if self.sharing.parts != now.sharing.parts {
            return Err(Error::mismatch(differs("parts"), self.sharing.parts, now.sharing.parts));
        }
        Manifest::check_same_run(&now.verb, (&self.verb, &self.config), &now.config)?;
        if self.sharing != now.sharing {
            let text = |sharing: Sharing| format!("{sharing:?}");
            return Err(Error::mismatch(differs("sharing"), text(self.sharing), text(now.sharing)));
        }
        // An input that is another one moves the cuts of all others: first what they are, then their parts.
        for (then, now) in self.inputs.iter().zip(now.inputs.iter()) {
            check_same_input(&then.input, &now.input)?;
        }
        if self.inputs.len() != now.inputs.len() {
            let at = self.inputs.len().min(now.inputs.len());
            let more = self.inputs.get(at).or(now.inputs.get(at)).map(|shared| shared.input.path.display());
            let what = more.map_or_else(String::new, |path| format!(" (from {path} on)"));
            let what = differs(&format!("number of inputs{what}"));
            return Err(Error::mismatch(what, self.inputs.len(), now.inputs.len()));
        }
        match self.inputs.iter().zip(now.inputs.iter()).find(|(then, now)| then != now) {
            None => Ok(()),
            Some((then, now)) => {
                let what = differs(&format!("input {}", now.input.path.display()));
                Err(Error::mismatch(what, format!("{then:?}"), format!("{now:?}")))
            }
        }
    }

    /// Whether all inputs are what they were when the run was planned, by their sizes and times.
    ///
    /// # Errors
    /// The first one that is not, or is gone.
    pub fn check_inputs(&self) -> Result<()> {
        // Only who knows the store can look at its objects.
        for SharedInput { input, .. } in self.inputs.iter().filter(|shared| shared.input.tag.is_none()) {
            let now = crate::sources::input::describe(&input.path).map_err(|error| match error {
                Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
                    let reason = format!(
                        "{} is not there: the end of a run compares inputs with its plan, so they must be where they \
                         were, and names without a folder are meant from where the parts were run",
                        path.display()
                    );
                    Error::config("inputs", reason)
                }
                other => other,
            })?;
            let changed =
                || Error::config("inputs", format!("{} is no input any more", input.path.display()));
            let now = now.ok_or_else(changed)?;
            if now.size != input.size {
                return Err(changed_since("size in bytes", input.size, now.size, &input.path));
            }
            if now.modified_ns != input.modified_ns {
                return Err(changed_since("last change", input.modified_ns, now.modified_ns, &input.path));
            }
        }
        Ok(())
    }
}

/// A single part cannot replace the plan of all.
fn for_all_parts(error: Error) -> Error {
    match error {
        Error::Mismatch { what, expected, found } => {
            let what = what.replace("overwrite=True starts", "overwrite=True without part starts");
            Error::Mismatch { what, expected, found }
        }
        other => other,
    }
}

fn open_if_there(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}

/// Compares what is written with a file; what differs is an error of kind `InvalidData`.
struct Comparing {
    file: BufReader<File>,
    found: Vec<u8>,
}

impl Write for Comparing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.found.resize(bytes.len(), 0);
        match self.file.read_exact(&mut self.found) {
            Ok(()) if self.found == bytes => Ok(bytes.len()),
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hashes what is written as JSON.
struct HashWriter(ContentHasher);

impl HashWriter {
    fn put(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(self, value).map_err(|error| Error::Internal(error.to_string()))
    }
}

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn changed_since(what: &str, then: u64, now: u64, path: &Path) -> Error {
    Error::mismatch(format!("{}: {what} (changed since the parts were planned)", path.display()), then, now)
}

/// The folder of a part, in the folder that holds all of them.
pub fn part_folder(root: &Path, number: u64, parts: u64) -> PathBuf {
    root.join(part_name(number, parts))
}

/// Its name.
pub fn part_name(number: u64, parts: u64) -> String {
    format!("part-{number:05}-of-{parts:05}")
}

/// The prefix of the names of a part's files.
pub fn part_prefix(prefix: &str, number: u64) -> String {
    format!("{prefix}-{number:05}")
}

/// The name of a file of all parts together, of that of one part's file in the folder of all of them: without the
/// folder and the number of the part.
pub fn whole_name(path: &str, config: &Value) -> String {
    let part = path.split_once('/').and_then(|(folder, name)| Some((is_part(folder)?.0, name)));
    let Some((number, name)) = part else { return path.to_owned() };
    let prefix = config.get("prefix").and_then(Value::as_str).unwrap_or_default();
    let rest = name.strip_prefix(&*part_prefix(prefix, number));
    rest.map_or_else(|| name.to_owned(), |rest| format!("{prefix}{rest}"))
}

/// Options without what is a part's own.
pub fn common_config(config: &Value, number: u64) -> Value {
    let mut config = config.clone();
    if let Some(options) = config.as_object_mut() {
        options.remove("part");
        options.remove("parts");
        options.remove(COUNTED_BEFORE_KEY);
        let suffix = part_prefix("", number);
        let prefix = options
            .get("prefix")
            .and_then(Value::as_str)
            .map(|prefix| Value::from(prefix.strip_suffix(&*suffix).unwrap_or(prefix)));
        options.extend(prefix.map(|prefix| ("prefix".to_owned(), prefix)));
    }
    config
}

/// Whether a folder holds folders of parts, or their books.
fn has_parts(root: &Path) -> Result<bool> {
    if root.join(MANIFEST_NAME).exists() {
        return Ok(root.join(PLAN_NAME).exists());
    }
    let entries = std::fs::read_dir(root).map_err(Error::io(root))?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.any(|name| is_part(&name).is_some()))
}

/// Refuses a folder that has no plan and holds anything but parts, their signs of life, plans that are being written, and
/// what comes before parts.
///
/// # Errors
/// Such a folder; the system's reason.
pub fn refuse_others(root: &Path) -> Result<()> {
    let mut entries = std::fs::read_dir(root).map_err(Error::io(root))?;
    let holds_others = entries.any(|entry| {
        let name = entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        let is_before = [DECISIONS_NAME, SIGNATURES_NAME, COUNTS_NAME].contains(&&*name);
        is_part(stem).is_none() && !name.starts_with(PLAN_NAME) && !is_before
    });
    if holds_others {
        let reason =
            format!("expected a new or empty folder, or one with the parts of a run, got {}", root.display());
        return Err(Error::config("output", reason));
    }
    Ok(())
}

/// The numbers in the name of a part's folder: its own, and how many there are.
pub fn is_part(name: &str) -> Option<(u64, u64)> {
    let (number, parts) = name.strip_prefix("part-")?.split_once("-of-")?;
    let (number, parts) = (number.parse().ok()?, parts.parse().ok()?);
    (part_name(number, parts) == name).then_some((number, parts))
}
