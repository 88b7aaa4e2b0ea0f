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
    /// Tokens of articles and rows that were left out whole, as the ledger counts them.
    pub fn dropped_tokens(&self) -> u64 {
        self.dropped_from_packing_tokens - self.truncated_tokens + self.untrained_tokens
    }
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
}

/// Rows that are finished and one that is open, as pieces of streams.
#[derive(Debug)]
pub struct RowAssembler {
    sequence_length: u64,
    keeps_untrained: bool,
    padding: Arc<TokenStream>,
    /// Streams that hold the articles from number `first_article` on, and where in them each starts.
    articles: VecDeque<Piece>,
    first_article: u64,
    pieces: Vec<Piece>,
    finished_tokens: u64,
    row: OpenRow,
    /// Counts so far.
    pub metrics: Metrics,
}

impl RowAssembler {
    /// Starts with the counts of what was written before.
    pub fn new(sequence_length: u64, pad: u32, keeps_untrained: bool, metrics: Metrics) -> Self {
        let count = index(PADDING_TOKENS.min(sequence_length));
        let padding = TokenStream {
            ids: pad.to_le_bytes().repeat(count),
            types: PADDING.to_le_bytes().repeat(count),
            categories: NO_CATEGORY.to_le_bytes().repeat(count),
            ..TokenStream::default()
        };
        Self {
            sequence_length,
            keeps_untrained,
            padding: Arc::new(padding),
            articles: VecDeque::new(),
            first_article: metrics.articles,
            pieces: Vec::new(),
            finished_tokens: 0,
            row: OpenRow::default(),
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
        self.row.tokens += count;
        self.row.prompt_tokens +=
            types.iter().map(|code| u64::from(*code == PROMPT.to_le_bytes())).sum::<u64>();
        self.row.is_trained = self.row.is_trained || types.contains(&COMPLETION.to_le_bytes());
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

    /// Ends the open row; whether it stays.
    pub fn end_row(&mut self) -> bool {
        let OpenRow { first_piece, end_before, tokens, prompt_tokens, is_trained } = self.row;
        let is_kept = is_trained || self.keeps_untrained;
        let metrics = &mut self.metrics;
        if is_kept {
            metrics.sequences += 1;
            metrics.output_tokens += self.sequence_length;
            metrics.prompt_tokens += prompt_tokens;
            metrics.completion_tokens += tokens - prompt_tokens;
            metrics.padding_tokens += self.sequence_length - tokens;
            let mut missing = self.sequence_length - tokens;
            while missing > 0 {
                let count = missing.min(PADDING_TOKENS.min(self.sequence_length));
                self.put(Arc::clone(&self.padding), 0..count);
                missing -= count;
            }
            self.finished_tokens += self.sequence_length;
        } else {
            metrics.dropped_from_all_prompt_tokens += self.sequence_length;
            metrics.untrained_tokens += tokens;
            self.cut_back(first_piece, end_before);
        }
        self.start_row();
        is_kept
    }

    fn cut_back(&mut self, first_piece: usize, end_before: u64) {
        self.pieces.truncate(first_piece);
        if let Some(last) = self.pieces.last_mut() {
            last.tokens.end = end_before;
        }
    }

    fn start_row(&mut self) {
        let end_before = self.pieces.last().map_or(0, |piece| piece.tokens.end);
        self.row = OpenRow { first_piece: self.pieces.len(), end_before, ..OpenRow::default() };
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
        let OpenRow { first_piece, end_before, .. } = self.row;
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

    /// Forgets the open row: its tokens are counted as lost.
    pub fn forget_row(&mut self) {
        let OpenRow { first_piece, end_before, .. } = self.row;
        self.cut_back(first_piece, end_before);
        self.start_row();
    }
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
        let mut rows = RowAssembler::new(2, 9, false, Metrics::default());
        rows.announce(&stream(&[1, 2, 3, 4, 5], &[1, 1, 0, 0, 1]), 0..5);
        for (tokens, is_kept) in [(0..2, true), (2..4, false)] {
            rows.append(0, tokens);
            assert_eq!(rows.end_row(), is_kept);
        }
        rows.append(0, 4..5);
        assert_eq!(ids(&rows.take_rows().0), [1, 2]);
        assert!(rows.end_row());
        assert_eq!(ids(&rows.take_rows().0), [5, 9]);
        assert_eq!(rows.metrics.dropped_from_all_prompt_tokens, 2);
        assert_eq!(rows.metrics.sequences, 2);
    }
}
