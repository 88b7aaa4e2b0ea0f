//! Finds the n-grams of a table in texts: one pass over the words for each size of n-grams.

use super::table::NgramTable;
use crate::dedup::units::{Normalize, Unit, Units};
use crate::error::Result;

/// An n-gram in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Its first word.
    pub word: u64,
    /// Which one.
    pub ngram: u32,
    /// Its first byte.
    pub start: u64,
    /// The byte behind its last one.
    pub end: u64,
}

/// Scans texts; each thread has its own.
#[derive(Debug)]
pub struct Scanner<'run> {
    table: &'run NgramTable,
    units: Units,
    words: Vec<u64>,
    ranges: Vec<(usize, usize)>,
    /// First word, number and size of what was found.
    found: Vec<(usize, u32, usize)>,
    passed: Vec<(usize, u64)>,
}

impl<'run> Scanner<'run> {
    /// A scanner for the n-grams of a table.
    ///
    /// # Errors
    /// Never, see [`Units::new`].
    pub fn new(table: &'run NgramTable) -> Result<Self> {
        let units = Units::new(Unit::Words, Normalize::Fold)?;
        let (words, ranges, found, passed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { table, units, words, ranges, found, passed })
    }

    /// Puts the n-grams of a text in place of what `hits` holds, in order of their first words, the shorter first.
    pub fn scan(&mut self, text: &str, hits: &mut Vec<Hit>) {
        hits.clear();
        self.found.clear();
        self.units.hashes(text, &mut self.words);
        for sized in &self.table.sizes {
            let (filter, passed) = (&self.table.filter, &mut self.passed);
            passed.clear();
            let mut word = 0;
            sized.windows.each(&self.words, |hash| {
                if filter.may_hold(hash) {
                    passed.push((word, hash));
                }
                word += 1;
            });
            let size = sized.windows.size();
            let found =
                passed.iter().filter_map(|(word, hash)| Some((*word, *sized.numbers.get(hash)?, size)));
            self.found.extend(found);
        }
        if self.found.is_empty() {
            return;
        }
        if self.table.sizes.len() > 1 {
            self.found.sort_unstable_by_key(|(word, _, size)| (*word, *size));
        }
        // Ranges cost time, and few texts need them.
        self.units.with_ranges(text, &mut self.words, &mut self.ranges);
        hits.extend(self.found.iter().map(|&(word, ngram, size)| Hit {
            word: word as u64,
            ngram,
            start: self.ranges[word].0 as u64,
            end: self.ranges[word + size - 1].1 as u64,
        }));
    }
}
