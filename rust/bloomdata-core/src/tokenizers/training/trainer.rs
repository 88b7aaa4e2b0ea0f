//! Learns merges: merges the most frequent pair until the vocabulary is full.
//!
//! Origin: R. Sennrich et al., arXiv 1508.07909. Ties, the alphabet and all limits follow `BpeTrainer` of
//! `tokenizers` 0.23, so the merges are the same. Two differences: counts have 64 bits (there 32, which
//! wrap around), and ties at the cut of `limit_alphabet` are broken by code point (there at random).
//!
//! A pair gains occurrences only in the step that creates the younger of its two symbols, and only loses
//! them afterwards. Counts in the priority queue may therefore be too high, but never too low: a popped
//! pair whose count is stale is pushed again with its current count.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use hashbrown::HashMap;
use serde::Deserialize;

use super::alphabet::alphabet;
use super::table::PairTable;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::tokenizers::byte_alphabet::bytes_to_chars;

/// Options of a training run.
#[derive(Debug, Clone, Deserialize)]
pub struct TrainOptions {
    /// Size of the vocabulary, including special tokens and the alphabet.
    pub vocab_size: usize,
    /// Minimum count of a pair to be merged; 0 and 1 are equivalent.
    pub min_frequency: u64,
    /// Special tokens, which get the lowest ids; they are not matched in texts.
    pub special_tokens: Vec<String>,
    /// Characters that are in the alphabet even if no text has them.
    pub initial_alphabet: Vec<char>,
    /// Maximum size of the alphabet; other characters are removed from pre-tokens.
    pub limit_alphabet: Option<usize>,
    /// A token has fewer characters than this, or exactly two.
    pub max_token_length: Option<usize>,
}

/// A trained vocabulary.
#[derive(Debug, Default)]
pub struct Trained {
    /// Tokens by id.
    pub tokens: Vec<String>,
    /// Ids of the left and the right token of each merge, in order.
    pub merges: Vec<(u32, u32)>,
}

/// Pre-tokens as concatenated symbols; each stays in its place and shrinks.
struct Texts {
    symbols: Vec<u32>,
    /// Start, length and count of each pre-token.
    pre_tokens: Vec<(usize, u32, i64)>,
}

struct Trainer<'run> {
    options: &'run TrainOptions,
    texts: Texts,
    table: PairTable,
    trained: Trained,
    /// Number of characters of each token.
    lengths: Vec<usize>,
}

/// An entry of the priority queue: the highest count first, then the lowest ids.
type Entry = (i64, Reverse<(u32, u32)>, u32);

/// Trains on pre-tokens and their counts. If `has_bytes`, pre-tokens are bytes, and tokens are spelled in
/// GPT-2's byte alphabet.
///
/// # Errors
/// More pre-tokens or tokens than fit 32 bits; cancellation.
pub fn train(
    mut pre_tokens: Vec<(Box<[u8]>, u64)>,
    has_bytes: bool,
    options: &TrainOptions,
    progress: &Progress,
) -> Result<Trained> {
    let mut trainer = Trainer {
        options,
        texts: Texts { symbols: Vec::new(), pre_tokens: Vec::new() },
        table: PairTable::default(),
        trained: Trained::default(),
        lengths: Vec::new(),
    };
    // Similar pre-tokens become neighbours in memory, and they are merged together.
    pre_tokens.sort_unstable();
    let ids = trainer.start(&pre_tokens, has_bytes);
    trainer.spell(&pre_tokens, has_bytes, &ids)?;
    drop(pre_tokens);
    trainer.merge(progress)?;
    Ok(trainer.trained)
}

impl Trainer<'_> {
    /// Adds special tokens and the alphabet; returns the ids of characters.
    fn start(&mut self, pre_tokens: &[(Box<[u8]>, u64)], has_bytes: bool) -> HashMap<char, u32> {
        let mut frequencies = BTreeMap::new();
        let mut buffer = Vec::new();
        let mut dense = vec![0; if has_bytes { 256 } else { 0 }];
        for (pre_token, count) in pre_tokens {
            if has_bytes {
                for &byte in pre_token {
                    dense[usize::from(byte)] += count;
                }
            } else {
                letters_of(pre_token, &mut buffer);
                for &letter in &buffer {
                    *frequencies.entry(letter).or_insert(0) += count;
                }
            }
        }
        let seen = bytes_to_chars().into_iter().zip(dense).filter(|&(_, count)| count > 0);
        frequencies.extend(seen);
        let letters = alphabet(&frequencies, &self.options.initial_alphabet, self.options.limit_alphabet);
        let mut known: HashMap<String, u32> = HashMap::new();
        let specials = self.options.special_tokens.iter().cloned();
        for token in specials.chain(letters.iter().map(char::to_string)) {
            let next = crate::token::narrow(self.trained.tokens.len());
            known.entry(token).or_insert_with_key(|token| {
                self.lengths.push(token.chars().count());
                self.trained.tokens.push(token.clone());
                next
            });
        }
        let letter = |token: &String| {
            let mut letters = token.chars();
            letters.next().filter(|_| letters.next().is_none())
        };
        known.iter().filter_map(|(token, &id)| Some((letter(token)?, id))).collect()
    }

    /// Spells pre-tokens as symbols and counts all pairs.
    fn spell(
        &mut self,
        pre_tokens: &[(Box<[u8]>, u64)],
        has_bytes: bool,
        ids: &HashMap<char, u32>,
    ) -> Result<()> {
        let bytes: Vec<Option<u32>> =
            bytes_to_chars().iter().map(|letter| ids.get(letter).copied()).collect();
        let mut buffer = Vec::new();
        self.texts.symbols.reserve_exact(pre_tokens.iter().map(|(pre_token, _)| pre_token.len()).sum());
        for (pre_token, count) in pre_tokens {
            let start = self.texts.symbols.len();
            if has_bytes {
                self.texts.symbols.extend(pre_token.iter().filter_map(|&byte| bytes[usize::from(byte)]));
            } else {
                letters_of(pre_token, &mut buffer);
                self.texts.symbols.extend(buffer.iter().filter_map(|letter| ids.get(letter)));
            }
            let size = self.texts.symbols.len() - start;
            if size < 2 {
                self.texts.symbols.truncate(start);
                continue;
            }
            let too_many = || Error::config("inputs", "too many words, or one that is too long, for 32 bits");
            let number = u32::try_from(self.texts.pre_tokens.len()).map_err(|_| too_many())?;
            let count = i64::try_from(*count).map_err(|_| too_many())?;
            self.texts.pre_tokens.push((start, u32::try_from(size).map_err(|_| too_many())?, count));
            for pair in self.texts.symbols[start..].windows(2) {
                if is_allowed(&self.lengths, self.options, pair[0], pair[1]) {
                    self.table.add(pair[0], pair[1], count, number);
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, progress: &Progress) -> Result<()> {
        let least = i64::try_from(self.options.min_frequency.max(1)).unwrap_or(i64::MAX);
        // A merge can only make an existing token if that is a special token: no two pairs spell the same
        // text.
        let is_long = |(token, _): &(String, u32)| token.chars().nth(1).is_some();
        let specials: HashMap<String, u32> =
            self.trained.tokens.iter().cloned().zip(0..).filter(is_long).collect();
        let all = 0..crate::token::narrow(self.table.pairs.len());
        let mut queue: BinaryHeap<Entry> = all.filter_map(|place| self.entry(place, least)).collect();
        let mut made = Vec::new();
        while self.trained.tokens.len() < self.options.vocab_size {
            let Some((count, _, place)) = queue.pop() else { break };
            let pair = &mut self.table.pairs[place as usize];
            if pair.count != count {
                queue.extend(self.entry(place, least));
                continue;
            }
            progress.check()?;
            let (left, right) = (pair.left, pair.right);
            let pre_tokens = std::mem::take(&mut pair.pre_tokens);
            let token = [left, right].map(|id| self.trained.tokens[id as usize].as_str()).concat();
            self.trained.merges.push((left, right));
            let id = specials.get(&token).copied().unwrap_or_else(|| {
                self.lengths.push(self.lengths[left as usize] + self.lengths[right as usize]);
                self.trained.tokens.push(token);
                crate::token::narrow(self.trained.tokens.len() - 1)
            });
            made.clear();
            for pre_token in pre_tokens {
                self.merge_in(pre_token, (left, right), id, &mut made);
            }
            self.table.remove(place);
            for &place in &made {
                queue.extend(self.entry(place, least));
            }
        }
        Ok(())
    }

    /// The queue entry of a pair. A pair below the minimum is removed, as its count never rises again.
    fn entry(&mut self, place: u32, least: i64) -> Option<Entry> {
        let pair = &self.table.pairs[place as usize];
        if pair.count < least {
            self.table.remove(place);
            return None;
        }
        Some((pair.count, Reverse((pair.left, pair.right)), place))
    }

    /// Merges a pair in one pre-token, from left to right; appends the slots of new pairs to `made`.
    fn merge_in(&mut self, number: u32, (left, right): (u32, u32), id: u32, made: &mut Vec<u32>) {
        let (start, size, count) = self.texts.pre_tokens[number as usize];
        let symbols = &mut self.texts.symbols[start..start + size as usize];
        let (mut at, mut end) = (0, 0);
        while at < symbols.len() {
            if symbols[at] != left || symbols.get(at + 1) != Some(&right) {
                symbols[end] = symbols[at];
                (at, end) = (at + 1, end + 1);
                continue;
            }
            if end > 0 {
                let before = symbols[end - 1];
                self.table.take(before, left, count);
                if is_allowed(&self.lengths, self.options, before, id) {
                    made.extend(self.table.add(before, id, count, number));
                }
            }
            if let Some(&after) = symbols.get(at + 2) {
                self.table.take(right, after, count);
                if is_allowed(&self.lengths, self.options, id, after) {
                    made.extend(self.table.add(id, after, count, number));
                }
            }
            symbols[end] = id;
            (at, end) = (at + 2, end + 1);
        }
        self.texts.pre_tokens[number as usize].1 = crate::token::narrow(end);
    }
}

fn is_allowed(lengths: &[usize], options: &TrainOptions, left: u32, right: u32) -> bool {
    let length = lengths[left as usize] + lengths[right as usize];
    options.max_token_length.is_none_or(|max| length < max || length == 2)
}

/// The characters of a pre-token.
fn letters_of(pre_token: &[u8], letters: &mut Vec<char>) {
    letters.clear();
    letters.extend(std::str::from_utf8(pre_token).unwrap_or_default().chars());
}
