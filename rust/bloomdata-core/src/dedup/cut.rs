//! Texts without their repeated parts.

use crate::token::index;

/// What would be left behind a span that is cut out, and goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Nothing: whole lines are cut out.
    None,
    /// Blank lines, behind a paragraph.
    BlankLines,
    /// Blanks, behind words; and the newline of a line that is gone.
    Blanks,
}

/// A text without some spans, which are in order, and without the gaps behind them.
pub fn cut(text: &str, spans: &[(u64, u64)], gap: Gap) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for &(start, end) in spans {
        let (start, end) = (index(start), index(end));
        out.push_str(text.get(from..start).unwrap_or_default());
        let rest = text.get(end..).unwrap_or_default();
        from = end
            + match gap {
                Gap::None => 0,
                Gap::BlankLines => blank_lines(rest),
                Gap::Blanks => blanks(rest, out.is_empty() || out.ends_with('\n')),
            };
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// Bytes of the blank lines at the start of a text.
fn blank_lines(text: &str) -> usize {
    text.split_inclusive('\n').take_while(|line| line.trim().is_empty()).map(str::len).sum()
}

/// Bytes of the blanks at the start of a text; where a whole line is gone, with its newline.
fn blanks(text: &str, starts_line: bool) -> usize {
    let rest = text.trim_start_matches(|letter: char| letter.is_whitespace() && letter != '\n');
    text.len() - rest.len() + usize::from(starts_line && rest.starts_with('\n'))
}

/// Of spans, the whole lines of the text that lie inside one; the last line may lack its newline.
pub fn whole_lines(text: &str, spans: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut lines: Vec<(u64, u64)> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len() as u64;
        let first = start + (line.len() - line.trim_start().len()) as u64;
        let last = start + line.trim_end().len() as u64;
        if first < last && spans.iter().any(|&(from, to)| from <= first && last <= to) {
            match lines.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => lines.push((start, end)),
            }
        }
        start = end;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_cut_out_with_the_gaps_behind_them() {
        assert_eq!(cut("one two  three", &[(4, 7)], Gap::Blanks), "one three");
        assert_eq!(cut("one two\n\nthree", &[(4, 7)], Gap::Blanks), "one \n\nthree");
        assert_eq!(cut("one\ntwo\nthree", &[(4, 7)], Gap::Blanks), "one\nthree");
        assert_eq!(cut("one", &[(0, 3)], Gap::Blanks), "");
        assert_eq!(cut("one\ntwo\nthree", &[(4, 8)], Gap::None), "one\nthree");
        assert_eq!(cut("a\n\nb\n \n\nc", &[(3, 5)], Gap::BlankLines), "a\n\nc");
        assert_eq!(whole_lines("one two\n three \nfour", &[(4, 14)]), [(8, 16)]);
        assert_eq!(whole_lines("one\ntwo\nfour", &[(0, 12)]), [(0, 12)]);
    }
}
