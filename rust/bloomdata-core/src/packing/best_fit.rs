//! Best-fit-decreasing: the longest articles first, each into the row with the least room that still holds it.
//!
//! Articles longer than a row are cut into whole rows and a rest first, so that nothing is lost. Origin: D. S. Johnson,
//! "Near-optimal bin packing algorithms", 1973; for language models H. Ding et al., arXiv 2404.10830. Finding the row
//! takes a few steps whatever their number: rows of equal room are a stack, and a bitmap of bitmaps says which stacks
//! are not empty.

use std::cmp::Reverse;
use std::ops::Range;

use crate::token::index;

/// Longest row: a stack per room is kept.
pub const MAX_SEQUENCE_LENGTH: u64 = 1 << 24;
const NONE: u32 = u32::MAX;

/// A stretch of one article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Index in the window.
    pub article: u64,
    /// Tokens of it.
    pub tokens: Range<u64>,
}

/// Rows in the order of their first piece, pieces in input order.
#[derive(Debug)]
pub struct Plan {
    pieces: Vec<Piece>,
    row_ends: Vec<usize>,
}

impl Plan {
    /// How many rows there are.
    pub fn num_rows(&self) -> u64 {
        self.row_ends.len() as u64
    }

    /// The pieces of one row.
    pub fn row(&self, row: u64) -> &[Piece] {
        let row = index(row);
        let start = row.checked_sub(1).map_or(0, |before| self.row_ends[before]);
        &self.pieces[start..self.row_ends[row]]
    }
}

/// Packs articles of these lengths into rows of `length` tokens, at most [`MAX_SEQUENCE_LENGTH`].
pub fn plan(articles: &[u64], length: u64) -> Plan {
    let pieces = cut(articles, length);
    let row_of = fit(&pieces, length);
    arrange(pieces, &row_of)
}

fn cut(articles: &[u64], length: u64) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(articles.len());
    for (article, &tokens) in articles.iter().enumerate() {
        let article = article as u64;
        let mut from = 0;
        while from < tokens {
            let end = tokens.min(from + length);
            pieces.push(Piece { article, tokens: from..end });
            from = end;
        }
    }
    pieces
}

/// The row of each piece, in the order in which rows are opened.
fn fit(pieces: &[Piece], length: u64) -> Vec<u32> {
    let size = |piece: &Piece| index(piece.tokens.end - piece.tokens.start);
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|&piece| Reverse(size(&pieces[piece])));
    let length = index(length);
    let mut rooms = Rooms::new(length);
    let mut row_of = vec![0; pieces.len()];
    let mut num_rows = 0_u32;
    for piece in order {
        let size = size(&pieces[piece]);
        let (row, room) = rooms.take(size).unwrap_or_else(|| {
            num_rows += 1;
            (num_rows - 1, length)
        });
        rooms.put(row, room - size);
        row_of[piece] = row;
    }
    row_of
}

/// Numbers rows by their first piece and gathers their pieces.
fn arrange(pieces: Vec<Piece>, row_of: &[u32]) -> Plan {
    let num_rows = row_of.iter().max().map_or(0, |&row| row as usize + 1);
    let mut number = vec![NONE; num_rows];
    let mut counts: Vec<usize> = Vec::with_capacity(num_rows);
    for &row in row_of {
        let number = &mut number[row as usize];
        if *number == NONE {
            *number = u32::try_from(counts.len()).unwrap_or(NONE);
            counts.push(0);
        }
        counts[*number as usize] += 1;
    }
    let mut row_ends = counts;
    let mut end = 0;
    for count in &mut row_ends {
        end += std::mem::replace(count, end);
    }
    // `row_ends` now holds starts, and moves on to the ends as pieces are put in their places.
    let mut placed = vec![Piece { article: 0, tokens: 0..0 }; pieces.len()];
    for (piece, &row) in pieces.into_iter().zip(row_of) {
        let at = &mut row_ends[number[row as usize] as usize];
        placed[*at] = piece;
        *at += 1;
    }
    Plan { pieces: placed, row_ends }
}

/// Open rows by their room: a stack each, and bitmaps of those that are not empty.
struct Rooms {
    top: Vec<u32>,
    below: Vec<u32>,
    /// Level 0 has a bit per room, each further level a bit per word of the one before.
    levels: Vec<Vec<u64>>,
}

impl Rooms {
    fn new(length: usize) -> Self {
        let mut levels = Vec::new();
        let mut bits = length + 1;
        loop {
            let words = bits.div_ceil(64);
            levels.push(vec![0; words]);
            if words == 1 {
                break;
            }
            bits = words;
        }
        Self { top: vec![NONE; length + 1], below: Vec::new(), levels }
    }

    fn put(&mut self, row: u32, room: usize) {
        if room == 0 {
            return;
        }
        let at = row as usize;
        if self.below.len() <= at {
            self.below.resize(at + 1, NONE);
        }
        self.below[at] = std::mem::replace(&mut self.top[room], row);
        let mut bit = room;
        for level in &mut self.levels {
            level[bit / 64] |= 1 << (bit % 64);
            bit /= 64;
        }
    }

    /// Takes the row with the least room that is at least `size`, and that room.
    fn take(&mut self, size: usize) -> Option<(u32, usize)> {
        let room = self.find(size)?;
        let row = self.top[room];
        self.top[room] = self.below[row as usize];
        if self.top[room] == NONE {
            let mut bit = room;
            for level in &mut self.levels {
                level[bit / 64] &= !(1 << (bit % 64));
                if level[bit / 64] != 0 {
                    break;
                }
                bit /= 64;
            }
        }
        Some((row, room))
    }

    /// The first bit that is set from `from` on.
    fn find(&self, from: usize) -> Option<usize> {
        let mut bit = from;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(bit / 64)? & (u64::MAX << (bit % 64));
            if word != 0 {
                let mut found = bit / 64 * 64 + word.trailing_zeros() as usize;
                for lower in self.levels[..height].iter().rev() {
                    found = found * 64 + lower[found].trailing_zeros() as usize;
                }
                return Some(found);
            }
            bit = bit / 64 + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, row by row, as it would be explained to a child.
    fn slow(articles: &[u64], length: u64) -> Vec<Vec<Piece>> {
        let pieces = cut(articles, length);
        let size = |piece: &Piece| piece.tokens.end - piece.tokens.start;
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_by_key(|&piece| Reverse(size(&pieces[piece])));
        // Room, when it got this room, pieces.
        let mut rows: Vec<(u64, usize, Vec<usize>)> = Vec::new();
        for (clock, piece) in order.into_iter().enumerate() {
            let size = size(&pieces[piece]);
            let best = rows.iter_mut().filter(|row| row.0 >= size).min_by_key(|row| (row.0, Reverse(row.1)));
            if let Some(row) = best {
                row.0 -= size;
                row.1 = clock;
                row.2.push(piece);
            } else {
                rows.push((length - size, clock, vec![piece]));
            }
        }
        let mut rows: Vec<Vec<usize>> = rows.into_iter().map(|row| row.2).collect();
        for row in &mut rows {
            row.sort_unstable();
        }
        rows.sort_by_key(|row| row[0]);
        rows.into_iter().map(|row| row.into_iter().map(|piece| pieces[piece].clone()).collect()).collect()
    }

    proptest! {
        #[test]
        fn equals_the_slow_twin(articles in prop::collection::vec(1_u64..300, 0..200), length in 1_u64..200) {
            let fast = plan(&articles, length);
            let rows: Vec<Vec<Piece>> = (0..fast.num_rows()).map(|row| fast.row(row).to_vec()).collect();
            prop_assert_eq!(rows, slow(&articles, length));
        }

        #[test]
        fn long_rows_need_all_levels(articles in prop::collection::vec(1_u64..400_000, 0..40)) {
            let fast = plan(&articles, 300_000);
            let rows: Vec<Vec<Piece>> = (0..fast.num_rows()).map(|row| fast.row(row).to_vec()).collect();
            prop_assert_eq!(rows, slow(&articles, 300_000));
        }
    }
}
