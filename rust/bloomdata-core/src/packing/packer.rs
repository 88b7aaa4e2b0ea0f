//! Which tokens of which article go to which row. Knows lengths only, so that files and plans share it.
//!
//! After every row the packer could be rebuilt from [`Next`]: that is how a killed run resumes.

use std::ops::Range;

use super::best_fit::{self, MAX_SEQUENCE_LENGTH};
use super::{Overflow, Overlong, Packing};
use crate::error::{Error, Result};
use crate::rng;

/// Uses of the seed for `single::sample` (see [`rng::key`]).
const SAMPLE_STREAM: u64 = 3;
const START_STREAM: u64 = 4;

/// Where the row after this one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Number of the article, counted over all that have tokens.
    pub article: u64,
    /// Tokens of that article which are in rows already.
    pub tokens: u64,
    /// Rows that start at this place and are made already.
    pub rows: u64,
}

/// Why tokens of an article go to no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Cut off an article of which the rest is in a row.
    Truncated,
    /// The article is longer than a row.
    TooLong,
    /// The article does not fill a row.
    TooShort,
}

/// Takes what the packer decides.
pub trait Rows {
    /// Puts `tokens` of an article behind what is in the open row.
    fn append(&mut self, article: u64, tokens: Range<u64>);

    /// Ends the open row; what is missing of it is padding.
    ///
    /// # Errors
    /// What writing a row reports.
    fn end_row(&mut self, next: Next) -> Result<()>;

    /// Ends the open row, which an earlier attempt has written.
    fn repeat_row(&mut self);

    /// Drops the open row, which is not full.
    fn drop_row(&mut self);

    /// Takes note of tokens of an article that go to no row.
    fn lose(&mut self, loss: Loss, article: u64, tokens: Range<u64>);
}

/// Decides, article by article.
#[derive(Debug)]
pub struct Packer {
    packing: Packing,
    length: u64,
    seed: u64,
    window_tokens: u64,
    article: u64,
    /// Articles of the parts before, which are numbered first where numbers are drawn by.
    articles_before: u64,
    /// Tokens in the open row.
    open: u64,
    skip_tokens: u64,
    skip_rows: u64,
    window: Vec<u64>,
    window_sum: u64,
}

impl Packer {
    /// A packer for rows of `length` tokens that starts at `next`.
    ///
    /// # Errors
    /// A length that the packing cannot do.
    pub fn new(packing: Packing, length: u64, seed: u64, window_tokens: u64, next: Next) -> Result<Self> {
        if matches!(packing, Packing::BestFit(_)) && length > MAX_SEQUENCE_LENGTH {
            let reason =
                format!("packing \"best_fit\" takes {MAX_SEQUENCE_LENGTH} tokens at most, not {length}");
            return Err(Error::config("sequence_length", reason));
        }
        Ok(Self {
            packing,
            length,
            seed,
            window_tokens,
            article: next.article,
            articles_before: 0,
            open: 0,
            skip_tokens: next.tokens,
            skip_rows: next.rows,
            window: Vec::new(),
            window_sum: 0,
        })
    }

    /// Draws as if so many articles had come before.
    pub fn follow(&mut self, articles: u64) {
        self.articles_before = articles;
    }

    /// Number of the next article.
    pub fn article(&self) -> u64 {
        self.article
    }

    /// Whether articles are gathered before any of them goes to a row.
    pub fn has_windows(&self) -> bool {
        matches!(self.packing, Packing::BestFit(_))
    }

    /// Whether an article waits for its window to be complete.
    pub fn is_waiting(&self) -> bool {
        !self.window.is_empty()
    }

    /// Takes the next article, of `tokens` tokens (not 0).
    ///
    /// # Errors
    /// What `rows` returns.
    pub fn push<R: Rows>(&mut self, tokens: u64, rows: &mut R) -> Result<()> {
        let article = self.article;
        self.article += 1;
        let skip = std::mem::take(&mut self.skip_tokens).min(tokens);
        match self.packing {
            Packing::Full { .. } => self.fill(article, skip..tokens, rows),
            Packing::Concat(count) => {
                self.fill(article, skip..tokens, rows)?;
                if self.article.is_multiple_of(count) { self.end_open(self.article, rows) } else { Ok(()) }
            }
            Packing::Single(overflow) => {
                self.place(article, tokens, overflow, rows);
                self.end_open(self.article, rows)
            }
            Packing::Greedy(overflow) => {
                if self.open + tokens > self.length {
                    self.end_open(article, rows)?;
                }
                self.place(article, tokens, overflow, rows);
                if self.open == self.length { self.end_open(self.article, rows) } else { Ok(()) }
            }
            Packing::SingleSplit => {
                let whole = tokens - tokens % self.length;
                self.fill(article, skip..whole, rows)?;
                if tokens > whole {
                    let loss = if whole > 0 { Loss::Truncated } else { Loss::TooShort };
                    rows.lose(loss, article, whole..tokens);
                }
                Ok(())
            }
            Packing::SingleSample => {
                self.sample(article, tokens, rows);
                self.end_open(self.article, rows)
            }
            Packing::BestFit(overlong) => {
                let kept = match overlong {
                    _ if tokens <= self.length => tokens,
                    Overlong::Cut => tokens,
                    Overlong::Drop => 0,
                    Overlong::TruncateRight => self.length,
                };
                match kept {
                    0 => rows.lose(Loss::TooLong, article, 0..tokens),
                    _ if kept < tokens => rows.lose(Loss::Truncated, article, kept..tokens),
                    _ => {}
                }
                self.window.push(kept);
                self.window_sum += tokens;
                if self.window_sum >= self.window_tokens { self.end_window(rows) } else { Ok(()) }
            }
        }
    }

    /// There are no more articles.
    ///
    /// # Errors
    /// What `rows` returns.
    pub fn finish<R: Rows>(&mut self, rows: &mut R) -> Result<()> {
        match self.packing {
            Packing::BestFit(_) => self.end_window(rows),
            Packing::Full { drop_last: true } => {
                if std::mem::take(&mut self.open) > 0 {
                    rows.drop_row();
                }
                Ok(())
            }
            _ => self.end_open(self.article, rows),
        }
    }

    /// Appends tokens and ends rows as they get full.
    fn fill<R: Rows>(&mut self, article: u64, tokens: Range<u64>, rows: &mut R) -> Result<()> {
        let mut from = tokens.start;
        while from < tokens.end {
            let count = (self.length - self.open).min(tokens.end - from);
            rows.append(article, from..from + count);
            from += count;
            self.open += count;
            if self.open == self.length {
                self.open = 0;
                rows.end_row(Next { article, tokens: from, rows: 0 })?;
            }
        }
        Ok(())
    }

    /// Appends as much of an article as fits a whole row.
    fn place<R: Rows>(&mut self, article: u64, tokens: u64, overflow: Overflow, rows: &mut R) {
        let over = tokens.saturating_sub(self.length);
        let kept = match overflow {
            _ if over == 0 => 0..tokens,
            Overflow::Drop => return rows.lose(Loss::TooLong, article, 0..tokens),
            Overflow::TruncateLeft => over..tokens,
            Overflow::TruncateRight => 0..self.length,
        };
        if over > 0 {
            let lost = if kept.start > 0 { 0..kept.start } else { kept.end..tokens };
            rows.lose(Loss::Truncated, article, lost);
        }
        self.open += kept.end - kept.start;
        rows.append(article, kept);
    }

    /// Appends a stretch of a long article: with probability 1/4 its start, else any; its last token stays the last.
    fn sample<R: Rows>(&mut self, article: u64, tokens: u64, rows: &mut R) {
        self.open = tokens.min(self.length);
        if tokens <= self.length {
            return rows.append(article, 0..tokens);
        }
        let (over, number) = (tokens - self.length, self.articles_before + article);
        let start = if rng::key(self.seed, SAMPLE_STREAM, number) >> 62 == 0 {
            0
        } else {
            // The high half of a product: uniform over 0 to `over`, both included.
            let draw = u128::from(rng::key(self.seed, START_STREAM, number)) * (u128::from(over) + 1);
            u64::try_from(draw >> 64).unwrap_or(over)
        };
        let end = start + self.length - 1;
        rows.append(article, start..end);
        rows.append(article, tokens - 1..tokens);
        for lost in [0..start, end..tokens - 1] {
            rows.lose(Loss::Truncated, article, lost);
        }
    }

    /// Ends the open row, if there is anything in it.
    fn end_open<R: Rows>(&mut self, article: u64, rows: &mut R) -> Result<()> {
        if std::mem::take(&mut self.open) == 0 {
            return Ok(());
        }
        rows.end_row(Next { article, tokens: 0, rows: 0 })
    }

    fn end_window<R: Rows>(&mut self, rows: &mut R) -> Result<()> {
        let first = self.article - self.window.len() as u64;
        let plan = best_fit::plan(&self.window, self.length);
        let (num_rows, skip) = (plan.num_rows(), std::mem::take(&mut self.skip_rows));
        for row in 0..num_rows {
            for piece in plan.row(row) {
                rows.append(first + piece.article, piece.tokens.clone());
            }
            if row < skip {
                rows.repeat_row();
                continue;
            }
            let next = if row + 1 == num_rows {
                Next { article: self.article, tokens: 0, rows: 0 }
            } else {
                Next { article: first, tokens: 0, rows: row + 1 }
            };
            rows.end_row(next)?;
        }
        self.window.clear();
        self.window_sum = 0;
        Ok(())
    }
}
