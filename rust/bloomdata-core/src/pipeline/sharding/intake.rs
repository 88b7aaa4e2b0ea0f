//! What is read becomes lines that are written, while the books are kept.
//!
//! Mostly a record's lines are written at once. Where the fate of a record depends on others (trees of messages, a
//! sample of an input), everything is gathered first; a run that is killed then reads it again.

use std::collections::BinaryHeap;

use super::cutter::Cutter;
use super::handover::Compressed;
use super::lines::Lines;
use super::options::{PrepareConfig, Sampling};
use super::preparer::{Preparer, turns};
use super::shuffle::Scatter;
use crate::conversation::Document;
use crate::document::BadRecord;
use crate::error::{Error, Result};
use crate::ordered::Results;
use crate::pipeline::feed::Item;
use crate::pipeline::folder::books::{Books, Snapshot};
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::{Fate, Outcome};
use crate::progress::Progress;
use crate::rng;
use crate::stages::trees::{self, TreeNode};
use crate::unread_keys::KeySet;

/// Use of the seed for samples (see [`rng::key`]).
const SAMPLE_STREAM: u64 = 5;
/// What the books say of a record that might have been in its input's sample.
const NOT_IN_SAMPLE: &str = "not in the sample";

/// Where lines go.
pub(in crate::pipeline) enum Target<'run> {
    /// To shards, in order.
    Cut(&'run mut Cutter<Compressed>),
    /// To the buckets of a shuffle.
    Scatter { scatter: Scatter, seed: u64, number: u64 },
    /// Nowhere: how many there are.
    Count(u64),
}

impl Target<'_> {
    /// The lines of another record come now.
    fn begin(&mut self) {
        if let Self::Cut(cutter) = self {
            cutter.begin();
        }
    }

    fn push(&mut self, line: &[u8], times: u64, before: &Snapshot) -> Result<()> {
        match self {
            Self::Cut(cutter) => (0..times).try_for_each(|_| cutter.push(line, before)),
            Self::Scatter { scatter, seed, number } => (0..times).try_for_each(|_| {
                scatter.push(*seed, *number, line)?;
                *number += 1;
                Ok(())
            }),
            Self::Count(lines) => {
                *lines += times;
                Ok(())
            }
        }
    }

    fn settle(&mut self, books: &mut Books<'_>) -> Result<()> {
        match self {
            Self::Cut(cutter) => {
                cutter.note_inputs(books.take_finished());
                cutter.settle(books.snapshot())
            }
            Self::Scatter { .. } | Self::Count(_) => Ok(()),
        }
    }

    /// Whether so many lines, of so many bytes, may end a shard.
    fn may_end(&self, lines: u64, bytes: u64) -> bool {
        match self {
            Self::Cut(cutter) => cutter.may_end(lines, bytes),
            Self::Scatter { .. } | Self::Count(_) => false,
        }
    }
}

/// What the parts before one hold: draws are numbered over all of them. Nothing, in a run of one part.
#[derive(Clone, Copy, Default)]
pub(in crate::pipeline) struct Before {
    pub(in crate::pipeline) inputs: usize,
    pub(in crate::pipeline) lines: u64,
}

/// Takes everything that is read.
pub(in crate::pipeline) struct Intake<'run> {
    pub(in crate::pipeline) seed: u64,
    pub(in crate::pipeline) prepare: Option<(&'run PrepareConfig, &'run Preparer)>,
    /// How often the lines of each input are written.
    pub(in crate::pipeline) repeats: Vec<u64>,
    /// What is read before it.
    pub(in crate::pipeline) before: Before,
    pub(in crate::pipeline) progress: &'run Progress,
}

impl Intake<'_> {
    /// Takes all records; their lines go to `target`.
    pub(in crate::pipeline) fn take(
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
                        let left = most.saturating_sub(books.snapshot().rows);
                        if outcome.is_row() && left < outcome.records {
                            // Rows that are dropped come several at once; the limit may fall between them.
                            if left > 0 {
                                books.settle(lines.file, &Outcome { records: left, ..outcome.clone() })?;
                            }
                            let records = outcome.records - left;
                            let beyond = Outcome { records, ..outcome.dropped("beyond max_rows_per_input") };
                            books.settle(lines.file, &beyond)?;
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
        let (mut sample, mut before) = (Sample::default(), books.snapshot().clone());
        for item in items {
            self.progress.check()?;
            match item? {
                Item::Block(lines) => {
                    Progress::add(&self.progress.documents, Outcome::count(&lines.outcomes));
                    let mut kept = lines.records();
                    for outcome in &lines.outcomes {
                        let own = kept.next_of(outcome);
                        let Fate::Kept { text_bytes, chats, unread, .. } = &outcome.fate else {
                            books.settle(lines.file, outcome)?;
                            continue;
                        };
                        let row = books.snapshot().rows;
                        books.settle(lines.file, &outcome.dropped(NOT_IN_SAMPLE))?;
                        let input = (self.before.inputs + lines.file) as u64;
                        let key = rng::key(self.seed, SAMPLE_STREAM + (input << 8), row);
                        sample.offer((key, row), most, || Candidate {
                            key,
                            row,
                            text_bytes: *text_bytes,
                            turns: chats.turns,
                            unread: unread.clone(),
                            lines: own.iter().map(<[u8]>::to_vec).collect(),
                        });
                    }
                }
                Item::End { file, hash, content_bytes } => {
                    let chosen = std::mem::take(&mut sample).chosen();
                    for candidate in &chosen {
                        let chats = ChatCounts { turns: candidate.turns, ..ChatCounts::default() };
                        let Candidate { text_bytes, unread, .. } = candidate;
                        books.keep_after_all(NOT_IN_SAMPLE, *text_bytes, chats, unread);
                    }
                    books.sync()?;
                    target.begin();
                    for line in chosen.iter().flat_map(|candidate| &candidate.lines) {
                        target.push(line, self.repeats(file), &before)?;
                    }
                    books.end_input(file, hash, content_bytes)?;
                    target.settle(books)?;
                    before = books.snapshot().clone();
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
        let Fate::Node { offset, raw, unread } = read else { return Ok(read) };
        // Its own bytes are kept for the quarantine.
        let bad = |reason: BadRecord| Fate::Bad(reason, offset, raw);
        let kept = |articles, text_bytes, turns| Fate::Kept {
            text_bytes,
            articles,
            chats: ChatCounts { turns, ..ChatCounts::default() },
            unread,
        };
        Ok(match fate {
            trees::Fate::Joined => kept(0, 0, 0),
            trees::Fate::Dropped(reason) => Fate::Dropped(reason),
            trees::Fate::Bad(reason) => bad(reason),
            trees::Fate::Path(path) => {
                let document = Document::Chat(trees::conversation(nodes, &path));
                let mut line = Vec::new();
                if let Err(reason) = preparer.line(&document, &mut line) {
                    bad(reason)
                } else {
                    target.push(&line, self.repeats(file), before)?;
                    kept(1, line.len() as u64, turns(&document))
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
    text_bytes: u64,
    turns: u64,
    unread: KeySet,
    lines: Vec<Vec<u8>>,
}

/// A sample of one input: bounded by what is asked for, whatever the input's size.
#[derive(Default)]
struct Sample {
    candidates: BinaryHeap<Candidate>,
}

impl Sample {
    /// Takes a record if its key, or else its row, is among the lowest so far.
    fn offer(&mut self, rank: (u64, u64), most: u64, candidate: impl FnOnce() -> Candidate) {
        if self.candidates.len() as u64 >= most {
            match self.candidates.peek() {
                Some(worst) if rank < (worst.key, worst.row) => self.candidates.pop(),
                _ => return,
            };
        }
        self.candidates.push(candidate());
    }

    /// The records chosen, in input order.
    fn chosen(self) -> Vec<Candidate> {
        let mut chosen = self.candidates.into_vec();
        chosen.sort_unstable_by_key(|candidate| candidate.row);
        chosen
    }
}
