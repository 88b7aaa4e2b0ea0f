//! Matches regex patterns that consist of repeated character sets, sequences and alternatives, such as
//! those of o200k and `DeepSeek`, without a regex engine. The sets come from the crate's regex engine, so
//! that they are the same. Matching is the backtracking that the engine uses, too: alternatives in order,
//! repetitions greedy, then one character less.

use tokenizers::utils::SysRegex;

use super::char_sets::CharSets;

/// The only case-insensitive group in use: English contractions.
const ENDINGS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

/// A pattern that can be matched here.
#[derive(Debug)]
pub(super) struct Pattern {
    char_sets: CharSets,
    alternatives: Vec<Vec<Item>>,
}

/// An item of an alternative. Sets are bits of [`CharSets`].
#[derive(Debug, Clone)]
enum Item {
    /// Repeated characters of a set.
    Run {
        set: u64,
        min: usize,
        max: usize,
        /// Whether backtracking cannot help what follows.
        is_final: bool,
    },
    /// One of several sequences.
    Group { sequences: Vec<Vec<Item>>, is_optional: bool },
    /// Negative lookahead: no character of a set follows.
    NotAhead { set: u64 },
}

/// Parses a pattern; sets are numbered in order of appearance.
struct Reader<'pattern> {
    rest: &'pattern str,
    sets: Vec<String>,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// What is not supported here.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        // What the engine rejects must stay rejected.
        SysRegex::new(pattern).map_err(|error| error.to_string())?;
        let mut reader = Reader { rest: pattern, sets: Vec::new() };
        let mut alternatives = reader.alternatives()?;
        if !reader.rest.is_empty() {
            return Err(format!("{:?} is not read here", reader.rest));
        }
        let char_sets = CharSets::new(&reader.sets)?;
        for sequence in &mut alternatives {
            if least(sequence) == 0 {
                return Err("it matches nothing at all, too".into());
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

impl Reader<'_> {
    fn alternatives(&mut self) -> Result<Vec<Vec<Item>>, String> {
        let mut all = vec![Vec::new()];
        while !self.rest.is_empty() {
            if self.takes("|") {
                all.push(Vec::new());
                continue;
            }
            let item = self.item()?;
            all.last_mut().ok_or("nothing")?.push(item);
        }
        Ok(all)
    }

    fn item(&mut self) -> Result<Item, String> {
        if self.takes(ENDINGS) {
            let sequences = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map(|ending| {
                let run = |letter: char| Item::Run {
                    set: self.set(format!("(?i:{letter})")),
                    min: 1,
                    max: 1,
                    is_final: true,
                };
                ending.chars().map(run).collect()
            });
            let is_optional = self.takes("?");
            self.refuse_quantifier()?;
            return Ok(Item::Group { sequences: sequences.to_vec(), is_optional });
        }
        if self.takes("(?!") {
            let atom = self.atom()?;
            return if self.takes(")") {
                Ok(Item::NotAhead { set: self.set(atom) })
            } else {
                Err("a look ahead of more than one character is not done here".into())
            };
        }
        let atom = self.atom()?;
        let set = self.set(atom);
        let (min, max) = self.counts()?;
        // Possessive: as many as possible, without backtracking.
        let is_final = (min, max) != (1, 1) && self.takes("+");
        self.refuse_quantifier()?;
        Ok(Item::Run { set, min, max, is_final })
    }

    /// Minimum and maximum number of repetitions.
    fn counts(&mut self) -> Result<(usize, usize), String> {
        for (sign, counts) in [("?", (0, 1)), ("*", (0, usize::MAX)), ("+", (1, usize::MAX))] {
            if self.takes(sign) {
                return Ok(counts);
            }
        }
        if !self.takes("{") {
            return Ok((1, 1));
        }
        let (inside, rest) = self.rest.split_once('}').ok_or("a brace is open")?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{{{inside}}} is not read here"));
        let counts = match inside.split_once(',') {
            None => (number(inside)?, number(inside)?),
            Some((min, "")) => (number(min)?, usize::MAX),
            Some((min, max)) => (number(min)?, number(max)?),
        };
        self.rest = rest;
        // After braces a plus is not possessive but another repetition, which no family uses.
        if counts.0 > counts.1 || counts.1 == 0 || self.rest.starts_with('+') {
            return Err(format!("{{{inside}}} is not read here"));
        }
        Ok(counts)
    }

    fn refuse_quantifier(&self) -> Result<(), String> {
        match self.rest.chars().next() {
            Some(sign @ ('?' | '*' | '+' | '{')) => {
                Err(format!("{sign:?} behind a repetition is not done here"))
            }
            _ => Ok(()),
        }
    }

    /// Source of one character or of a character set.
    fn atom(&mut self) -> Result<String, String> {
        let mut letters = self.rest.char_indices();
        let size = match self.rest.chars().next() {
            Some('[') => {
                let (mut depth, mut is_escaped) = (0, false);
                let end = letters.find(|&(_, letter)| {
                    if !std::mem::take(&mut is_escaped) {
                        match letter {
                            '\\' => is_escaped = true,
                            '[' => depth += 1,
                            ']' => depth -= 1,
                            _ => {}
                        }
                    }
                    depth == 0
                });
                if self.rest.starts_with("[]") || self.rest.starts_with("[^]") {
                    return Err("a set that starts with a bracket is not read here".into());
                }
                end.ok_or("a bracket is open")?.0 + 1
            }
            Some('\\') => match self.rest[1..].chars().next() {
                Some('p' | 'P') => self.rest.find('}').ok_or("a brace is open")? + 1,
                Some('s' | 'S' | 'd' | 'D' | 'r' | 'n' | 't') => 2,
                Some(letter) if letter.is_ascii_punctuation() => 2,
                _ => return Err(format!("{:?} is not read here", self.rest)),
            },
            Some('(' | ')' | '.' | '^' | '$' | '*' | '+' | '?' | '{' | '}' | ']') | None => {
                return Err(format!("{:?} is not read here", self.rest));
            }
            Some(letter) => letter.len_utf8(),
        };
        let (atom, rest) = self.rest.split_at(size);
        self.rest = rest;
        Ok(atom.to_owned())
    }

    fn takes(&mut self, sign: &str) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The bit of a set.
    fn set(&mut self, text: String) -> u64 {
        let known = self.sets.iter().position(|other| *other == text);
        let place = known.unwrap_or_else(|| {
            self.sets.push(text);
            self.sets.len() - 1
        });
        // Too many sets are rejected later.
        1_u64.checked_shl(crate::token::narrow(place)).unwrap_or(0)
    }
}

/// Minimum number of characters of a sequence.
fn least(sequence: &[Item]) -> usize {
    let least_of = |item: &Item| match item {
        Item::Run { min, .. } => *min,
        Item::NotAhead { .. } | Item::Group { is_optional: true, .. } => 0,
        Item::Group { sequences, .. } => sequences.iter().map(|inner| least(inner)).min().unwrap_or(0),
    };
    sequence.iter().map(least_of).fold(0, usize::saturating_add)
}

/// The sets that a sequence may start with, and whether it may be empty.
fn first_sets(sequence: &[Item]) -> (u64, bool) {
    let mut sets = 0;
    for item in sequence {
        let (first, may_be_empty) = match item {
            Item::Run { set, min, .. } => (*set, *min == 0),
            Item::NotAhead { .. } => (0, true),
            Item::Group { sequences, is_optional } => {
                let all = sequences.iter().map(|inner| first_sets(inner));
                all.fold((0, *is_optional), |(sets, empty), (more, also)| (sets | more, empty || also))
            }
        };
        sets |= first;
        if !may_be_empty {
            return (sets, false);
        }
    }
    (sets, true)
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
