//! The n-grams of all rows in memory, each once, and a filter that lets almost nothing else pass.
//!
//! Memory: about 60 bytes for each n-gram, and 128 KiB or more for the filter.

use hashbrown::HashMap;

use super::rows::{RowText, ngram_size};
use crate::dedup::units::{Normalize, Unit, Units};
use crate::dedup::windows::Windows;
use crate::error::{Error, Result};
use crate::token::index;

/// Bits of the smallest filter, which stays in the second cache, and of the largest one.
const LEAST_BITS: usize = 1 << 20;
const MOST_BITS: usize = 1 << 24;
/// Bits of the filter for each n-gram: one window in 32 passes by chance.
const BITS_OF_NGRAM: usize = 32;
/// Bytes of memory for each n-gram, with its places in rows.
const NGRAM_BYTES: u64 = 60;

/// A text as a list of n-grams.
#[derive(Debug, Clone, Default)]
pub struct RowNgrams {
    /// Words of the text.
    pub num_words: usize,
    /// Words of its n-grams; none for a text that is too short to look for.
    pub size: Option<usize>,
    /// Each n-gram once with the word where it stands first, in the order of the text.
    pub ngrams: Vec<(u32, u32)>,
}

/// Where an n-gram stands first.
#[derive(Debug, Clone, Copy)]
pub struct FirstPlace {
    /// Index of the text.
    pub row: u32,
    /// Its first word.
    pub word: u32,
    /// How many words it has.
    pub size: u32,
}

/// The n-grams of one size.
#[derive(Debug)]
pub struct Sized {
    /// Hashes windows of this size.
    pub windows: Windows,
    /// The number of each n-gram by its hash.
    pub numbers: HashMap<u64, u32>,
}

/// All n-grams that are looked for.
#[derive(Debug)]
pub struct NgramTable {
    /// By size, the smallest first.
    pub sizes: Vec<Sized>,
    /// Of all sizes.
    pub filter: BitFilter,
    /// For every text.
    pub rows: Vec<RowNgrams>,
    /// For every n-gram.
    pub first: Vec<FirstPlace>,
    /// For every n-gram its start in `holders`, and the end.
    holder_starts: Vec<usize>,
    holders: Vec<u32>,
}

impl NgramTable {
    /// The n-grams of `n` words of these texts, whole short texts among them.
    ///
    /// # Errors
    /// More than 2^32 n-grams.
    pub fn build(texts: &[RowText], n: usize) -> Result<Self> {
        let units = Units::new(Unit::Words, Normalize::Fold)?;
        let mut sizes: Vec<Sized> = Vec::new();
        let (mut rows, mut first, mut last_row) = (Vec::new(), Vec::new(), Vec::new());
        let mut words = Vec::new();
        for (row, text) in texts.iter().enumerate() {
            units.hashes(&text.text, &mut words);
            let mut found = RowNgrams { num_words: words.len(), ..RowNgrams::default() };
            found.size = ngram_size(words.len(), n);
            if let Some(size) = found.size {
                let row = number(row)?;
                let at = sizes.iter().position(|sized| sized.windows.size() == size).unwrap_or(sizes.len());
                if at == sizes.len() {
                    sizes.push(Sized { windows: Windows::new(size), numbers: HashMap::new() });
                }
                let of_size = &mut sizes[at];
                let mut hashes = Vec::new();
                of_size.windows.each(&words, |hash| hashes.push(hash));
                for (word, hash) in hashes.into_iter().enumerate() {
                    let next = number(first.len())?;
                    let ngram = *of_size.numbers.entry(hash).or_insert(next);
                    if ngram == next {
                        first.push(FirstPlace { row, word: number(word)?, size: number(size)? });
                        last_row.push(u32::MAX);
                    }
                    if std::mem::replace(&mut last_row[ngram as usize], row) != row {
                        found.ngrams.push((ngram, number(word)?));
                    }
                }
            }
            rows.push(found);
        }
        sizes.sort_by_key(|sized| sized.windows.size());
        let mut filter = BitFilter::new(first.len());
        sizes.iter().flat_map(|sized| sized.numbers.keys()).for_each(|hash| filter.insert(*hash));
        let (holder_starts, holders) = holders(&rows, first.len())?;
        Ok(Self { sizes, filter, rows, first, holder_starts, holders })
    }

    /// The texts that an n-gram is in.
    pub fn holders(&self, ngram: u32) -> &[u32] {
        let at = ngram as usize;
        &self.holders[self.holder_starts[at]..self.holder_starts[at + 1]]
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> u64 {
        let places: usize = self.rows.iter().map(|row| row.ngrams.len()).sum();
        (self.first.len().max(places) as u64) * NGRAM_BYTES + (self.filter.words.len() as u64) * 8
    }
}

/// For every n-gram the texts with it, one list after the other.
fn holders(rows: &[RowNgrams], num_ngrams: usize) -> Result<(Vec<usize>, Vec<u32>)> {
    let mut starts = vec![0; num_ngrams + 1];
    for (ngram, _) in rows.iter().flat_map(|row| &row.ngrams) {
        starts[*ngram as usize + 1] += 1;
    }
    for at in 0..num_ngrams {
        starts[at + 1] += starts[at];
    }
    let (mut next, mut holders) = (starts.clone(), vec![0; starts[num_ngrams]]);
    for (row, found) in rows.iter().enumerate() {
        let row = number(row)?;
        for (ngram, _) in &found.ngrams {
            let at = &mut next[*ngram as usize];
            holders[*at] = row;
            *at += 1;
        }
    }
    Ok((starts, holders))
}

fn number(value: usize) -> Result<u32> {
    u32::try_from(value)
        .map_err(|_| Error::config("evaluations", "expected fewer than 2^32 n-grams, got more"))
}

/// Says of most hashes that they are not in it, at the cost of one bit.
#[derive(Debug)]
pub struct BitFilter {
    words: Vec<u64>,
    mask: usize,
}

impl BitFilter {
    fn new(num_ngrams: usize) -> Self {
        let bits = (BITS_OF_NGRAM * num_ngrams).clamp(LEAST_BITS, MOST_BITS).next_power_of_two();
        Self { words: vec![0; bits / 64], mask: bits / 64 - 1 }
    }

    fn insert(&mut self, hash: u64) {
        self.words[index(hash >> 6) & self.mask] |= 1 << (hash & 63);
    }

    /// Whether a hash may be in it.
    #[inline]
    pub fn may_hold(&self, hash: u64) -> bool {
        self.words[index(hash >> 6) & self.mask] >> (hash & 63) & 1 == 1
    }
}
