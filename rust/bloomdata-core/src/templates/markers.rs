//! Markers: texts that stand in for what messages say while a template is probed.

use std::ops::Range;

/// A mark is `OPEN`, the number of the message, `CLOSE`; characters that Unicode sets aside for such uses.
pub(super) const OPEN: char = '\u{fdd3}';
pub(super) const CLOSE: char = '\u{fdd4}';
/// White space around a mark, which tells whether the template leaves it out. Of a kind that none looks for, as some
/// strip nothing but ends of lines.
pub(super) const PAD: &str = "\u{b}\u{b}\u{b}";

/// The mark of a message.
pub(super) fn marker(message: usize) -> String {
    format!("{OPEN}{message}{CLOSE}")
}

/// The same with white space around it.
pub(super) fn padded(message: usize) -> String {
    format!("{PAD}{}{PAD}", marker(message))
}

/// Where the first mark of a message and the last one stand, and all between them.
pub(super) fn find_marker(text: &str, message: usize) -> Option<Range<usize>> {
    let inner = marker(message);
    let (start, last) = (text.find(&inner)?, text.rfind(&inner)? + inner.len());
    let pad = |has: bool| if has { PAD.len() } else { 0 };
    Some(start - pad(text[..start].ends_with(PAD))..last + pad(text[last..].starts_with(PAD)))
}
