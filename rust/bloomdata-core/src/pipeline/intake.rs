//! What is read becomes lines that are written, while the books are kept.
//!
//! Mostly a record's lines are written at once. Where the fate of a record depends on others (trees of messages, a
//! sample of an input), everything is gathered first; a run that is killed then reads it again.

use std::collections::BinaryHeap;

use super::books::{Books, ChatCounts, Fate, Outcome, Snapshot};
use super::cutter::Cutter;
use super::feed::Item;
use super::lines::{Lines, RecordLines};
use super::prepare::{PrepareConfig, Preparer, Sampling, turns};
use super::shard::Compressed;
use super::shuffle::Scatter;
use crate::conversation::Document;
use crate::document::BadRecord;
use crate::error::{Error, Result};
use crate::ordered::Results;
use crate::progress::Progress;
use crate::rng;
use crate::stages::trees::{self, TreeNode};

/// Use of the seed for samples (see [`rng::key`]).
const SAMPLE_STREAM: u64 = 5;

/// Where lines go.
pub(super) enum Target<'run> {
    /// To shards, in order.
    Cut(&'run mut Cutter<Compressed>),
    /// To the buckets of a shuffle.
    Scatter { scatter: Scatter, seed: u64, number: u64 },
}

impl Target<'_> {
    fn begin(&mut self) {
        if let Self::Cut(cutter) = self {
            cutter.begin();
        }
    }

    fn push(&mut self, line: &[u8], times: u64, before: &Snapshot) -> Result<()> {
        for _ in 0..times {
            match self {
                Self::Cut(cutter) => cutter.push(line, before)?,
                Self::Scatter { scatter, seed, number } => {
                    scatter.push(*seed, *number, line)?;
                    *number += 1;
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self, books: &mut Books<'_>) -> Result<()> {
        match self {
            Self::Cut(cutter) => {
                cutter.note_inputs(books.take_finished());
                cutter.settle(books.snapshot())
            }
            Self::Scatter { .. } => Ok(()),
        }
    }

    /// Whether so many lines, of so many bytes, may end a shard.
    fn may_end(&self, lines: u64, bytes: u64) -> bool {
        match self {
            Self::Cut(cutter) => cutter.may_end(lines, bytes),
            Self::Scatter { .. } => false,
        }
    }
}

/// Takes everything that is read.
pub(super) struct Intake<'run> {
    pub(super) seed: u64,
    pub(super) prepare: Option<(&'run PrepareConfig, &'run Preparer)>,
    /// How often the lines of each input are written.
    pub(super) repeats: Vec<u64>,
    pub(super) progress: &'run Progress,
}

impl Intake<'_> {
    /// Takes all records; their lines go to `target`.
    pub(super) fn take(
        &self,
        items: Results<Item<Lines>>,
        books: &mut Books<'_>,
        target: &mut Target<'_>,
    ) -> Result<()> {
        match self.prepare {
            Some((config, preparer)) if config.source.trees().is_some() => {
                self.take_trees((config, preparer), items, books, target)
            }
            Some((
                PrepareConfig { sampling: Sampling::Reservoir, max_rows_per_input: Some(most), .. },
                _,
            )) => self.take_samples(*most, items, books, target),
            _ => self.take_all(items, books, target),
        }
    }

    fn repeats(&self, file: usize) -> u64 {
        self.repeats.get(file).copied().unwrap_or(1)
    }

    /// Straight on. The first records of each input, if only so many are wanted.
    fn take_all(
        &self,
        items: Results<Item<Lines>>,
        books: &mut Books<'_>,
        target: &mut Target<'_>,
    ) -> Result<()> {
        let most = self.prepare.and_then(|(config, _)| config.max_rows_per_input).unwrap_or(u64::MAX);
        for item in items {
            self.progress.check()?;
            match item? {
                Item::Block(lines) => {
                    Progress::add(&self.progress.documents, Outcome::count(&lines.outcomes));
                    let times = self.repeats(lines.file);
                    let mut kept = lines.records();
                    for outcome in &lines.outcomes {
                        let own = kept.next_of(outcome);
                        if books.snapshot().rows >= most && outcome.is_row() {
                            books.settle(lines.file, &outcome.dropped("beyond max_rows_per_input"))?;
                            continue;
                        }
                        if own.count() > 0 {
                            target.begin();
                            let count = times.saturating_mul(own.count());
                            if target.may_end(count, times.saturating_mul(own.num_bytes())) {
                                books.sync()?;
                            }
                            for line in own.iter() {
                                target.push(line, times, books.snapshot())?;
                            }
                        }
                        books.settle(lines.file, outcome)?;
                        target.settle(books)?;
                    }
                }
                Item::End { file, hash, content_bytes } => {
                    books.end_input(file, hash, content_bytes)?;
                    target.settle(books)?;
                }
            }
        }
        Ok(())
    }

    /// So many records of each input, those with the lowest keys.
    fn take_samples(
        &self,
        most: u64,
        items: Results<Item<Lines>>,
        books: &mut Books<'_>,
        target: &mut Target<'_>,
    ) -> Result<()> {
        let mut sample = Sample::default();
        for item in items {
            self.progress.check()?;
            match item? {
                Item::Block(lines) => {
                    Progress::add(&self.progress.documents, Outcome::count(&lines.outcomes));
                    let mut kept = lines.records();
                    for outcome in lines.outcomes.iter() {
                        let own = kept.next_of(outcome);
                        sample.add((self.seed, lines.file, most), outcome, own);
                    }
                }
                Item::End { file, hash, content_bytes } => {
                    let before = books.snapshot().clone();
                    let chosen = std::mem::take(&mut sample).settle(file, books)?;
                    books.sync()?;
                    target.begin();
                    for line in &chosen {
                        target.push(line, self.repeats(file), &before)?;
                    }
                    books.end_input(file, hash, content_bytes)?;
                    target.settle(books)?;
                }
            }
        }
        Ok(())
    }

    /// All messages of all inputs, then the conversations that they make, in the order of their roots.
    fn take_trees(
        &self,
        (config, preparer): (&PrepareConfig, &Preparer),
        items: Results<Item<Lines>>,
        books: &mut Books<'_>,
        target: &mut Target<'_>,
    ) -> Result<()> {
        let before = books.snapshot().clone();
        let (mut nodes, mut read): (Vec<TreeNode>, Vec<Read>) = (Vec::new(), Vec::new());
        for item in items {
            self.progress.check()?;
            match item? {
                Item::Block(mut lines) => {
                    Progress::add(&self.progress.documents, Outcome::count(&lines.outcomes));
                    let mut found = std::mem::take(&mut lines.nodes).into_iter();
                    let records: Vec<Vec<Vec<u8>>> = {
                        let mut kept = lines.records();
                        let own =
                            |outcome: &Outcome| kept.next_of(outcome).iter().map(<[u8]>::to_vec).collect();
                        lines.outcomes.iter().map(own).collect()
                    };
                    for (outcome, own) in lines.outcomes.into_iter().zip(records) {
                        let node = if outcome.is_node() { found.next() } else { None };
                        let node = node.map(|node| {
                            nodes.push(node);
                            nodes.len() - 1
                        });
                        read.push(Read::Record { file: lines.file, outcome, node, own });
                    }
                }
                Item::End { file, hash, content_bytes } => read.push(Read::End { file, hash, content_bytes }),
            }
        }
        let end_on = config.source.trees().map_or(trees::EndOn::Any, |options| options.end_on);
        let mut fates = trees::fates(&nodes, end_on).into_iter();
        target.begin();
        books.sync()?;
        for entry in read {
            self.progress.check()?;
            let (file, mut outcome, node, own) = match entry {
                Read::Record { file, outcome, node, own } => (file, outcome, node, own),
                Read::End { file, hash, content_bytes } => {
                    books.end_input(file, hash, content_bytes)?;
                    continue;
                }
            };
            for line in own {
                target.push(&line, self.repeats(file), &before)?;
            }
            if node.is_some() {
                let fate = fates.next().ok_or_else(|| Error::Internal("a message without a fate".into()))?;
                outcome.fate =
                    self.of_tree((preparer, &nodes), (file, outcome.fate, fate), (target, &before))?;
            }
            books.settle(file, &outcome)?;
        }
        books.sync()?;
        target.settle(books)
    }

    /// Writes the conversation of a root; what becomes of the message.
    fn of_tree(
        &self,
        (preparer, nodes): (&Preparer, &[TreeNode]),
        (file, read, fate): (usize, Fate, trees::Fate),
        (target, before): (&mut Target<'_>, &Snapshot),
    ) -> Result<Fate> {
        // Its own bytes are kept for the quarantine.
        let bad = |reason: BadRecord| match read {
            Fate::Node { offset, raw } => Fate::Bad(reason, offset, raw),
            other => other,
        };
        let kept = |articles, text_bytes, turns| Fate::Kept {
            text_bytes,
            articles,
            chats: ChatCounts { turns, ..ChatCounts::default() },
        };
        Ok(match fate {
            trees::Fate::Joined => kept(0, 0, 0),
            trees::Fate::Dropped(reason) => Fate::Dropped(reason),
            trees::Fate::Bad(reason) => bad(reason),
            trees::Fate::Path(path) => {
                let document = Document::Chat(trees::conversation(nodes, &path));
                let mut line = Vec::new();
                match preparer.line(&document, &mut line) {
                    Err(reason) => bad(reason),
                    Ok(()) => {
                        target.push(&line, self.repeats(file), before)?;
                        kept(1, line.len() as u64, turns(&document))
                    }
                }
            }
        })
    }
}

/// What was read, in order, while it is not known what becomes of it.
enum Read {
    Record { file: usize, outcome: Outcome, node: Option<usize>, own: Vec<Vec<u8>> },
    End { file: usize, hash: String, content_bytes: u64 },
}

/// A record of a sample that may still be thrown out. The greatest key goes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    key: u64,
    row: u64,
    start: u64,
    next_offset: u64,
    text_bytes: u64,
    turns: u64,
    lines: Vec<Vec<u8>>,
}

/// A sample of one input: bounded by what is asked for, whatever the input's size.
#[derive(Default)]
struct Sample {
    candidates: BinaryHeap<Candidate>,
    /// Records that are no candidates: where each starts, its number, and its fate.
    others: Vec<(u64, u64, Outcome)>,
    rows: u64,
    offset: u64,
}

impl Sample {
    fn add(&mut self, (seed, file, most): (u64, usize, u64), outcome: &Outcome, lines: RecordLines<'_>) {
        let (start, row) = (self.offset, self.rows);
        self.offset = outcome.next_offset;
        self.rows += outcome.records;
        let Fate::Kept { text_bytes, chats, .. } = &outcome.fate else {
            self.others.push((start, row, outcome.clone()));
            return;
        };
        let key = rng::key(seed, SAMPLE_STREAM + ((file as u64) << 8), row);
        if self.candidates.len() as u64 >= most && self.candidates.peek().is_none_or(|worst| worst.key < key)
        {
            return;
        }
        self.candidates.push(Candidate {
            key,
            row,
            start,
            next_offset: outcome.next_offset,
            text_bytes: *text_bytes,
            turns: chats.turns,
            lines: lines.iter().map(<[u8]>::to_vec).collect(),
        });
        if self.candidates.len() as u64 > most {
            self.candidates.pop();
        }
    }

    /// Settles all records of the input in order; the lines of those chosen.
    fn settle(self, file: usize, books: &mut Books<'_>) -> Result<Vec<Vec<u8>>> {
        let mut events = self.others;
        let mut lines = Vec::new();
        let mut chosen = self.candidates.into_vec();
        chosen.sort_unstable_by_key(|candidate| candidate.row);
        for Candidate { row, start, next_offset, text_bytes, turns, lines: own, .. } in chosen {
            let chats = ChatCounts { turns, ..ChatCounts::default() };
            let fate = Fate::Kept { text_bytes, articles: own.len() as u64, chats };
            events.push((start, row, Outcome { records: 1, next_offset, fate }));
            lines.extend(own);
        }
        events.sort_by_key(|&(_, row, _)| row);
        let gap =
            |records, next_offset| Outcome { records, next_offset, fate: Fate::Dropped("not in the sample") };
        let mut row = 0;
        for (start, first, outcome) in events {
            if first > row {
                books.settle(file, &gap(first - row, start))?;
            }
            row = first + outcome.records;
            books.settle(file, &outcome)?;
        }
        if self.rows > row {
            books.settle(file, &gap(self.rows - row, self.offset))?;
        }
        Ok(lines)
    }
}
