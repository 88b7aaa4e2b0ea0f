//! Records under a key of a JSON file, as in `{"version": 1, "data": [{...}, {...}]}`: one record per element of that
//! list, whatever the file's size. What stands beside the list is passed over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde_json::value::RawValue;

use super::json_values::ValueSplitter;
use crate::document::BYTE_ORDER_MARK;
use crate::error::{Error, Result};

/// The key that says that a file's own values are its records.
const THE_VALUES: &str = ".";
/// Bytes of a key that are looked at.
const MAX_KEY: usize = 1 << 16;
/// Keys that are named in an error.
const MAX_NAMED: usize = 10;
/// Keys of records: an object with one of them is a record, and no wrapping of others.
const RECORD_KEYS: [&str; 20] = [
    "text",
    "content",
    "messages",
    "conversations",
    "conversation",
    "dialog",
    "dialogue",
    "turns",
    "chat",
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "question",
    "answer",
    "response",
    "chosen",
    "rejected",
    "tools",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a value at the top.
    Top,
    /// A key, or the end of an object on the way.
    Key,
    /// Inside a key, behind a backslash if so.
    InKey(bool),
    /// A colon.
    Colon,
    /// A value, behind the key that is wanted or another one.
    Value(bool),
    /// A value that is passed over: its depth, and whether it is in a string, and there behind a backslash.
    Passed(u64, Option<bool>),
    /// A comma, or the end of an object on the way.
    Behind,
    /// The list.
    List,
}

/// Finds the list in a stream of bytes.
pub(super) struct RecordsFinder {
    name: String,
    keys: Vec<String>,
    state: State,
    /// Keys on the way that were found.
    matched: usize,
    offset: u64,
    key: Vec<u8>,
    seen: Vec<String>,
    /// Whether the value at the top that is open holds the list.
    has_list: bool,
    has_values: bool,
}

impl RecordsFinder {
    /// A finder of the list under a dotted path of keys.
    ///
    /// # Errors
    /// An empty key.
    pub(super) fn new(name: &str) -> Result<Self> {
        let keys: Vec<String> =
            if name == THE_VALUES { Vec::new() } else { name.split('.').map(str::to_owned).collect() };
        if keys.iter().any(String::is_empty) {
            return Err(Error::config("records", format!("{name:?} has an empty part")));
        }
        Ok(Self {
            name: name.to_owned(),
            keys,
            state: State::Top,
            matched: 0,
            offset: 0,
            key: Vec::new(),
            seen: Vec::new(),
            has_list: false,
            has_values: false,
        })
    }

    /// Takes the next bytes of the file; those of the list go to the splitter.
    ///
    /// # Errors
    /// Where the file is no JSON on the way to the list, or there is something else under the key.
    pub(super) fn push(&mut self, path: &Path, input: &[u8], splitter: &mut ValueSplitter) -> Result<()> {
        if self.keys.is_empty() {
            return splitter.push(path, input);
        }
        let mut at = 0;
        while at < input.len() {
            let taken = if self.state == State::List {
                let (taken, has_ended) = splitter.push_list(path, &input[at..])?;
                if has_ended {
                    self.state = State::Behind;
                }
                taken
            } else {
                if self.step(path, input[at])? {
                    splitter.begin_list(self.offset);
                    splitter.push_list(path, &input[at..=at])?;
                }
                1
            };
            at += taken;
            self.offset += taken as u64;
        }
        Ok(())
    }

    /// Takes a byte; whether the list begins with it.
    fn step(&mut self, path: &Path, byte: u8) -> Result<bool> {
        let is_white = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let bad = |expected: &str| {
            let reason = format!("expected {expected}, found {:?}", char::from(byte));
            Err(Error::corrupt(path, self.offset, reason))
        };
        self.state = match self.state {
            State::InKey(true) => {
                self.note(byte);
                State::InKey(false)
            }
            State::InKey(false) if byte == b'"' => State::Colon,
            State::InKey(false) => {
                self.note(byte);
                State::InKey(byte == b'\\')
            }
            State::Passed(depth, Some(is_escaped)) => match byte {
                b'"' if !is_escaped && depth == 0 => State::Behind,
                b'"' if !is_escaped => State::Passed(depth, None),
                _ => State::Passed(depth, Some(byte == b'\\' && !is_escaped)),
            },
            State::Passed(depth, None) => match byte {
                b'"' => State::Passed(depth, Some(false)),
                b'{' | b'[' => State::Passed(depth + 1, None),
                b'}' | b']' if depth > 1 => State::Passed(depth - 1, None),
                b'}' | b']' if depth == 1 => State::Behind,
                // A bare number or word ends with the first byte that cannot belong to it.
                b',' | b'}' if depth == 0 => return self.behind(path, byte),
                _ => State::Passed(depth, None),
            },
            _ if is_white => return Ok(false),
            State::Top if self.offset < 3 && BYTE_ORDER_MARK.contains(&byte) => State::Top,
            State::Top if byte == b'{' => {
                (self.matched, self.has_list, self.has_values) = (0, false, true);
                State::Key
            }
            State::Top => return bad(&format!("an object with the records under {:?}", self.name)),
            State::Key if byte == b'"' => {
                self.key.clear();
                State::InKey(false)
            }
            State::Key if byte == b'}' => return self.behind(path, byte),
            State::Key => return bad("a key"),
            State::Colon if byte == b':' => State::Value(self.is_wanted()),
            State::Colon => return bad("a colon"),
            State::Value(true) if self.matched + 1 < self.keys.len() && byte == b'{' => {
                self.matched += 1;
                State::Key
            }
            State::Value(true) if self.matched + 1 == self.keys.len() && byte == b'[' => {
                if self.has_list {
                    return bad(&format!("one list under {:?}, and no second one", self.name));
                }
                self.has_list = true;
                State::List
            }
            State::Value(true) => {
                let place = self.keys[..=self.matched].join(".");
                let wanted =
                    if self.matched + 1 < self.keys.len() { "an object" } else { "a list of records" };
                return bad(&format!("{wanted} under {place:?}"));
            }
            State::Value(false) => match byte {
                b'"' => State::Passed(0, Some(false)),
                b'{' | b'[' => State::Passed(1, None),
                b',' | b'}' | b']' | b':' => return bad("a value"),
                _ => State::Passed(0, None),
            },
            State::Behind => return self.behind(path, byte),
            State::List => State::List,
        };
        Ok(self.state == State::List)
    }

    /// Takes what follows a value of an object on the way.
    fn behind(&mut self, path: &Path, byte: u8) -> Result<bool> {
        self.state = match byte {
            b',' => State::Key,
            b'}' if self.matched > 0 => {
                self.matched -= 1;
                State::Behind
            }
            b'}' => {
                self.check_list(path)?;
                State::Top
            }
            _ => {
                let reason =
                    format!("expected a comma or the end of an object, found {:?}", char::from(byte));
                return Err(Error::corrupt(path, self.offset, reason));
            }
        };
        Ok(false)
    }

    fn note(&mut self, byte: u8) {
        if self.key.len() < MAX_KEY {
            self.key.push(byte);
        }
    }

    /// Whether the key that was read is the next one on the way.
    fn is_wanted(&mut self) -> bool {
        let json = String::from_utf8_lossy(&self.key).into_owned();
        let key = crate::json_escapes::unescaped(&json).unwrap_or(json);
        let is_wanted = key == self.keys[self.matched];
        if self.seen.len() < MAX_NAMED && !self.seen.contains(&key) {
            self.seen.push(key);
        }
        is_wanted
    }

    fn check_list(&self, path: &Path) -> Result<()> {
        if self.has_list {
            return Ok(());
        }
        let found = if self.seen.is_empty() { "none".to_owned() } else { self.seen.join(", ") };
        let (path, name) = (path.display(), &self.name);
        Err(Error::config("records", format!("{path} has nothing under {name:?}; its keys are: {found}")))
    }

    /// The file has ended.
    ///
    /// # Errors
    /// It ended inside of something.
    pub(super) fn finish(self, path: &Path, splitter: &mut ValueSplitter) -> Result<()> {
        if self.keys.is_empty() {
            return splitter.finish(path);
        }
        if self.state == State::Top && (self.has_values || self.offset == 0) {
            return Ok(());
        }
        Err(Error::corrupt(path, self.offset, "truncated: the file ends inside a JSON object"))
    }
}

/// Refuses a file that is one object around one list of objects, which are most likely its records.
///
/// # Errors
/// [`Error::Unsupported`] with the key, and how to say what is meant.
pub(super) fn refuse_wrapping(path: &Path, value: &[u8]) -> Result<()> {
    let Ok(members) = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(value) else {
        return Ok(());
    };
    if RECORD_KEYS.iter().any(|key| members.contains_key(*key)) {
        return Ok(());
    }
    let is_list = |raw: &str| raw.strip_prefix('[').is_some_and(|inner| inner.trim_start().starts_with('{'));
    let mut lists = members.iter().filter(|(_, raw)| is_list(raw.get()));
    let (Some((key, _)), None) = (lists.next(), lists.next()) else { return Ok(()) };
    Err(Error::Unsupported {
        path: path.to_owned(),
        found: format!("one object with a list of objects under {key:?}"),
        supported: format!(
            "an array of records, or records one after the other; of shard, prepare, pack and count \
             records={key:?} reads that list, records={THE_VALUES:?} takes the object as one record"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str, step: usize) -> Result<Vec<String>> {
        let (path, mut splitter) = (Path::new("x.json"), ValueSplitter::default());
        let mut finder = RecordsFinder::new(name)?;
        for part in text.as_bytes().chunks(step) {
            finder.push(path, part, &mut splitter)?;
        }
        finder.finish(path, &mut splitter)?;
        let (bytes, bounds) = splitter.take();
        let mut from = 0;
        Ok(bounds
            .iter()
            .map(|bound| {
                assert_eq!(text.as_bytes()[crate::token::index(bound.offset)], bytes[from]);
                String::from_utf8_lossy(&bytes[std::mem::replace(&mut from, bound.end)..bound.end])
                    .into_owned()
            })
            .collect())
    }

    #[test]
    fn the_elements_of_the_list_are_records_wherever_the_pieces_are_cut() {
        let text =
            r#" {"v":[{"data":[0]}],"n":1.5,"s":"\"data\":[","da\u0074a":[{"a" : 1},{"data":[2]} ],"t":{}} "#;
        let deep = r#"{"x":{"data":[8]},"a":{"b":{},"data":[7, 9]},"z":null}{"a":{"data":[]}}"#;
        for step in 1..text.len() {
            assert_eq!(found("data", text, step).unwrap(), [r#"{"a":1}"#, r#"{"data":[2]}"#]);
            assert_eq!(found("a.data", deep, step).unwrap(), ["7", "9"]);
            assert_eq!(found(".", "[1,2]", step).unwrap(), ["1", "2"]);
        }
        assert!(found("data", "", 1).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_there_or_broken_is_told() {
        for (text, told) in [
            (r#"{"a":1,"b":2}"#, "nothing under \"data\"; its keys are: a, b"),
            (r#"{"data":{"a":1}}"#, "expected a list of records under \"data\", found '{'"),
            (r#"[{"data":[]}]"#, "expected an object with the records under \"data\""),
            (r#"{"data":[1],"data":[2]}"#, "no second one"),
            (r#"{"data":[1]"#, "truncated"),
            (r#"{"data":[1"#, "truncated"),
            (r#"{"data":[1]}]"#, "expected an object"),
            (r#"{"data" [1]}"#, "expected a colon"),
            (r"{data:[1]}", "expected a key"),
        ] {
            let error = found("data", text, 3).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert!(found("a..b", "{}", 1).is_err());
    }

    #[test]
    fn one_object_around_one_list_of_objects_is_refused_unless_it_is_a_record() {
        let refused = |text: &str| refuse_wrapping(Path::new("x.json"), text.as_bytes()).is_err();
        assert!(refused(r#"{"version":"1","rows":[{"a":1}]}"#));
        for text in [
            r#"{"messages":[{"role":"user"}]}"#,
            r#"{"text":"x","meta":[{"a":1}]}"#,
            r#"{"a":[{}],"b":[{}]}"#,
            r#"{"data":[1,2]}"#,
            r#"{"data":[]}"#,
            "[1]",
            "{",
        ] {
            assert!(!refused(text), "{text}");
        }
    }
}
