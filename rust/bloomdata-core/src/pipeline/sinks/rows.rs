//! Pieces of articles become rows, as the packer decides; rows on which nothing is trained are left out.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::formats::hdf5_rows::{Piece, TokenStream};
use crate::packing::packer::Loss;
use crate::packing::types::{COMPLETION, PADDING, PROMPT};
use crate::token::index;

/// Category of padding, and of pairs without one.
pub const NO_CATEGORY: i32 = -1;
/// Padding tokens in a piece: a row can be longer than memory is wide.
const PADDING_TOKENS: u64 = 1 << 16;

/// What was made of the articles; the metrics of `generative_data_prep`, and two more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Rows written.
    pub sequences: u64,
    /// Articles that have tokens.
    pub articles: u64,
    /// Prompt tokens in rows.
    pub prompt_tokens: u64,
    /// Tokens in rows that are trained on, separators included.
    pub completion_tokens: u64,
    /// Padding in rows.
    pub padding_tokens: u64,
    /// All tokens in rows.
    pub output_tokens: u64,
    /// Tokens that the packing dropped or cut off.
    pub dropped_from_packing_tokens: u64,
    /// Rows without a trained token, each with its whole length.
    pub dropped_from_all_prompt_tokens: u64,
    /// Of the tokens that the packing lost, those cut off articles that are else kept.
    pub truncated_tokens: u64,
    /// Tokens, without padding, of rows without a trained token.
    pub untrained_tokens: u64,
}

impl Metrics {
    /// Tokens that the packing dropped or cut off, and of these, those that it cut off.
    pub fn lost_tokens(&self) -> (u64, u64) {
        (self.dropped_from_packing_tokens, self.truncated_tokens)
    }

    /// Tokens of articles and rows that were left out whole, as the ledger counts them.
    pub fn dropped_tokens(&self) -> u64 {
        self.dropped_from_packing_tokens - self.truncated_tokens + self.untrained_tokens
    }
}

/// Which rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptRows {
    /// All.
    All,
    /// Those with a token that is trained on.
    Trained,
    /// Those with a trained token that does not end an attention unit, as `generative_data_prep` has it.
    Completion,
}

/// What the open row holds.
#[derive(Debug, Default)]
struct OpenRow {
    /// Where its pieces start, and where the piece before them ended.
    first_piece: usize,
    end_before: u64,
    tokens: u64,
    prompt_tokens: u64,
    is_trained: bool,
    /// Articles of its pieces, and how many tokens of each piece are trained on.
    articles: Vec<(u64, u64)>,
}

/// Rows that are finished and one that is open, as pieces of streams.
#[derive(Debug)]
pub struct RowAssembler {
    sequence_length: u64,
    keeps: KeptRows,
    padding: Arc<TokenStream>,
    /// Streams that hold the articles from number `first_article` on, and where in them each starts.
    articles: VecDeque<Piece>,
    first_article: u64,
    pieces: Vec<Piece>,
    finished_tokens: u64,
    row: OpenRow,
    /// Articles of the row that ended last.
    ended: Vec<(u64, u64)>,
    /// Counts so far.
    pub metrics: Metrics,
}

impl RowAssembler {
    /// Starts with the counts of what was written before.
    pub fn new(sequence_length: u64, pad: u32, keeps: KeptRows, metrics: Metrics) -> Self {
        let count = index(PADDING_TOKENS.min(sequence_length));
        let padding = TokenStream {
            ids: pad.to_le_bytes().repeat(count),
            types: PADDING.to_le_bytes().repeat(count),
            categories: NO_CATEGORY.to_le_bytes().repeat(count),
            ..TokenStream::default()
        };
        Self {
            sequence_length,
            keeps,
            padding: Arc::new(padding),
            articles: VecDeque::new(),
            first_article: metrics.articles,
            pieces: Vec::new(),
            finished_tokens: 0,
            row: OpenRow::default(),
            ended: Vec::new(),
            metrics,
        }
    }

    /// Announces the next article: these tokens of a stream.
    pub fn announce(&mut self, stream: &Arc<TokenStream>, tokens: Range<u64>) {
        self.articles.push_back(Piece { stream: Arc::clone(stream), tokens });
    }

    /// Forgets the articles before number `article`.
    pub fn forget_before(&mut self, article: u64) {
        while self.first_article < article && self.articles.pop_front().is_some() {
            self.first_article += 1;
        }
    }

    /// Puts tokens of an announced article behind what is in the open row.
    pub fn append(&mut self, article: u64, tokens: Range<u64>) {
        let Piece { stream, tokens: all } = &self.articles[index(article - self.first_article)];
        let tokens = all.start + tokens.start..all.start + tokens.end;
        let count = tokens.end - tokens.start;
        let stream = Arc::clone(stream);
        let types = &stream.types[index(tokens.start * 4)..index(tokens.end * 4)];
        let (types, _) = types.as_chunks::<4>();
        let prompt_tokens = count_of(types, PROMPT);
        self.row.tokens += count;
        self.row.prompt_tokens += prompt_tokens;
        self.row.is_trained = self.row.is_trained
            || match self.keeps {
                KeptRows::All => true,
                KeptRows::Trained => prompt_tokens < count,
                KeptRows::Completion => types.contains(&COMPLETION.to_le_bytes()),
            };
        self.row.articles.push((article, count - prompt_tokens));
        self.put(stream, tokens);
    }

    fn put(&mut self, stream: Arc<TokenStream>, tokens: Range<u64>) {
        match self.pieces.last_mut() {
            Some(last) if Arc::ptr_eq(&last.stream, &stream) && last.tokens.end == tokens.start => {
                last.tokens.end = tokens.end;
            }
            _ => self.pieces.push(Piece { stream, tokens }),
        }
    }

    /// Ends the open row; whether it is written, and the articles of its pieces with their trained tokens.
    pub fn end_row(&mut self) -> (bool, &[(u64, u64)]) {
        let (is_kept, missing) = (self.row.is_trained, self.sequence_length - self.row.tokens);
        let metrics = &mut self.metrics;
        if is_kept {
            metrics.sequences += 1;
            metrics.output_tokens += self.sequence_length;
            metrics.prompt_tokens += self.row.prompt_tokens;
            metrics.completion_tokens += self.row.tokens - self.row.prompt_tokens;
            metrics.padding_tokens += missing;
            self.pad(missing);
            self.finished_tokens += self.sequence_length;
            self.start_row();
        } else {
            metrics.dropped_from_all_prompt_tokens += self.sequence_length;
            metrics.untrained_tokens += self.row.tokens;
            self.forget_row();
        }
        (is_kept, &self.ended)
    }

    /// Ends a row that is written already; returns as `end_row`.
    pub fn repeat_row(&mut self) -> (bool, &[(u64, u64)]) {
        let is_kept = self.row.is_trained;
        self.forget_row();
        (is_kept, &self.ended)
    }

    /// Drops the open row; the articles of its pieces.
    pub fn drop_row(&mut self) -> &[(u64, u64)] {
        self.metrics.dropped_from_packing_tokens += self.row.tokens;
        self.forget_row();
        &self.ended
    }

    fn pad(&mut self, mut missing: u64) {
        while missing > 0 {
            let count = missing.min(PADDING_TOKENS.min(self.sequence_length));
            self.put(Arc::clone(&self.padding), 0..count);
            missing -= count;
        }
    }

    /// Starts a row after the pieces that are there.
    fn start_row(&mut self) {
        self.ended.clear();
        std::mem::swap(&mut self.ended, &mut self.row.articles);
        let articles = std::mem::take(&mut self.row.articles);
        let end_before = self.pieces.last().map_or(0, |piece| piece.tokens.end);
        self.row = OpenRow { first_piece: self.pieces.len(), end_before, articles, ..OpenRow::default() };
    }

    /// Takes the pieces of the open row back.
    fn forget_row(&mut self) {
        self.pieces.truncate(self.row.first_piece);
        if let Some(last) = self.pieces.last_mut() {
            last.tokens.end = self.row.end_before;
        }
        self.start_row();
    }

    /// Takes note of tokens that are in no row.
    pub fn lose(&mut self, loss: Loss, tokens: u64) {
        self.metrics.dropped_from_packing_tokens += tokens;
        if loss == Loss::Truncated {
            self.metrics.truncated_tokens += tokens;
        }
    }

    /// Tokens in finished rows that were not taken yet.
    pub fn finished_tokens(&self) -> u64 {
        self.finished_tokens
    }

    /// Takes the finished rows; the open one stays.
    pub fn take_rows(&mut self) -> (Vec<Piece>, u64) {
        let tokens = std::mem::take(&mut self.finished_tokens);
        let (first_piece, end_before) = (self.row.first_piece, self.row.end_before);
        let mut open = self.pieces.split_off(first_piece);
        if let Some(last) = self.pieces.last_mut()
            && last.tokens.end > end_before
        {
            open.insert(0, Piece { stream: Arc::clone(&last.stream), tokens: end_before..last.tokens.end });
            last.tokens.end = end_before;
        }
        (self.row.first_piece, self.row.end_before) = (0, 0);
        (std::mem::replace(&mut self.pieces, open), tokens)
    }
}

/// How many tokens have this type.
fn count_of(types: &[[u8; 4]], code: u32) -> u64 {
    types.iter().map(|found| u64::from(*found == code.to_le_bytes())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(ids: &[u8], types: &[u32]) -> Arc<TokenStream> {
        Arc::new(TokenStream {
            ids: ids.iter().flat_map(|&id| u32::from(id).to_le_bytes()).collect(),
            types: types.iter().flat_map(|code| code.to_le_bytes()).collect(),
            ..TokenStream::default()
        })
    }

    fn ids(pieces: &[Piece]) -> Vec<u8> {
        pieces
            .iter()
            .flat_map(|piece| {
                piece.stream.ids[index(piece.tokens.start * 4)..index(piece.tokens.end * 4)].chunks(4)
            })
            .map(|id| id[0])
            .collect()
    }

    #[test]
    fn rows_are_taken_without_the_open_one_also_when_they_share_a_piece() {
        let mut rows = RowAssembler::new(2, 9, KeptRows::Trained, Metrics::default());
        rows.announce(&stream(&[1, 2, 3, 4, 5], &[1, 1, 0, 0, 1]), 0..5);
        for (tokens, is_kept) in [(0..2, true), (2..4, false)] {
            rows.append(0, tokens);
            assert_eq!(rows.end_row().0, is_kept);
        }
        rows.append(0, 4..5);
        assert_eq!(ids(&rows.take_rows().0), [1, 2]);
        assert!(rows.end_row().0);
        assert_eq!(ids(&rows.take_rows().0), [5, 9]);
        assert_eq!(rows.metrics.dropped_from_all_prompt_tokens, 2);
        assert_eq!(rows.metrics.sequences, 2);
    }
}
