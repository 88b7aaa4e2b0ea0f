//! Words of a text, as the pattern of a tokenizer family cuts them, without a regex engine.

use super::classes::{Classes, LETTER, NUMBER, OTHER, SPACE};

/// BLOOM's pattern. Under the crate's regex engine the inner `[` opens a nested class: parentheses and bar are members
/// of the class, brackets are not.
const BLOOM: &str = " ?[^(\\s|[.,!?…。，、।۔،])]+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a family cuts words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splitter {
    /// BLOOM: words between a few punctuation marks.
    Bloom,
    /// GPT-2, and `ByteLevel` by itself.
    Gpt2,
    /// Llama-3 and cl100k (three digits a word), Qwen2 (one).
    Cl100k {
        /// Digits in a word, at most.
        digits: usize,
    },
}

impl Splitter {
    /// The splitter that does exactly what a pattern does.
    pub(super) fn of_pattern(pattern: &str) -> Option<Self> {
        match pattern {
            BLOOM => Some(Self::Bloom),
            GPT2 => Some(Self::Gpt2),
            LLAMA3 => Some(Self::Cl100k { digits: 3 }),
            QWEN2 => Some(Self::Cl100k { digits: 1 }),
            _ => None,
        }
    }

    /// Visits all words of a text in order; together they are the text.
    pub(super) fn split(self, text: &str, mut visit: impl FnMut(&str)) {
        let bytes = text.as_bytes();
        let mut from = 0;
        while from < bytes.len() {
            let end = match self {
                Self::Bloom => bloom_end(bytes, from),
                Self::Gpt2 => gpt2_end(text, from),
                Self::Cl100k { digits } => cl100k_end(text, from, digits),
            };
            visit(&text[from..end]);
            from = end;
        }
    }
}

/// Of a byte: 0 inside words, 1 a mark of one byte, 2 perhaps the start of one.
const BLOOM_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let marks = b"\t\n\x0b\x0c\r !(),.?|";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = 1;
        at += 1;
    }
    let leads = [0xc2, 0xd8, 0xdb, 0xe0, 0xe1, 0xe2, 0xe3, 0xef];
    at = 0;
    while at < leads.len() {
        table[leads[at]] = 2;
        at += 1;
    }
    table
};

/// Bytes of the mark at `at`; 0 inside words and at the end.
fn bloom_mark(bytes: &[u8], at: usize) -> usize {
    let Some(&first) = bytes.get(at) else { return 0 };
    match BLOOM_BYTES[usize::from(first)] {
        0 => 0,
        1 => 1,
        _ => match bytes[at..] {
            [0xc2, 0x85 | 0xa0, ..] | [0xd8, 0x8c, ..] | [0xdb, 0x94, ..] => 2,
            [0xe0, 0xa5, 0xa4, ..]
            | [0xe1, 0x9a, 0x80, ..]
            | [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf | 0xa6, ..]
            | [0xe2, 0x81, 0x9f, ..]
            | [0xe3, 0x80, 0x80..=0x82, ..]
            | [0xef, 0xbc, 0x8c, ..] => 3,
            _ => 0,
        },
    }
}

/// A word with one space in front of it, or everything up to the next one.
fn bloom_end(bytes: &[u8], from: usize) -> usize {
    let starts_word = |at: usize| at < bytes.len() && bloom_mark(bytes, at) == 0;
    let mut at = from;
    if starts_word(from) || (bytes[from] == b' ' && starts_word(from + 1)) {
        at += 1;
        while at < bytes.len() && (BLOOM_BYTES[usize::from(bytes[at])] == 0 || bloom_mark(bytes, at) == 0) {
            at += 1;
        }
        return at;
    }
    while at < bytes.len() {
        let mark = bloom_mark(bytes, at);
        if mark == 0 || (bytes[at] == b' ' && starts_word(at + 1)) {
            break;
        }
        at += mark;
    }
    at
}

/// The class of the character at `at`, and its bytes; no class at the end.
fn class_at(text: &str, at: usize) -> (Option<u8>, usize) {
    match text.as_bytes().get(at) {
        None => (None, 0),
        Some(&byte) if byte < 0x80 => (Some(ASCII[usize::from(byte)]), 1),
        Some(_) => {
            let letter = text[at..].chars().next().unwrap_or_default();
            (Some(Classes::get().of(letter)), letter.len_utf8())
        }
    }
}

const ASCII: [u8; 128] = {
    let mut table = [OTHER; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'A'..=b'Z' | b'a'..=b'z' => LETTER,
            b'0'..=b'9' => NUMBER,
            b'\t'..=b'\r' | b' ' => SPACE,
            _ => OTHER,
        };
        byte += 1;
    }
    table
};

/// The end of a run of one class.
fn run_end(text: &str, mut at: usize, class: u8) -> usize {
    loop {
        let (found, size) = class_at(text, at);
        if found != Some(class) {
            return at;
        }
        at += size;
    }
}

/// White space: all of it at the end of the text, else without its last character, unless that is all.
fn spaces_end(text: &str, from: usize) -> usize {
    let end = run_end(text, from, SPACE);
    if end == text.len() {
        return end;
    }
    let last = text[from..end].char_indices().next_back().map_or(0, |(at, _)| from + at);
    if last > from { last } else { end }
}

fn gpt2_end(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    match &bytes[from..] {
        [b'\'', b's' | b't' | b'm' | b'd', ..] => return from + 2,
        [b'\'', b'r' | b'v', b'e', ..] | [b'\'', b'l', b'l', ..] => return from + 3,
        _ => {}
    }
    let start = from + usize::from(bytes[from] == b' ');
    match class_at(text, start).0 {
        Some(class) if class != SPACE => run_end(text, start, class),
        _ => spaces_end(text, from),
    }
}

fn cl100k_end(text: &str, from: usize, digits: usize) -> usize {
    let bytes = text.as_bytes();
    if bytes[from] == b'\''
        && let Some(end) = contraction_end(text, from + 1)
    {
        return end;
    }
    let (class, size) = class_at(text, from);
    match class {
        Some(LETTER) => return run_end(text, from, LETTER),
        Some(NUMBER) => {
            let letters = text[from..].chars().take(digits);
            return from + letters.take_while(|&letter| is_number(letter)).map(char::len_utf8).sum::<usize>();
        }
        _ if !matches!(bytes[from], b'\r' | b'\n') && class_at(text, from + size).0 == Some(LETTER) => {
            return run_end(text, from + size, LETTER);
        }
        _ => {}
    }
    let start = from + usize::from(bytes[from] == b' ');
    if class_at(text, start).0 == Some(OTHER) {
        let end = run_end(text, start, OTHER);
        let newlines = bytes[end..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        return end + newlines;
    }
    let end = run_end(text, from, SPACE);
    match bytes[from..end].iter().rposition(|byte| matches!(byte, b'\r' | b'\n')) {
        Some(last) => from + last + 1,
        None => spaces_end(text, from),
    }
}

fn is_number(letter: char) -> bool {
    if letter.is_ascii() { letter.is_ascii_digit() } else { Classes::get().of(letter) == NUMBER }
}

/// The end of `s`, `t`, `re`, `ve`, `m`, `ll` or `d` in any case; the long s is one, too.
fn contraction_end(text: &str, at: usize) -> Option<usize> {
    match &text.as_bytes()[at..] {
        [b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => Some(at + 1),
        [b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..] | [b'l' | b'L', b'l' | b'L', ..] | [0xc5, 0xbf, ..] => {
            Some(at + 2)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::utils::SysRegex;

    /// What the crate's regex engine cuts, with what is between two matches as a word of its own.
    fn by_regex(regex: &SysRegex, text: &str) -> Vec<String> {
        let (mut words, mut from) = (Vec::new(), 0);
        for (start, end) in regex.find_iter(text) {
            if from < start {
                words.push(text[from..start].to_owned());
            }
            words.push(text[start..end].to_owned());
            from = end;
        }
        if from < text.len() {
            words.push(text[from..].to_owned());
        }
        words
    }

    fn by_us(splitter: Splitter, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        splitter.split(text, |word| words.push(word.to_owned()));
        words
    }

    fn check(text: &str) {
        for pattern in [BLOOM, GPT2, LLAMA3, QWEN2] {
            let regex = SysRegex::new(pattern).unwrap();
            let splitter = Splitter::of_pattern(pattern).unwrap();
            assert_eq!(by_us(splitter, text), by_regex(&regex, text), "{pattern}: {text:?}");
        }
    }

    #[test]
    fn every_character_is_cut_as_the_regex_engine_cuts_it() {
        for pattern in [BLOOM, GPT2, LLAMA3, QWEN2] {
            let regex = SysRegex::new(pattern).unwrap();
            let splitter = Splitter::of_pattern(pattern).unwrap();
            for around in [["a", "b"], [" ", "a"], ["1", "1"], ["!", "!"], ["\n", " "], ["'", "s"]] {
                for start in (0..=u32::from(char::MAX)).step_by(4096) {
                    let letters = (start..start + 4096).filter_map(char::from_u32);
                    let text: String = letters
                        .flat_map(|letter| {
                            [around[0], letter.encode_utf8(&mut [0; 4]), around[1]]
                                .concat()
                                .chars()
                                .collect::<Vec<_>>()
                        })
                        .collect();
                    assert_eq!(by_us(splitter, &text), by_regex(&regex, &text), "{pattern} from {start:x}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn texts_are_cut_as_the_regex_engine_cuts_them(
            text in "([a-zA-Z' \t\r\n\u{a0}\u{85}\u{3000}.,!?()|\\[\\]0-9²½éſßΩж字。，、।۔،…\u{200b}\u{301}😀\u{e000}]|'(s|t|re|VE|m|Ll|d|ſ)){0,40}"
        ) {
            check(&text);
        }

        #[test]
        fn any_text_is_cut_as_the_regex_engine_cuts_it(text in "\\PC{0,30}") {
            check(&text);
        }
    }
}
