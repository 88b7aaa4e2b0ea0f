//! The end of `shard`: compressed frames become files, sealed with their seek table.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Map;

use super::cutter::{SPLIT_NAMES, ShardEnd, Splits};
use super::handover::{Checkpoint, Compressed};
use super::options::ShardConfig;
use super::shuffle::Scattered;
use crate::error::Result;
use crate::formats::jsonl_shards::ShardNames;
use crate::io::atomic::AtomicFile;
use crate::io::compression::Compression;
use crate::io::seek_table::seek_table;
use crate::ordered::Results;
use crate::pipeline::folder::books::Snapshot;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::sealer::Sealer;
use crate::progress::Progress;

/// A shard being written.
struct OpenShard {
    file: AtomicFile,
    frames: Vec<(u64, u64)>,
    num_lines: u64,
    content_bytes: u64,
}

/// Appends compressed frames to their shards, in order.
pub(in crate::pipeline) fn write<'run>(
    config: &'run ShardConfig,
    folder: &Path,
    frames: Results<Compressed>,
    sealer: &Sealer<'_, 'run>,
    scattered: &OnceLock<(Scattered, Snapshot)>,
    progress: &Progress,
) -> Result<()> {
    let mut open: Vec<Option<OpenShard>> =
        (0..config.splits.as_ref().map_or(1, Splits::count)).map(|_| None).collect();
    let names = ShardNames {
        prefix: config.prefix.clone(),
        digits: config.digits,
        first_index: config.first_index,
        compression: config.compression,
    };
    for frame in frames {
        progress.check()?;
        let Compressed { split, shard, stored, content_bytes, num_lines, end } = frame?;
        let name = match &config.splits {
            Some(Splits::Files(names)) => format!("{}{}", names[split], config.compression.suffix()),
            Some(_) => format!("{}/{}", SPLIT_NAMES[split], names.name(shard)),
            None => names.name(shard),
        };
        let current = match &mut open[split] {
            Some(current) => current,
            none => none.insert(OpenShard {
                file: AtomicFile::create(&folder.join(&name))?,
                frames: Vec::new(),
                num_lines: 0,
                content_bytes: 0,
            }),
        };
        current.file.write(&stored)?;
        Progress::add(&progress.written_bytes, stored.len() as u64);
        if !stored.is_empty() {
            current.frames.push((stored.len() as u64, content_bytes));
        }
        current.num_lines += num_lines;
        current.content_bytes += content_bytes;
        if let Some(end) = end
            && let Some(mut shard) = open[split].take()
        {
            if config.compression == Compression::Zstd {
                shard.file.write(&seek_table(&shard.frames)?)?;
            }
            let ShardEnd { checkpoint, inputs } = *end;
            let checkpoint = Checkpoint { scattered: scattered.get().cloned(), cut: checkpoint };
            let seal_name = name.clone();
            let seal = move || shard.seal(seal_name).map(|entry| vec![entry]);
            sealer.send(Some(name), Box::new(seal), inputs, &checkpoint)?;
        }
    }
    Ok(())
}

impl OpenShard {
    fn seal(self, name: String) -> Result<OutputEntry> {
        let sealed = self.file.seal()?;
        let mut details = Map::new();
        details.insert("lines".into(), self.num_lines.into());
        details.insert("content_bytes".into(), self.content_bytes.into());
        Ok(OutputEntry { path: name, size: sealed.size, hash: sealed.hash, details })
    }
}
