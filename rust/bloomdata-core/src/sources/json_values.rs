//! A JSON array, or JSON values one after the other, become one record per element, whatever the file's size.
//!
//! White space between tokens is reduced to what keeps them apart, so that every element fits one line; strings and
//! numbers keep their exact bytes. Elements are not validated here, only cut out.

use std::path::Path;

use crate::document::{BYTE_ORDER_MARK, Bound};
use crate::error::{Error, Result};
use crate::token;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before the first byte that counts.
    #[default]
    Start,
    /// Behind an array's opening bracket: a value or the end.
    First,
    /// A value must or may come.
    Value,
    /// After an element: a comma or the end.
    Separator,
    /// Inside a value, outside its strings.
    Inside,
    /// Inside a string.
    Text,
    /// Behind a backslash inside a string.
    Escape,
    /// After the array's end.
    End,
}

/// Cuts values out of a stream of bytes.
#[derive(Debug, Default)]
pub struct ValueSplitter {
    state: State,
    is_array: bool,
    depth: u64,
    space: bool,
    offset: u64,
    start: u64,
    record: Vec<u8>,
    bytes: Vec<u8>,
    bounds: Vec<Bound>,
    num_values: u64,
    /// Whether the bytes of an array are followed by others, which are not ours.
    is_inner: bool,
}

fn is_structural(byte: u8) -> bool {
    matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',' | b'"')
}

impl ValueSplitter {
    /// From here on, bytes are those of an array inside of the file.
    pub fn begin_list(&mut self, offset: u64) {
        (self.state, self.is_array, self.is_inner, self.offset) = (State::Start, false, true, offset);
    }

    /// Takes up to the end of the array; how many bytes that were, and whether it has ended.
    ///
    /// # Errors
    /// As for [`ValueSplitter::push`].
    pub fn push_list(&mut self, path: &Path, input: &[u8]) -> Result<(usize, bool)> {
        let before = self.offset;
        self.push(path, input)?;
        Ok((token::index(self.offset - before), self.state == State::End))
    }

    /// Whether there is one value so far, and no array around it.
    pub fn holds_one_value(&self) -> bool {
        self.num_values == 1 && !self.is_array
    }

    /// The records that wait to be taken, concatenated.
    pub fn pending(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of the records that wait to be taken.
    pub fn pending_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records cut out since the last call.
    pub fn take(&mut self) -> (Vec<u8>, Vec<Bound>) {
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.bounds))
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the sequence itself is broken, so that no later element could be trusted.
    pub fn push(&mut self, path: &Path, input: &[u8]) -> Result<()> {
        let mut at = 0;
        while at < input.len() && !(self.is_inner && self.state == State::End) {
            if self.state != State::Text {
                self.step(path, input[at])?;
                at += 1;
                self.offset += 1;
                continue;
            }
            // Strings are most of the bytes: jump to what can end them.
            let end = memchr::memchr2(b'"', b'\\', &input[at..]).map_or(input.len(), |found| at + found + 1);
            self.record.extend_from_slice(&input[at..end]);
            self.offset += (end - at) as u64;
            at = end;
            match input[end - 1] {
                b'\\' => self.state = State::Escape,
                b'"' if self.depth == 0 => self.finish_value(self.offset),
                b'"' => self.state = State::Inside,
                _ => {}
            }
        }
        Ok(())
    }

    fn finish_value(&mut self, next_offset: u64) {
        self.num_values += 1;
        self.bytes.append(&mut self.record);
        self.bounds.push(Bound { end: self.bytes.len(), offset: self.start, next_offset });
        self.space = false;
        self.state = if self.is_array { State::Separator } else { State::Value };
    }

    fn step(&mut self, path: &Path, byte: u8) -> Result<()> {
        let white = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let bad = |expected: &str| {
            let reason = format!("expected {expected}, found {:?}", char::from(byte));
            Err(Error::corrupt(path, self.offset, reason))
        };
        match self.state {
            State::Start
                if !self.is_inner
                    && self.offset < 3
                    && BYTE_ORDER_MARK[token::index(self.offset)] == byte => {}
            State::Inside => return self.inside(path, byte, white),
            State::Escape => {
                self.record.push(byte);
                self.state = State::Text;
            }
            _ if white => {}
            State::Start if byte == b'[' => {
                self.is_array = true;
                self.state = State::First;
            }
            State::Start if byte != b'{' => return bad("a JSON array or object"),
            State::First if byte == b']' => self.state = State::End,
            State::Start | State::First | State::Value => {
                if matches!(byte, b']' | b'}' | b',' | b':') {
                    return bad("a value");
                }
                self.start = self.offset;
                self.record.push(byte);
                self.depth = u64::from(matches!(byte, b'{' | b'['));
                self.state = if byte == b'"' { State::Text } else { State::Inside };
            }
            State::Separator if byte == b',' => self.state = State::Value,
            State::Separator if byte == b']' => self.state = State::End,
            State::Separator => return bad("a comma or the end of the array"),
            State::End => return bad("nothing after the array"),
            State::Text => {}
        }
        Ok(())
    }

    fn inside(&mut self, path: &Path, byte: u8, white: bool) -> Result<()> {
        if self.depth == 0 && (white || matches!(byte, b',' | b']' | b'}')) {
            // A bare number or word ends at the first byte that cannot belong to it.
            self.finish_value(self.offset);
            return self.step(path, byte);
        }
        if white {
            self.space = true;
            return Ok(());
        }
        let last = self.record.last().copied().unwrap_or(b',');
        if std::mem::take(&mut self.space) && !is_structural(byte) && !is_structural(last) {
            self.record.push(b' ');
        }
        self.record.push(byte);
        match byte {
            b'"' => self.state = State::Text,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.finish_value(self.offset + 1);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The file has ended.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it ended inside a value or an array.
    pub fn finish(&mut self, path: &Path) -> Result<()> {
        if self.state == State::Inside && self.depth == 0 && !self.is_array {
            self.finish_value(self.offset);
        }
        match self.state {
            State::Start | State::End => Ok(()),
            State::Value if !self.is_array => Ok(()),
            _ => Err(Error::corrupt(
                path,
                self.offset,
                "truncated: the file ends inside a JSON array or value",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(input: &[u8], step: usize) -> Result<Vec<(String, u64)>> {
        let (path, mut splitter, mut out) = (Path::new("x.json"), ValueSplitter::default(), Vec::new());
        for part in input.chunks(step.max(1)) {
            splitter.push(path, part)?;
            let (bytes, bounds) = splitter.take();
            let mut from = 0;
            for bound in bounds {
                out.push((String::from_utf8_lossy(&bytes[from..bound.end]).into_owned(), bound.offset));
                from = bound.end;
            }
        }
        splitter.finish(path)?;
        let (bytes, bounds) = splitter.take();
        out.extend(bounds.iter().map(|bound| (String::from_utf8_lossy(&bytes).into_owned(), bound.offset)));
        Ok(out)
    }

    #[test]
    fn elements_keep_their_bytes_and_know_their_offsets() {
        let input = br#" [ {"a" : "x ]\" y" , "b": [1, 2 ]},"s" ,12 , null ,[] ] "#;
        let expected =
            [(r#"{"a":"x ]\" y","b":[1,2]}"#, 3), (r#""s""#, 36), ("12", 41), ("null", 46), ("[]", 52)];
        for step in 1..input.len() {
            let found = split(input, step).unwrap();
            assert!(found.iter().map(|(text, offset)| (text.as_str(), *offset)).eq(expected), "{found:?}");
        }
    }

    #[test]
    fn values_one_after_the_other_are_records_too() {
        let found = split(b"{\"a\":\n1}\n{}\n\n[3]7", 4).unwrap();
        let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["{\"a\":1}", "{}", "[3]", "7"]);
    }

    #[test]
    fn white_space_never_joins_two_tokens() {
        assert_eq!(split(b"[{\"a\":1 2}]", 3).unwrap()[0].0, "{\"a\":1 2}");
    }

    #[test]
    fn broken_sequences_are_errors() {
        for input in ["[1", "[1,]", "[,1]", "[1 2]", "[1]]", "[1}", "{\"a\":1", "[\"a", "x", "]", "[1] 2"] {
            assert!(matches!(split(input.as_bytes(), 2), Err(Error::Corrupt { .. })), "{input}");
        }
        for input in ["", " ", "[]", "[ ]"] {
            assert_eq!(split(input.as_bytes(), 2).unwrap(), [], "{input}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<String>().prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn arrays_split_as_serde_json_reads_them(values in prop::collection::vec(json(), 0..6), step in 1_usize..40) {
            for text in [serde_json::to_string(&values).unwrap(), serde_json::to_string_pretty(&values).unwrap()] {
                let found: Vec<serde_json::Value> =
                    split(text.as_bytes(), step).unwrap().iter().map(|(text, _)| serde_json::from_str(text).unwrap()).collect();
                prop_assert_eq!(&found, &values);
            }
        }
    }
}
