//! A tree of messages that is nested by `replies` becomes a flat list, without recursion and in one pass.
//!
//! The text was validated before; the scan relies on that only to find the ends of values.

use std::borrow::Cow;

use crate::document::BadRecord;
use crate::json_fields::{FieldPath, holds_something, key_of};
use crate::key_log::KeyLog;
use crate::stages::fields::wrong_kind;

/// The key of a message's replies.
pub const REPLIES: &str = "replies";

/// A message of the tree: whose reply it is, and the JSON of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested<'record, const N: usize> {
    /// Index of the message that it replies to; those come first.
    pub parent: Option<usize>,
    /// The fields as they stand there.
    pub fields: [Option<&'record str>; N],
    /// Its other keys, and whether each holds something.
    others: Vec<(Cow<'record, [u8]>, bool)>,
}

impl<const N: usize> Nested<'_, N> {
    fn new(parent: Option<usize>) -> Self {
        Self { parent, fields: [None; N], others: Vec::new() }
    }

    /// Takes note of its other keys.
    pub fn note_others(&self, log: &mut KeyLog<'_>) {
        let way = if self.parent.is_none() { "prompt" } else { "prompt.replies[]" };
        log.inside(way, |log| {
            log.open();
            self.others.iter().for_each(|(key, holds)| log.note(key, *holds));
        });
    }
}

/// The messages of a tree, parents first and replies in order. `root` is a valid JSON object without white space around.
///
/// # Errors
/// `replies` holds something else than a list of objects.
pub fn unfold<'record, const N: usize>(
    root: &'record str,
    fields: &[FieldPath; N],
) -> Result<Vec<Nested<'record, N>>, BadRecord> {
    let mut scan = Scan { text: root, at: 1 };
    let mut nodes = vec![Nested::new(None)];
    // Messages whose objects are open; of each, whether its list of replies is open, too.
    let mut open: Vec<(usize, bool)> = vec![(0, false)];
    while let Some((node, in_replies)) = open.last_mut() {
        let node = *node;
        match (scan.peek()?, *in_replies) {
            (b',', _) => scan.at += 1,
            (b'}', false) => {
                scan.at += 1;
                open.pop();
            }
            (b']', true) => {
                scan.at += 1;
                *in_replies = false;
            }
            (b'{', true) => {
                scan.at += 1;
                open.push((nodes.len(), false));
                nodes.push(Nested::new(Some(node)));
            }
            (_, true) => return Err(wrong_kind(REPLIES, scan.value()?, "objects")),
            (_, false) => {
                let key = scan.key()?;
                let slot = fields.iter().position(|field| *key == *field.name().as_bytes());
                if *key == *REPLIES.as_bytes() {
                    // Of equal keys the last counts: what an earlier list held is forgotten.
                    nodes.truncate(node + 1);
                    if scan.peek()? == b'[' {
                        scan.at += 1;
                        *in_replies = true;
                    } else {
                        match scan.value()? {
                            "null" => {}
                            other => return Err(wrong_kind(REPLIES, other, "a list")),
                        }
                    }
                } else {
                    let value = scan.value()?;
                    match slot {
                        Some(slot) => nodes[node].fields[slot] = Some(value),
                        None => nodes[node].others.push((key, holds_something(value))),
                    }
                }
            }
        }
    }
    Ok(nodes)
}

struct Scan<'record> {
    text: &'record str,
    at: usize,
}

impl<'record> Scan<'record> {
    /// The next byte that is no white space; the scan stands on it then.
    fn peek(&mut self) -> Result<u8, BadRecord> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(&byte) => return Ok(byte),
                None => return Err(cut_short()),
            }
        }
    }

    /// A key, and the scan stands on its value.
    fn key(&mut self) -> Result<Cow<'record, [u8]>, BadRecord> {
        let key = self.value()?;
        if self.peek()? == b':' {
            self.at += 1;
        }
        key_of(key).ok_or_else(cut_short)
    }

    /// A whole value.
    fn value(&mut self) -> Result<&'record str, BadRecord> {
        let first = self.peek()?;
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.text.as_bytes().get(self.at).ok_or_else(cut_short)? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            let is_word = !matches!(first, b'"' | b'{' | b'[');
            let next = self.text.as_bytes().get(self.at);
            let ends =
                !is_word || matches!(next, None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n'));
            if depth == 0 && ends {
                return self.text.get(start..self.at).ok_or_else(cut_short);
            }
        }
    }

    /// Steps over a string.
    fn string(&mut self) -> Result<(), BadRecord> {
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).ok_or_else(cut_short)?;
            let stop = memchr::memchr2(b'"', b'\\', rest).ok_or_else(cut_short)?;
            self.at += stop + 1;
            if rest[stop] == b'"' {
                return Ok(());
            }
            self.at += 1;
        }
    }
}

fn cut_short() -> BadRecord {
    BadRecord::MalformedJson("the text ends inside a value".to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parent and text of a message.
    type Flat<'root> = (Option<usize>, Option<&'root str>);

    fn flat(root: &str) -> Result<Vec<Flat<'_>>, String> {
        let nodes = unfold(root, &[FieldPath::of_key("text")]).map_err(|bad| bad.to_string())?;
        Ok(nodes.into_iter().map(|node| (node.parent, node.fields[0])).collect())
    }

    #[test]
    fn replies_are_flat_in_order_and_the_last_of_equal_keys_counts() {
        let root = r#"{ "x" : {"text":[1,"}]"]} , "text":"\"a\\" , "replies":[ {"text":1,"replies" : []},{
            "replies":[{"te\u0078t":-1.5e3}],"text":true } ], "y":[] }"#;
        let expected = vec![
            (None, Some(r#""\"a\\""#)),
            (Some(0), Some("1")),
            (Some(0), Some("true")),
            (Some(2), Some("-1.5e3")),
        ];
        assert_eq!(flat(root), Ok(expected));
        let twice = r#"{"replies":[{"text":1,"replies":[{}]}],"replies":[{"text":2}],"text":3,"text":4}"#;
        assert_eq!(flat(twice), Ok(vec![(None, Some("4")), (Some(0), Some("2"))]));
        assert_eq!(flat(r#"{"replies":[{}],"replies":null}"#), Ok(vec![(None, None)]));
        assert_eq!(flat("{}"), Ok(vec![(None, None)]));
    }

    #[test]
    fn replies_are_lists_of_objects() {
        let told = |root| flat(root).unwrap_err();
        assert_eq!(told(r#"{"replies":{}}"#), "field \"replies\" holds an object, not a list");
        assert_eq!(told(r#"{"replies":[1]}"#), "field \"replies\" holds a number, not objects");
    }

    #[test]
    fn deep_trees_are_unfolded_in_one_pass() {
        let depth = 300_000;
        let root = format!("{}{}", r#"{"text":"x","replies":["#.repeat(depth), "]}".repeat(depth));
        let nodes = flat(&root).unwrap();
        assert_eq!(nodes.len(), depth);
        assert_eq!(nodes[depth - 1], (Some(depth - 2), Some("\"x\"")));
    }
}
