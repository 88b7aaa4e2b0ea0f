//! Markers that stand in for message contents while a template is probed.

use std::ops::Range;

/// A marker is `OPEN`, the number of the message, `CLOSE`; both characters are Unicode noncharacters.
pub(super) const OPEN: char = '\u{fdd3}';
pub(super) const CLOSE: char = '\u{fdd4}';
/// White space around a marker, which reveals whether the template strips. Vertical tabs, as some templates
/// strip only line ends, and none searches for them.
pub(super) const PAD: &str = "\u{b}\u{b}\u{b}";

/// The marker of a message.
pub(super) fn marker(message: usize) -> String {
    format!("{OPEN}{message}{CLOSE}")
}

/// The marker with white space around it.
pub(super) fn padded(message: usize) -> String {
    format!("{PAD}{}{PAD}", marker(message))
}

/// The range from the first to the last marker of a message, including white space around them.
pub(super) fn find_marker(text: &str, message: usize) -> Option<Range<usize>> {
    let inner = marker(message);
    let (start, last) = (text.find(&inner)?, text.rfind(&inner)? + inner.len());
    let pad = |has: bool| if has { PAD.len() } else { 0 };
    Some(start - pad(text[..start].ends_with(PAD))..last + pad(text[last..].starts_with(PAD)))
}
