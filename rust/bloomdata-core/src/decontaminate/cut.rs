//! What is left of a text when matches are cut out of it.

use std::ops::Range;

/// Characters that are cut on each side of a match, and that a piece has at least.
const MARGIN: usize = 200;
/// A text that is cut more often is dropped.
const MOST_CUTS: usize = 10;

/// How to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutStyle {
    /// So many characters on each side.
    Characters,
    /// On to the next end of a sentence, as Megatron's `filter_ngrams.py` does.
    Sentences,
}

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// The pieces that are kept, as bytes of the text.
    Pieces(Vec<Range<usize>>),
    /// No piece is long enough.
    TooShort,
    /// There would be too many.
    TooOften,
}

impl CutStyle {
    /// Cuts matches out of a text: ranges of bytes in order of their starts.
    pub fn cut(self, text: &str, matches: &[Range<usize>]) -> Cut {
        let (pieces, cuts) = match self {
            Self::Characters => by_characters(text, matches),
            Self::Sentences => by_sentences(text, matches),
        };
        if cuts > MOST_CUTS {
            Cut::TooOften
        } else if pieces.is_empty() {
            Cut::TooShort
        } else {
            Cut::Pieces(pieces)
        }
    }
}

fn by_characters(text: &str, matches: &[Range<usize>]) -> (Vec<Range<usize>>, usize) {
    let mut lost: Vec<Range<usize>> = Vec::new();
    for found in matches {
        let (start, end) = (back(text, found.start), ahead(text, found.end));
        match lost.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => lost.push(start..end),
        }
    }
    let mut from = 0;
    let mut pieces = Vec::new();
    for part in lost.iter().chain([&(text.len()..text.len())]) {
        let piece = from..part.start.max(from);
        from = part.end;
        if text[piece.clone()].chars().nth(MARGIN - 1).is_some() {
            pieces.push(piece);
        }
    }
    (pieces, lost.len())
}

/// One match after the other: what is before it is a piece, what is behind it is looked at again. The number of cuts is
/// that of the pieces, as there.
fn by_sentences(text: &str, matches: &[Range<usize>]) -> (Vec<Range<usize>>, usize) {
    let is_end = |letter: char| matches!(letter, '.' | '!' | '?');
    let is_long = |piece: &str| piece.chars().nth(MARGIN).is_some();
    let (mut from, mut pieces) = (0, Vec::new());
    for found in matches {
        if found.start < from {
            continue;
        }
        // From the character at the margin back to an end of a sentence; the first character is none.
        let at = from + back(&text[from..], found.start - from);
        let size = text[at..].chars().next().map_or(0, char::len_utf8);
        let before = if at > from {
            text[from..at + size].rfind(is_end).map_or(from, |end| from + end + 1)
        } else {
            from
        };
        if before > from + 1 && is_long(&text[from..before]) {
            pieces.push(from..before);
        }
        let at = ahead(text, found.end);
        from = text[at..].find(is_end).map_or(text.len(), |end| at + end + 1);
        if !is_long(&text[from..]) {
            let count = pieces.len();
            return (pieces, count);
        }
    }
    pieces.push(from..text.len());
    let count = pieces.len();
    (pieces, count)
}

/// The byte so many characters before another one.
fn back(text: &str, at: usize) -> usize {
    text[..at].char_indices().nth_back(MARGIN - 1).map_or(0, |(byte, _)| byte)
}

/// The byte so many characters behind another one.
fn ahead(text: &str, at: usize) -> usize {
    text[at..].char_indices().nth(MARGIN).map_or(text.len(), |(byte, _)| at + byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(style: CutStyle, text: &str, matches: &[(usize, usize)]) -> Cut {
        let matches: Vec<Range<usize>> = matches.iter().map(|&(start, end)| start..end).collect();
        style.cut(text, &matches)
    }

    fn pieces(style: CutStyle, text: &str, matches: &[(usize, usize)]) -> Vec<usize> {
        match cut(style, text, matches) {
            Cut::Pieces(pieces) => pieces.into_iter().map(|piece| piece.len()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pieces_begin_so_many_characters_beside_matches() {
        let text = "x".repeat(2000);
        let matches = [(1000, 1100)];
        assert_eq!(pieces(CutStyle::Characters, &text, &matches), [800, 700]);
        // Matches that overlap, or whose sides do, are one cut.
        assert_eq!(
            pieces(CutStyle::Characters, &text, &[(900, 1000), (950, 1050), (1300, 1310)]),
            [700, 490]
        );
        assert_eq!(cut(CutStyle::Characters, &text[..650], &[(300, 350)]), Cut::TooShort);
        assert_eq!(pieces(CutStyle::Characters, &text[..800], &[(400, 402)]), [200]);
        assert_eq!(pieces(CutStyle::Characters, &"é".repeat(1000), &[(1000, 1002)]), [600, 598]);
    }

    #[test]
    fn more_than_ten_cuts_are_too_many() {
        let text = "x".repeat(20_000);
        let matches = |count: usize| (1..=count).map(|at| (at * 1000, at * 1000 + 10)).collect::<Vec<_>>();
        assert_eq!(pieces(CutStyle::Characters, &text, &matches(10)).len(), 11);
        assert_eq!(cut(CutStyle::Characters, &text, &matches(11)), Cut::TooOften);
    }

    #[test]
    fn pieces_of_sentences_end_with_one() {
        let text = "Some words of a sentence. ".repeat(60);
        let found = pieces(CutStyle::Sentences, &text, &[(780, 800)]);
        assert_eq!(found, [571, 547]);
        assert!(matches!(cut(CutStyle::Sentences, &"no end ".repeat(100), &[(300, 310)]), Cut::TooShort));
    }
}
