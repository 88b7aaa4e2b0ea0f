//! Matches regex patterns that consist of repeated character sets, sequences and alternatives, such as
//! those of o200k and `DeepSeek`, without a regex engine. The sets come from the crate's regex engine, so
//! that they are the same. Matching is the backtracking that the engine uses, too: alternatives in order,
//! repetitions greedy, then one character less.

use tokenizers::utils::SysRegex;

use super::char_sets::CharSets;
use super::pattern_parser::{Item, Parser, first_sets, least};

/// A pattern that can be matched here.
#[derive(Debug)]
pub(super) struct Pattern {
    char_sets: CharSets,
    alternatives: Vec<Vec<Item>>,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// What is not supported here.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        // What the engine rejects must stay rejected.
        SysRegex::new(pattern).map_err(|error| error.to_string())?;
        let mut parser = Parser { rest: pattern, sets: Vec::new() };
        let mut alternatives = parser.alternatives()?;
        if !parser.rest.is_empty() {
            return Err(format!("{:?} is not supported", parser.rest));
        }
        let char_sets = CharSets::new(&parser.sets)?;
        for sequence in &mut alternatives {
            if least(sequence) == 0 {
                return Err("it matches the empty string".into());
            }
            settle(sequence, &char_sets);
        }
        let first: Vec<u64> = alternatives.iter().map(|sequence| first_sets(sequence).0).collect();
        Ok(Self { char_sets: char_sets.with_alternatives(&first)?, alternatives })
    }

    /// Visits start and end of all pre-tokens: matches, and the text between them.
    pub(super) fn split(&self, text: &str, mut visit: impl FnMut(usize, usize)) {
        let bytes = text.as_bytes();
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            let (code, size) = self.char_sets.at(bytes, at);
            let mut possible = CharSets::alternatives_of(code);
            let mut end = None;
            while possible != 0 && end.is_none() {
                end = self.end_of(&self.alternatives[possible.trailing_zeros() as usize], bytes, at);
                possible &= possible - 1;
            }
            let Some(end) = end else {
                at += size;
                continue;
            };
            if from < at {
                visit(from, at);
            }
            visit(at, end);
            (from, at) = (end, end);
        }
        if from < bytes.len() {
            visit(from, bytes.len());
        }
    }

    /// The end of a sequence that starts at `at`, if it matches there.
    fn end_of(&self, sequence: &[Item], bytes: &[u8], at: usize) -> Option<usize> {
        let Some((item, rest)) = sequence.split_first() else { return Some(at) };
        match item {
            Item::NotAhead { set } => {
                let is_there = at < bytes.len() && self.char_sets.at(bytes, at).0 & set != 0;
                if is_there { None } else { self.end_of(rest, bytes, at) }
            }
            Item::Group { sequences, is_optional } => {
                let found = sequences.iter().find_map(|inner| {
                    let end = self.end_of(inner, bytes, at)?;
                    self.end_of(rest, bytes, end)
                });
                if *is_optional { found.or_else(|| self.end_of(rest, bytes, at)) } else { found }
            }
            Item::Run { set, min, max, is_final } => {
                let (mut end, mut count) = (at, 0);
                while count < *max && end < bytes.len() {
                    let (code, size) = self.char_sets.at(bytes, end);
                    if code & set == 0 {
                        break;
                    }
                    end += size;
                    count += 1;
                }
                loop {
                    if count < *min {
                        return None;
                    }
                    if let Some(end) = self.end_of(rest, bytes, end) {
                        return Some(end);
                    }
                    if *is_final || count == 0 {
                        return None;
                    }
                    count -= 1;
                    end -= 1;
                    while bytes[end] & 0xc0 == 0x80 {
                        end -= 1;
                    }
                }
            }
        }
    }
}

/// Marks repetitions that need no backtracking, because what follows starts with a disjoint set.
fn settle(sequence: &mut [Item], char_sets: &CharSets) {
    for at in 0..sequence.len() {
        let (next, may_be_empty) = first_sets(&sequence[at + 1..]);
        if let Item::Run { set, is_final, .. } = &mut sequence[at] {
            *is_final |= !may_be_empty && char_sets.are_apart(*set, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::OnceLock;

    const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const DEEPSEEK_V3: &str = r"[!\x22#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const PATTERNS: [&str; 12] = [
        O200K,
        DEEPSEEK_V3,
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"[\r\n]",
        r"\s?\p{L}+",
        r"\s?\p{P}+",
        "[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+",
        r"\p{N}{1,3}",
        r"'?[a-z]*+[b-y]|\s{2,3}|x{2}y{2,}",
        "[^ab[cd]]+[^0-9]",
        r" ?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        " ?[^(\\s|[.,!?…。，、।۔،])]+",
    ];

    /// Built once, as asking about every character takes a while.
    fn made(at: usize) -> &'static (SysRegex, Pattern) {
        static MADE: [OnceLock<(SysRegex, Pattern)>; PATTERNS.len()] =
            [const { OnceLock::new() }; PATTERNS.len()];
        MADE[at].get_or_init(|| (SysRegex::new(PATTERNS[at]).unwrap(), Pattern::new(PATTERNS[at]).unwrap()))
    }

    fn check(at: usize, text: &str) {
        let (regex, pattern) = made(at);
        let (mut expected, mut from) = (Vec::new(), 0);
        for (start, end) in regex.find_iter(text) {
            expected.extend([(from, start), (start, end)].into_iter().filter(|(start, end)| start < end));
            from = end;
        }
        expected.extend([(from, text.len())].into_iter().filter(|(start, end)| start < end));
        let mut found = Vec::new();
        pattern.split(text, |start, end| found.push((start, end)));
        assert_eq!(found, expected, "{}: {text:?}", PATTERNS[at]);
    }

    #[test]
    fn what_is_not_done_here_is_refused() {
        for pattern in [
            "a*",
            "a|b?",
            "(a)",
            "a+?",
            "^a",
            "a$",
            ".",
            r"\bx",
            "(?=a)b",
            "(?<!a)b",
            "a(?!bc)",
            "a{2}+",
            "(?i:a)",
            "[]a]b",
            "(",
            "[",
            r"\p{Nothing}",
            "a{3,2}",
            "a**",
            r"\w+",
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn every_character_is_cut_as_the_regex_engine_cuts_it() {
        for at in 0..PATTERNS.len() {
            for around in [["a", "b"], [" ", "1"], ["\n", "'"]] {
                let letters = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
                let text: String = letters
                    .flat_map(|letter| [around[0].to_owned(), letter.to_string(), around[1].to_owned()])
                    .collect();
                check(at, &text);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn texts_are_cut_as_the_regex_engine_cuts_them(
            at in 0..PATTERNS.len(),
            text in "([a-dxyA-C' \t\r\n\u{a0}\u{3000}.,!/()\\[\\]0-9²éſßΩжǅʰ字가。\u{200b}\u{301}😀]|'(s|t|re|VE|Ll|ſ)){0,60}"
        ) {
            check(at, &text);
        }

        #[test]
        fn any_text_is_cut_as_the_regex_engine_cuts_it(at in 0..PATTERNS.len(), text in "\\PC{0,60}") {
            check(at, &text);
        }
    }
}
