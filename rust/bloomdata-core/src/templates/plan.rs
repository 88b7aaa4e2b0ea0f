//! The text of all conversations with the same roles: fixed parts, and places for what is said.
//!
//! Made once by rendering messages that are nothing but marks. A conversation is then rendered by filling it in, if the
//! template is known to look at roles only, or is checked against it: if its text is what filling in gives, every
//! letter is known to come from a message or from the template.

use std::ops::Range;

use super::spans::{Question, TrainOn};
use crate::conversation::{is_python_space, python_strip};

/// A mark is `OPEN`, the number of the message, `CLOSE`; characters that Unicode sets aside for such uses.
const OPEN: char = '\u{fdd3}';
const CLOSE: char = '\u{fdd4}';

/// The mark of a message.
pub(super) fn mark(message: usize) -> String {
    format!("{OPEN}{message}{CLOSE}")
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Fixed { text: String, trained: bool },
    Content { message: usize, trained: bool },
}

/// Text with places for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pieces: Vec<Piece>,
}

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its text.
    pub text: String,
    /// The parts of it that are trained on, in order, in bytes.
    pub trained: Vec<Range<usize>>,
}

impl Plan {
    /// The plan of these roles; `render` renders the first messages, so many, whose contents are their marks.
    ///
    /// # Errors
    /// What the template objects to; a part to train on that cannot be told for sure.
    pub(super) fn new(
        roles: &[&str],
        render: &dyn Fn(usize, bool) -> Result<String, String>,
        end_tokens: &[String],
        train_on: TrainOn,
    ) -> Result<Self, String> {
        let text = render(roles.len(), false)?;
        let locate = |message: usize, part: &str| {
            let mark = mark(message);
            let (start, last) = (part.find(&mark)?, part.rfind(&mark)?);
            Some(start..last + mark.len())
        };
        let question = Question { roles, text: &text, render, locate: &locate, end_tokens, train_on };
        let spans = question.spans()?;
        let mut pieces = Vec::new();
        let mut at = 0;
        for span in &spans {
            cut(&text[at..span.start], false, &mut pieces)?;
            cut(&text[span.start..span.end], true, &mut pieces)?;
            at = span.end;
        }
        cut(&text[at..], false, &mut pieces)?;
        Ok(Self { pieces })
    }

    /// The text with these contents, each as it is or stripped.
    pub(super) fn fill(&self, contents: &[&str], strips: bool) -> Rendered {
        let mut rendered = Rendered { text: String::with_capacity(self.size(contents)), trained: Vec::new() };
        for piece in &self.pieces {
            let start = rendered.text.len();
            let trained = match piece {
                Piece::Fixed { text, trained } => {
                    rendered.text.push_str(text);
                    *trained
                }
                Piece::Content { message, trained } => {
                    let content = contents[*message];
                    rendered.text.push_str(if strips { python_strip(content) } else { content });
                    *trained
                }
            };
            if trained {
                extend(&mut rendered.trained, start..rendered.text.len());
            }
        }
        rendered
    }

    /// What is trained on in a text that was rendered from these contents; `None` if it is not what filling them in
    /// gives, each as it is or stripped at one end or both.
    pub(super) fn trained(&self, text: &str, contents: &[&str]) -> Option<Vec<Range<usize>>> {
        let mut spans = Vec::new();
        let mut at = 0;
        for (number, piece) in self.pieces.iter().enumerate() {
            let start = at;
            let trained = match piece {
                Piece::Fixed { text: fixed, trained } => {
                    at += text[at..].starts_with(fixed.as_str()).then_some(fixed.len())?;
                    *trained
                }
                Piece::Content { message, trained } => {
                    let next = match self.pieces.get(number + 1) {
                        Some(Piece::Fixed { text, .. }) => Some(text.as_str()),
                        Some(Piece::Content { .. }) => Some(""),
                        None => None,
                    };
                    at += length_of(contents[*message], &text[at..], next)?;
                    *trained
                }
            };
            if trained {
                extend(&mut spans, start..at);
            }
        }
        (at == text.len()).then_some(spans)
    }

    fn size(&self, contents: &[&str]) -> usize {
        let size = |piece: &Piece| match piece {
            Piece::Fixed { text, .. } => text.len(),
            Piece::Content { message, .. } => contents[*message].len(),
        };
        self.pieces.iter().map(size).sum()
    }
}

/// How much of `rest` is this content, when what comes behind it is `next`, or nothing.
fn length_of(content: &str, rest: &str, next: Option<&str>) -> Option<usize> {
    let ways = [
        content,
        python_strip(content),
        content.trim_end_matches(is_python_space),
        content.trim_start_matches(is_python_space),
    ];
    let fits = |way: &&&str| {
        rest.strip_prefix(**way).is_some_and(|behind| match next {
            Some(next) => behind.starts_with(next),
            None => behind.is_empty(),
        })
    };
    ways.iter().find(fits).map(|way| way.len())
}

/// Adds a part, to the last one where they touch.
fn extend(spans: &mut Vec<Range<usize>>, span: Range<usize>) {
    match spans.last_mut() {
        Some(last) if last.end == span.start => last.end = span.end,
        _ if span.is_empty() => {}
        _ => spans.push(span),
    }
}

/// Adds the pieces of a text with marks.
fn cut(text: &str, trained: bool, pieces: &mut Vec<Piece>) -> Result<(), String> {
    let mut rest = text;
    while let Some(open) = rest.find(OPEN) {
        if open > 0 {
            pieces.push(Piece::Fixed { text: rest[..open].to_owned(), trained });
        }
        let behind = &rest[open + OPEN.len_utf8()..];
        let number = behind.split_once(CLOSE).and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
        let Some((message, behind)) = number else {
            return Err("the template takes messages apart".into());
        };
        pieces.push(Piece::Content { message, trained });
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Fixed { text: rest.to_owned(), trained });
    }
    Ok(())
}
