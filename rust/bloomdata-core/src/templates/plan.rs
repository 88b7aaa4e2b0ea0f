//! A plan: the text of all conversations with the same roles, as fixed text with slots for contents.
//!
//! It is made once, by rendering markers as contents. Filling it in renders a conversation if the template
//! is known to inspect only roles. Otherwise it is compared with the rendered text: if they are equal,
//! every character is known to come from a message or from the template.

use std::ops::Range;

use super::markers::{CLOSE, OPEN, PAD, padded};
use super::spans::{Locator, Prefixes, TrainOn, answers};
use crate::conversation::{is_python_space, python_strip};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Fixed {
        text: String,
        /// The answer that it belongs to, if that is trained on.
        trained: Option<usize>,
    },
    Content {
        message: usize,
        trained: Option<usize>,
        /// Whether the template strips white space in front of it.
        left: bool,
        /// Whether the template strips white space after it.
        right: bool,
    },
}

/// Fixed text with slots for contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pieces: Vec<Piece>,
}

/// A rendered conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Its text.
    pub text: String,
    /// Byte ranges that are trained on, in order.
    pub trained: Vec<Range<usize>>,
    /// Byte ranges in which special tokens are text, in order.
    pub quoted: Vec<Range<usize>>,
}

/// Conversations whose contents are markers.
struct WithMarkers<'run> {
    roles: &'run [&'run str],
    render: &'run Render<'run>,
}

/// Renders messages of a role and a text each, with or without the generation prompt.
pub(super) type Render<'run> = dyn Fn(&[(&str, &str)], bool) -> Result<String, String> + 'run;

impl WithMarkers<'_> {
    /// Renders the first `count` messages, in which the content of message `other` is not a marker.
    fn run(&self, count: usize, asking: bool, other: Option<usize>) -> Result<String, String> {
        let mut texts: Vec<String> = (0..count).map(padded).collect();
        if let Some(text) = other.and_then(|other| texts.get_mut(other)) {
            "text".clone_into(text);
        }
        let messages: Vec<(&str, &str)> =
            self.roles.iter().copied().zip(texts.iter().map(String::as_str)).collect();
        (self.render)(&messages, asking)
    }
}

impl Prefixes for WithMarkers<'_> {
    fn render(&self, count: usize, asking: bool) -> Result<String, String> {
        self.run(count, asking, None)
    }

    fn probe(&self, message: usize) -> Result<String, String> {
        self.run(message + 1, false, None)
    }

    fn others(&self, message: usize) -> Result<(String, String), String> {
        Ok((self.run(message + 1, false, Some(message))?, self.run(message, true, None)?))
    }
}

impl Plan {
    /// The plan of these roles.
    ///
    /// # Errors
    /// An error of the template; an answer that cannot be located with certainty.
    pub(super) fn new(
        roles: &[&str],
        render: &Render<'_>,
        end_tokens: &[String],
        train_on: TrainOn,
    ) -> Result<Self, String> {
        let prefixes = WithMarkers { roles, render };
        let text = prefixes.render(roles.len(), false)?;
        let answers = answers(roles, train_on);
        let locator = Locator { roles, text: &text, prefixes: &prefixes, end_tokens, answers: &answers };
        let spans = locator.spans()?;
        let mut plan = Self { pieces: Vec::new() };
        let mut at = 0;
        for (span, &message) in spans.iter().zip(&answers) {
            plan.cut(&text[at..span.start], None, roles.len())?;
            plan.cut(&text[span.start..span.end], Some(message), roles.len())?;
            at = span.end;
        }
        plan.cut(&text[at..], None, roles.len())?;
        Ok(plan)
    }

    /// The plan of these roles without the parts that are trained on, for when these cannot be located.
    ///
    /// # Errors
    /// An error of the template.
    pub(super) fn untrained(roles: &[&str], render: &Render<'_>) -> Result<Self, String> {
        let text = WithMarkers { roles, render }.render(roles.len(), false)?;
        let mut plan = Self { pieces: Vec::new() };
        plan.cut(&text, None, roles.len())?;
        Ok(plan)
    }

    /// Fills in contents. `mask` has the answers that are trained on, if not all are.
    pub(super) fn fill(&self, contents: &[&str], mask: Option<&[bool]>) -> Rendered {
        let mut rendered =
            Rendered { text: String::with_capacity(self.size(contents)), ..Rendered::default() };
        for piece in &self.pieces {
            let start = rendered.text.len();
            let trained = match piece {
                Piece::Fixed { text, trained } => {
                    rendered.text.push_str(text);
                    *trained
                }
                Piece::Content { message, trained, left, right } => {
                    rendered.text.push_str(strip(contents[*message], *left, *right));
                    *trained
                }
            };
            if trained.is_some_and(|answer| mask.is_none_or(|mask| mask[answer])) {
                extend(&mut rendered.trained, start..rendered.text.len());
            }
        }
        rendered
    }

    /// Appends the pieces of a text with markers. `trained_on` is the message whose answer the text
    /// is, if it is trained on.
    fn cut(&mut self, text: &str, trained_on: Option<usize>, num_messages: usize) -> Result<(), String> {
        let trained = trained_on;
        let mut rest = text;
        while let Some(open) = rest.find(OPEN) {
            let tail = &rest[open + OPEN.len_utf8()..];
            let number = tail.split_once(CLOSE).and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
            let Some((message, tail)) = number.filter(|&(message, _)| message < num_messages) else {
                return Err("the template splits messages".into());
            };
            if trained_on.is_some_and(|own| own != message) {
                return Err(format!("content of message {message} is in an answer"));
            }
            let fixed = rest[..open].strip_suffix(PAD);
            self.fix(fixed.unwrap_or(&rest[..open]), trained);
            let after = tail.strip_prefix(PAD);
            let (left, right) = (fixed.is_none(), after.is_none());
            self.pieces.push(Piece::Content { message, trained, left, right });
            rest = after.unwrap_or(tail);
        }
        self.fix(rest, trained);
        Ok(())
    }

    fn fix(&mut self, text: &str, trained: Option<usize>) {
        if !text.is_empty() {
            self.pieces.push(Piece::Fixed { text: text.to_owned(), trained });
        }
    }

    fn size(&self, contents: &[&str]) -> usize {
        let size = |piece: &Piece| match piece {
            Piece::Fixed { text, .. } => text.len(),
            Piece::Content { message, .. } => contents[*message].len(),
        };
        self.pieces.iter().map(size).sum()
    }
}

fn strip(text: &str, left: bool, right: bool) -> &str {
    match (left, right) {
        (true, true) => python_strip(text),
        (true, false) => text.trim_start_matches(is_python_space),
        (false, true) => text.trim_end_matches(is_python_space),
        (false, false) => text,
    }
}

/// Appends a span, merged with the last one if they touch.
fn extend(spans: &mut Vec<Range<usize>>, span: Range<usize>) {
    match spans.last_mut() {
        Some(last) if last.end == span.start => last.end = span.end,
        _ if span.is_empty() => {}
        _ => spans.push(span),
    }
}
