//! Which documents are contaminated, by what: hits of the first pass become matches, and marks for the last pass.

use std::path::Path;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::by_offset::ByOffset;
use super::first_pass::FirstPass;
use super::hit_file::{Found, each_found};
use super::options::{Action, DecontaminateConfig, Preset};
use super::search::Search;
use crate::decontaminate::best_window::best_window;
use crate::decontaminate::scanner::Hit;
use crate::decontaminate::table::NgramTable;
use crate::error::Result;
use crate::progress::Progress;
use crate::token::{double, index};

/// Suffixes of what this phase leaves.
pub const MATCHES: &str = "matches";
/// See [`Mark`].
pub const MARKS: &str = "marks";

/// A row that is in a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Where the document starts.
    pub offset: u64,
    /// Its line.
    pub line: u64,
    /// Index of the text of the row.
    pub row: usize,
    /// The share of its n-grams that was found.
    pub score: f64,
    /// First byte in the document's text, and the byte behind the last.
    pub bytes: (u64, u64),
    /// The word of the document behind the last n-gram.
    pub behind: u64,
    /// Words of the row: the first one that was found, and the one behind the last.
    pub row_words: (u64, u64),
}

impl Match {
    /// Numbers of a record.
    pub const NUMBERS: usize = 9;

    fn record(&self) -> [u64; Self::NUMBERS] {
        let Self { offset, line, row, score, bytes, behind, row_words } = *self;
        [offset, line, row as u64, score.to_bits(), bytes.0, bytes.1, behind, row_words.0, row_words.1]
    }

    /// Of a record.
    pub fn of(record: [u64; Self::NUMBERS]) -> Self {
        let [offset, line, row, score, start, end, behind, first, last] = record;
        let (bytes, row_words) = ((start, end), (first, last));
        Self { offset, line, row: index(row), score: f64::from_bits(score), bytes, behind, row_words }
    }
}

/// What the last pass is to do with a record: one mark, or several to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is no document.
    Bad,
    /// It is left out.
    Drop,
    /// These bytes of its text are cut out.
    Cut(u64, u64),
}

impl Mark {
    /// Numbers of a record.
    pub const NUMBERS: usize = 3;

    fn record(self, offset: u64) -> [u64; Self::NUMBERS] {
        // No text ends before it starts.
        match self {
            Self::Bad => [offset, 1, 0],
            Self::Drop => [offset, 2, 0],
            Self::Cut(start, end) => [offset, start, end],
        }
    }

    /// Of a record.
    pub const fn of([_, start, end]: [u64; Self::NUMBERS]) -> Self {
        match (start, end) {
            (1, 0) => Self::Bad,
            (2, 0) => Self::Drop,
            _ => Self::Cut(start, end),
        }
    }
}

/// What was found in an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputScore {
    /// Matches.
    pub matches: u64,
    /// Marks for the last pass.
    pub marks: u64,
    /// Contaminated documents.
    pub documents: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

/// What was found of an evaluation file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetScore {
    /// Rows that are too short to look for, all of their texts.
    pub rows_too_short: u64,
    /// Lines of the rows that are in some document.
    pub lines_found: Vec<u64>,
    /// Documents with some row.
    pub documents: u64,
    /// Matches.
    pub matches: u64,
}

/// What this phase found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scored {
    /// N-grams that are left out, in order.
    pub common: Vec<u32>,
    /// By evaluation file.
    pub sets: Vec<SetScore>,
    /// By input.
    pub inputs: Vec<InputScore>,
}

/// Scores all documents that the first pass has found n-grams in, without those that are `common`. What comes of it goes
/// to `folder`.
///
/// # Errors
/// The system's reason.
pub fn score(
    search: &Search<'_>,
    first: &FirstPass,
    common: Vec<u32>,
    folder: &Path,
    progress: &Progress,
) -> Result<Scored> {
    let Search { config, table, .. } = search;
    let texts = &search.evaluations.texts;
    let mut scorer = Scorer::new(table, config, &common);
    let num_sets = texts.last().map_or(0, |text| text.set + 1);
    let mut scored = Scored { common, sets: vec![SetScore::default(); num_sets], inputs: Vec::new() };
    let mut is_found = vec![false; texts.len()];
    for input in 0..first.inputs.len() {
        let before = if input == 0 { first.records_before } else { 0 };
        let mut matches = ByOffset::<{ Match::NUMBERS }>::create(folder, MATCHES, input)?;
        let mut marks = ByOffset::<{ Mark::NUMBERS }>::create(folder, MARKS, input)?;
        let mut counts = InputScore::default();
        each_found(&first.folder, input, |found, hits| {
            progress.check()?;
            let found = &Found { line: found.line + before, ..*found };
            if found.is_bad {
                return marks.push(Mark::Bad.record(found.offset));
            }
            let of_document = scorer.matches(found, hits);
            if of_document.is_empty() {
                return Ok(());
            }
            counts.documents += 1;
            counts.bytes += found.bytes;
            let mut last_set = None;
            for one in &of_document {
                matches.push(one.record())?;
                is_found[one.row] = true;
                let set = texts[one.row].set;
                scored.sets[set].matches += 1;
                // Matches are in order of rows, and rows of sets.
                scored.sets[set].documents += u64::from(last_set.replace(set) != Some(set));
            }
            match config.action {
                Action::Report => Ok(()),
                Action::Drop => marks.push(Mark::Drop.record(found.offset)),
                Action::Cut => scorer
                    .cuts(&of_document, hits)
                    .into_iter()
                    .try_for_each(|(start, end)| marks.push(Mark::Cut(start, end).record(found.offset))),
            }
        })?;
        (counts.matches, counts.marks) = (matches.count, marks.count);
        matches.seal()?;
        marks.seal()?;
        scored.inputs.push(counts);
    }
    let mut at = 0;
    for row in texts.chunk_by(|a, b| (a.set, a.line) == (b.set, b.line)) {
        let own = at..at + row.len();
        at = own.end;
        let set = &mut scored.sets[row[0].set];
        if is_found[own.clone()].contains(&true) {
            set.lines_found.push(row[0].line);
        }
        set.rows_too_short += u64::from(table.rows[own].iter().all(|row| row.size.is_none()));
    }
    Ok(scored)
}

/// Scores documents.
struct Scorer<'run> {
    table: &'run NgramTable,
    config: &'run DecontaminateConfig,
    is_common: Vec<bool>,
    /// For each row, how many of its n-grams are not common, and which share of them must be found.
    asked: Vec<(u64, f64)>,
    /// Hits by n-gram, then by word.
    by_ngram: Vec<(u32, u64, usize)>,
    found_of_row: HashMap<u32, u64>,
}

impl<'run> Scorer<'run> {
    fn new(table: &'run NgramTable, config: &'run DecontaminateConfig, common: &[u32]) -> Self {
        let mut is_common = vec![false; table.first.len()];
        for ngram in common {
            is_common[*ngram as usize] = true;
        }
        let asked = table.rows.iter().map(|row| {
            let left = row.ngrams.iter().filter(|(ngram, _)| !is_common[*ngram as usize]).count();
            (left as u64, config.needed(row.num_words))
        });
        let asked = asked.collect();
        Self { table, config, is_common, asked, by_ngram: Vec::new(), found_of_row: HashMap::new() }
    }

    fn is_enough(&self, row: u32, count: u64) -> bool {
        let (asked, needed) = self.asked[row as usize];
        count > 0 && double(count) / double(asked) >= needed
    }

    /// The rows that a document is contaminated with, in order. Hits of common n-grams are removed.
    fn matches(&mut self, found: &Found, hits: &mut Vec<Hit>) -> Vec<Match> {
        hits.retain(|hit| !self.is_common[hit.ngram as usize]);
        self.by_ngram.clear();
        self.by_ngram.extend(hits.iter().enumerate().map(|(at, hit)| (hit.ngram, hit.word, at)));
        self.by_ngram.sort_unstable();
        self.found_of_row.clear();
        for same in self.by_ngram.chunk_by(|a, b| a.0 == b.0) {
            for row in self.table.holders(same[0].0) {
                *self.found_of_row.entry(*row).or_default() += 1;
            }
        }
        // No window has more n-grams than the document.
        let mut rows: Vec<u32> = self
            .found_of_row
            .iter()
            .filter(|(row, count)| self.is_enough(**row, **count))
            .map(|(row, _)| *row)
            .collect();
        rows.sort_unstable();
        rows.into_iter().filter_map(|row| self.match_of(row, found, hits)).collect()
    }

    /// The best window of a row, if it has enough of it.
    fn match_of(&self, row: u32, found: &Found, hits: &[Hit]) -> Option<Match> {
        let ngrams = &self.table.rows[row as usize];
        let mut places: Vec<(u64, u32, usize)> = Vec::new();
        for (ngram, _) in &ngrams.ngrams {
            let first = self.by_ngram.partition_point(|(other, _, _)| other < ngram);
            let own = self.by_ngram[first..].iter().take_while(|(other, _, _)| other == ngram);
            places.extend(own.map(|&(ngram, word, at)| (word, ngram, at)));
        }
        places.sort_unstable();
        let slim: Vec<(u64, u32)> = places.iter().map(|&(word, ngram, _)| (word, ngram)).collect();
        let best = best_window(&slim, 2 * ngrams.num_words as u64)?;
        if !self.is_enough(row, best.count as u64) {
            return None;
        }
        let size = ngrams.size.unwrap_or_default() as u64;
        let inside: HashSet<u32> = slim[best.first..=best.last].iter().map(|(_, ngram)| *ngram).collect();
        let mut in_row = ngrams.ngrams.iter().filter(|(ngram, _)| inside.contains(ngram));
        let first = in_row.next().map_or(0, |(_, word)| u64::from(*word));
        let last = in_row.next_back().map_or(first, |(_, word)| u64::from(*word));
        Some(Match {
            offset: found.offset,
            line: found.line,
            row: row as usize,
            score: double(best.count as u64) / double(self.asked[row as usize].0),
            bytes: (hits[places[best.first].2].start, hits[places[best.last].2].end),
            behind: places[best.last].0 + size,
            row_words: (first, last + size),
        })
    }

    /// What is cut out of a contaminated document: all n-grams of the rows that were found, wherever they are.
    fn cuts(&self, matches: &[Match], hits: &[Hit]) -> Vec<(u64, u64)> {
        let rows = matches.iter().map(|one| &self.table.rows[one.row]);
        let wanted: HashSet<u32> = rows.flat_map(|row| &row.ngrams).map(|(ngram, _)| *ngram).collect();
        let found = hits.iter().filter(|hit| wanted.contains(&hit.ngram));
        if self.config.preset == Some(Preset::Lineage) {
            // One after the other; at one word the longest n-gram comes first, then the shorter ones, as there.
            let is_shorter =
                |hit: &Hit| self.table.first[hit.ngram as usize].size as usize != self.config.ngram;
            let mut cuts: Vec<(u64, bool, u64)> =
                found.map(|hit| (hit.start, is_shorter(hit), hit.end)).collect();
            cuts.sort_unstable();
            return cuts.into_iter().map(|(start, _, end)| (start, end)).collect();
        }
        let mut cuts: Vec<(u64, u64)> = Vec::new();
        for hit in found {
            match cuts.last_mut() {
                Some((_, end)) if hit.start <= *end => *end = hit.end.max(*end),
                _ => cuts.push((hit.start, hit.end)),
            }
        }
        cuts
    }
}
