//! What is wrong with text that is not JSON (RFC 8259), in words, and where. Read only after the fast parser has refused.

use crate::document::{JsonFault, Remedy};

/// Keys and indices that a place is told with, at most: the innermost ones.
const MAX_PLACES: usize = 8;
/// Characters of a word that are shown.
const MAX_WORD: usize = 20;

/// The first fault of a text; none if it is one JSON value.
pub(crate) fn fault(text: &str) -> Option<JsonFault> {
    let mut reader = Reader { text, at: 0, levels: Vec::new(), after_text: false };
    reader.read().err()
}

/// The fault of a text that a parser refused for the reason `told`.
pub(crate) fn fault_or(text: &str, told: &serde_json::Error) -> JsonFault {
    fault(text).unwrap_or_else(|| told.into())
}

/// The first escape of half a surrogate pair in a string's JSON.
pub(crate) fn lone_surrogate(raw: &str) -> Option<&str> {
    let unit = |at: usize| {
        let digits = raw.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', raw.get(at..)?.as_bytes()) {
        at += found;
        let is_low = |unit: u32| (0xdc00..0xe000).contains(&unit);
        at += match unit(at) {
            Some(high) if (0xd800..0xdc00).contains(&high) && unit(at + 6).is_some_and(is_low) => 12,
            Some(half) if (0xd800..0xe000).contains(&half) => return raw.get(at..at + 6),
            Some(_) => 6,
            None => 2,
        };
    }
    None
}

/// An object or a list that is open.
enum Level<'text> {
    /// The key that was read last, as it is written.
    Object(&'text str),
    /// The index of the element.
    List(usize),
}

struct Reader<'text> {
    text: &'text str,
    at: usize,
    levels: Vec<Level<'text>>,
    /// Whether the value that was read last is a string.
    after_text: bool,
}

type Outcome = Result<(), JsonFault>;

impl<'text> Reader<'text> {
    fn read(&mut self) -> Outcome {
        self.value(false)?;
        loop {
            // Behind a value.
            let found = self.peek();
            match (self.levels.last_mut(), found) {
                (None, None) => return Ok(()),
                (None, Some(found)) => return Err(self.behind_the_record(found)),
                (Some(_), None) => return Err(self.cut()),
                (Some(Level::Object(_)), Some(',')) => {
                    self.at += 1;
                    self.key(true)?;
                    self.value(false)?;
                }
                (Some(Level::List(index)), Some(',')) => {
                    *index += 1;
                    self.at += 1;
                    self.value(true)?;
                }
                (Some(Level::Object(_)), Some('}')) | (Some(Level::List(_)), Some(']')) => self.close(),
                (Some(_), Some(found)) => return Err(self.no_comma(found)),
            }
        }
    }

    fn close(&mut self) {
        self.levels.pop();
        self.after_text = false;
        self.at += 1;
    }

    /// The next character that is no white space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\r', '\n']);
        self.at = self.text.len() - rest.len();
        rest.chars().next()
    }

    fn eat(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let count = self.text.as_bytes()[self.at..].iter().take_while(|&&byte| wanted(byte)).count();
        self.at += count;
        count
    }

    fn fault(&self, reason: impl Into<String>) -> JsonFault {
        let mut reason = reason.into();
        let place = self.place();
        if !place.is_empty() {
            reason = format!("{reason}, under {place:?}");
        }
        JsonFault { reason, at: Some(self.at), remedy: None }
    }

    /// The text ends inside something.
    fn cut(&self) -> JsonFault {
        let inside = match self.levels.last() {
            Some(Level::Object(_)) => "it ends inside an object",
            Some(Level::List(_)) => "it ends inside a list",
            None => "it ends before a value",
        };
        let is_pretty = self.text.trim_end().ends_with(['{', '[', ',']);
        let remedy = Some(if is_pretty { Remedy::SeveralLines } else { Remedy::CutOrSeveralLines });
        JsonFault { remedy, ..self.fault(inside) }
    }

    /// Where the reader is: `meta.scores[3]`.
    fn place(&self) -> String {
        let from = self.levels.len().saturating_sub(MAX_PLACES);
        let mut place = String::new();
        for level in &self.levels[from..] {
            match level {
                Level::Object("") => {}
                Level::Object(key) if place.is_empty() => place.push_str(key),
                Level::Object(key) => {
                    place.push('.');
                    place.push_str(key);
                }
                Level::List(index) => place = format!("{place}[{index}]"),
            }
        }
        place
    }

    /// Reads a value that is no list or object, or enters one.
    fn value(&mut self, after_comma: bool) -> Outcome {
        let mut after_comma = after_comma;
        loop {
            self.after_text = false;
            match self.peek() {
                Some('{') => {
                    self.at += 1;
                    self.levels.push(Level::Object(""));
                    if self.peek() == Some('}') {
                        self.close();
                        return Ok(());
                    }
                    // No recursion: nesting may be deeper than the stack.
                    self.key(false)?;
                    after_comma = false;
                }
                Some('[') => {
                    self.at += 1;
                    self.levels.push(Level::List(0));
                    if self.peek() == Some(']') {
                        self.close();
                        return Ok(());
                    }
                    after_comma = false;
                }
                Some('"') => {
                    self.string()?;
                    self.after_text = true;
                    return Ok(());
                }
                Some('0'..='9' | '-') => return self.number(),
                Some(found) => {
                    return match ["true", "false", "null"].iter().find(|word| self.word() == **word) {
                        Some(word) => {
                            self.at += word.len();
                            Ok(())
                        }
                        None => Err(self.no_value(found, after_comma)),
                    };
                }
                None => return Err(self.cut()),
            }
        }
    }

    /// Reads a key and its colon.
    fn key(&mut self, after_comma: bool) -> Outcome {
        if let Some(Level::Object(key)) = self.levels.last_mut() {
            *key = "";
        }
        match self.peek() {
            Some('"') => {
                let from = self.at + 1;
                self.string()?;
                let read = &self.text[from..self.at - 1];
                if let Some(Level::Object(key)) = self.levels.last_mut() {
                    *key = read;
                }
            }
            Some('}') if after_comma => return Err(self.fault("a comma stands before the closing }")),
            Some('\'') => return Err(self.fault(SINGLE_QUOTES)),
            Some('/' | '#') => return Err(self.fault("a comment, which JSON does not have")),
            Some(found) => {
                let word = self.word();
                let found = if word.is_empty() { format!("{found:?}") } else { format!("{word:?}") };
                return Err(self.fault(format!("expected a key in double quotes, found {found}")));
            }
            None => return Err(self.cut()),
        }
        match self.peek() {
            Some(':') => {
                self.at += 1;
                Ok(())
            }
            Some(found) => Err(self.fault(format!("expected a colon behind a key, found {found:?}"))),
            None => Err(self.cut()),
        }
    }

    /// Letters, digits and signs from here on.
    fn word(&self) -> &'text str {
        let rest = &self.text[self.at..];
        let is_end = |letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '-' | '+' | '.');
        &rest[..rest.find(is_end).unwrap_or(rest.len())]
    }

    fn string(&mut self) -> Outcome {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            self.eat(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
            match bytes.get(self.at) {
                None => {
                    let remedy = Some(Remedy::CutOrSeveralLines);
                    return Err(JsonFault { remedy, ..self.fault("it ends inside a string") });
                }
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => match bytes.get(self.at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                    Some(b'u') => {
                        let digits = bytes.iter().skip(self.at + 2).take(4);
                        if digits.filter(|byte| byte.is_ascii_hexdigit()).count() < 4 {
                            return Err(self.fault("\\u without four hexadecimal digits in a string"));
                        }
                        self.at += 6;
                    }
                    Some(_) => {
                        let letter = self.text[self.at + 1..].chars().next().unwrap_or_default();
                        let reason =
                            format!("\\{letter} in a string, which is no escape of JSON: write \\\\{letter}");
                        return Err(self.fault(reason));
                    }
                    None => self.at += 1,
                },
                Some(&control) => {
                    let (name, escape) = match control {
                        b'\t' => ("a tab".to_owned(), "\\t".to_owned()),
                        b'\n' => ("a line break".to_owned(), "\\n".to_owned()),
                        b'\r' => ("a carriage return".to_owned(), "\\r".to_owned()),
                        _ => ("a control character".to_owned(), format!("\\u{control:04x}")),
                    };
                    return Err(self.fault(format!("{name} in a string: JSON has it as {escape}")));
                }
            }
        }
    }

    fn number(&mut self) -> Outcome {
        let word = self.word();
        let from = self.at;
        self.eat(|byte| byte == b'-');
        let is_digit = |byte: u8| byte.is_ascii_digit();
        let zero = self.text[self.at..].starts_with('0');
        let whole = self.eat(is_digit);
        let mut is_number = whole > 0 && self.at - from - whole <= 1 && !(zero && whole > 1);
        if is_number && self.text[self.at..].starts_with('.') {
            self.at += 1;
            is_number = self.eat(is_digit) > 0;
        }
        if is_number && self.text[self.at..].starts_with(['e', 'E']) {
            self.at += 1;
            self.at += usize::from(self.text[self.at..].starts_with(['+', '-']));
            is_number = self.eat(is_digit) > 0;
        }
        if is_number && self.at - from == word.len() {
            return Ok(());
        }
        self.at = from;
        Err(self.no_word(word))
    }

    fn no_word(&self, word: &str) -> JsonFault {
        let plain = word.trim_start_matches(['-', '+']).to_ascii_lowercase();
        let shown: String = word.chars().take(MAX_WORD).collect();
        let reason = match word {
            "None" => "None is Python's word: JSON has null".to_owned(),
            "True" | "False" => format!("{word} is Python's word: JSON has {plain}"),
            "undefined" => "undefined is JavaScript's word: JSON has null".to_owned(),
            _ if matches!(plain.as_str(), "nan" | "infinity" | "inf") => format!("{shown} is not JSON"),
            _ if plain.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') => {
                format!("{shown} is not a number of JSON")
            }
            _ => format!("the word {shown:?} stands without quotes"),
        };
        self.fault(reason)
    }

    /// No value begins here.
    fn no_value(&self, found: char, after_comma: bool) -> JsonFault {
        match found {
            '\'' => self.fault(SINGLE_QUOTES),
            '/' | '#' => self.fault("a comment, which JSON does not have"),
            '}' | ']' if after_comma => self.fault(format!("a comma stands before the closing {found}")),
            '}' | ']' | ',' | ':' if self.levels.is_empty() => {
                let remedy = Some(Remedy::SeveralLines);
                JsonFault { remedy, ..self.fault(format!("it begins with {found:?}")) }
            }
            '}' | ']' | ',' | ':' => self.fault(format!("expected a value, found {found:?}")),
            _ if !self.word().is_empty() => self.no_word(self.word()),
            _ => self.fault(format!("expected a value, found {found:?}")),
        }
    }

    /// Neither a comma nor the end follows a value inside an object or a list.
    fn no_comma(&self, found: char) -> JsonFault {
        let (name, end) = match self.levels.last() {
            Some(Level::Object(_)) => ("an object", '}'),
            _ => ("a list", ']'),
        };
        match found {
            '"' | '{' | '[' => self.fault(format!("a comma is missing before {found}")),
            '}' | ']' => self.fault(format!("{name} is closed by {found}")),
            _ if self.after_text => self.fault(format!(
                "expected a comma or {end} behind a string, found {found:?}: a double quote inside of it is \\\" in JSON"
            )),
            _ => self.fault(format!("expected a comma or {end}, found {found:?}")),
        }
    }

    fn behind_the_record(&self, found: char) -> JsonFault {
        let (reason, remedy) = match found {
            '{' => ("a second record begins here: a line break is missing before it".to_owned(), None),
            ',' | ':' | ']' => (format!("{found:?} follows the value"), Some(Remedy::SeveralLines)),
            _ => (format!("expected the end of the record, found {found:?}"), None),
        };
        JsonFault { remedy, ..self.fault(reason) }
    }
}

const SINGLE_QUOTES: &str =
    "single quotes, as Python prints a dictionary: JSON has double quotes (json.dumps writes them)";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn told(text: &str) -> (String, usize) {
        let fault = fault(text).unwrap();
        (fault.reason, fault.at.unwrap())
    }

    #[test]
    fn faults_are_told_in_words_with_key_and_place() {
        for (text, at, reason) in [
            (r#"{"a":1,"score":NaN}"#, 15, r#"NaN is not JSON, under "score""#),
            (r#"{"a":{"b":[1,-Infinity]}}"#, 13, r#"-Infinity is not JSON, under "a.b[1]""#),
            (r#"{"a":None}"#, 5, r#"None is Python's word: JSON has null, under "a""#),
            (r#"{"a":True}"#, 5, r#"True is Python's word: JSON has true, under "a""#),
            (r#"{"a":undefined}"#, 5, r#"undefined is JavaScript's word: JSON has null, under "a""#),
            (r#"{"a":01}"#, 5, r#"01 is not a number of JSON, under "a""#),
            (r#"{"a":1.}"#, 5, r#"1. is not a number of JSON, under "a""#),
            (r#"{"a":.5}"#, 5, r#".5 is not a number of JSON, under "a""#),
            (r#"{"a":1,}"#, 7, "a comma stands before the closing }"),
            (r#"{"a":[1,]}"#, 8, r#"a comma stands before the closing ], under "a[1]""#),
            (r#"{"a":"b" "c":1}"#, 9, r#"a comma is missing before ", under "a""#),
            (r#"{"a":[1}"#, 7, r#"a list is closed by }, under "a[0]""#),
            (r"{a:1}", 1, r#"expected a key in double quotes, found "a""#),
            (r#"{"a" 1}"#, 5, r#"expected a colon behind a key, found '1', under "a""#),
            (r#"{"a":}"#, 5, r#"expected a value, found '}', under "a""#),
            (r#"{"a":1}{"a":2}"#, 7, "a second record begins here: a line break is missing before it"),
            (r#"{"a":1} x"#, 8, "expected the end of the record, found 'x'"),
            ("{\"a\":\"x\ty\"}", 7, r#"a tab in a string: JSON has it as \t, under "a""#),
            (
                "{\"a\":\"x\u{1}y\"}",
                7,
                r#"a control character in a string: JSON has it as \u0001, under "a""#,
            ),
            (r#"{"a":"\x"}"#, 6, r#"\x in a string, which is no escape of JSON: write \\x, under "a""#),
            (r#"{"a":"\u12"}"#, 6, r#"\u without four hexadecimal digits in a string, under "a""#),
            (r#"{"a":hello}"#, 5, r#"the word "hello" stands without quotes, under "a""#),
            (r#"{"a":1 // one"#, 7, r#"expected a comma or }, found '/', under "a""#),
        ] {
            assert_eq!(told(text), (reason.to_owned(), at), "{text}");
        }
        assert!(told("{'a':1}").0.starts_with("single quotes"));
        assert!(told(r#"{"a":"x "y" z"}"#).0.contains("a double quote inside of it"));
    }

    #[test]
    fn one_document_over_several_lines_is_recognised_by_each_of_its_lines() {
        for line in ["{", "[", r#"{"a": 1,"#, r#""a": 1,"#, r#"  "a": ["#, "}", "]", "},", r#"{"a":1},"#] {
            assert_eq!(fault(line).unwrap().remedy, Some(Remedy::SeveralLines), "{line}");
        }
        for cut in [r#"{"a": "x"#, r#"{"a": 1"#, r#"{"a""#] {
            assert_eq!(fault(cut).unwrap().remedy, Some(Remedy::CutOrSeveralLines), "{cut}");
        }
        assert_eq!(fault(r#"{"a":1}{"a":2}"#).unwrap().remedy, None);
    }

    #[test]
    fn nesting_of_any_depth_is_read() {
        for open in ["[", "{\"a\":", "[{\"a\":"] {
            assert!(fault(&open.repeat(500_000)).is_some());
        }
        assert_eq!(fault(&format!("{}1{}", "{\"a\":".repeat(500_000), "}".repeat(500_000))), None);
    }

    #[test]
    fn half_of_a_pair_is_found() {
        for (raw, expected) in [
            (r#""\ud83d\ude00 \n \\ud800""#, None),
            (r#""\\\ud800""#, Some("\\ud800")),
            (r#""\udc00\ud800""#, Some("\\udc00")),
            (r#""\ud83dA""#, Some("\\ud83d")),
            (r#""\u00e9\ud83d\ud83d\ude00""#, Some("\\ud83d")),
        ] {
            assert_eq!(lone_surrogate(raw), expected, "{raw}");
        }
    }

    proptest! {
        /// Pieces of JSON in any order, so that most texts are nearly JSON.
        #[test]
        fn there_is_a_fault_where_the_parser_finds_one(
            pieces in prop::collection::vec(prop_oneof![
                Just(r#"{"a":"#), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("\"x\""), Just("1"),
                Just("-"), Just("0"), Just("1.5e+3"), Just("true"), Just("null"), Just("NaN"), Just(" "), Just("\n"),
                Just("\\"), Just("\""), Just("\\u12aF"), Just("é"), Just("e"), Just("."), Just("{}"), Just("'"),
            ], 0..12)
        ) {
            let text = pieces.concat();
            let parsed = serde_json::from_str::<IgnoredAny>(&text);
            prop_assert_eq!(fault(&text).is_some(), parsed.is_err(), "{}", text);
        }

        #[test]
        fn a_changed_byte_is_found_if_it_matters(at in 0_usize..60, byte in 0_u8..128) {
            let mut bytes = br#"{"a":[1,2.5,{"b":"x\n\u00e9"}],"c":null,"d":{"e":[],"f":{}}}"#.to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(fault(&text).is_some(), serde_json::from_str::<IgnoredAny>(&text).is_err(), "{}", text);
        }
    }
}
