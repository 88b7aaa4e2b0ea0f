//! Parses the regex patterns that [`super::pattern`] matches: repeated character sets, sequences and
//! alternatives.

/// The only case-insensitive group in use: English contractions.
const CONTRACTIONS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

/// An item of an alternative. Sets are bits of [`CharSets`](super::char_sets::CharSets).
#[derive(Debug, Clone)]
pub(super) enum Item {
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
pub(super) struct Parser<'pattern> {
    pub(super) rest: &'pattern str,
    pub(super) sets: Vec<String>,
}

impl Parser<'_> {
    pub(super) fn alternatives(&mut self) -> Result<Vec<Vec<Item>>, String> {
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
        if self.takes(CONTRACTIONS) {
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
                Err("a lookahead of more than one character is not supported".into())
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
        let (inside, rest) = self.rest.split_once('}').ok_or("a brace is not closed")?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{{{inside}}} is not supported"));
        let counts = match inside.split_once(',') {
            None => (number(inside)?, number(inside)?),
            Some((min, "")) => (number(min)?, usize::MAX),
            Some((min, max)) => (number(min)?, number(max)?),
        };
        self.rest = rest;
        // After braces a plus is not possessive but another repetition, which no family uses.
        if counts.0 > counts.1 || counts.1 == 0 || self.rest.starts_with('+') {
            return Err(format!("{{{inside}}} is not supported"));
        }
        Ok(counts)
    }

    fn refuse_quantifier(&self) -> Result<(), String> {
        match self.rest.chars().next() {
            Some(sign @ ('?' | '*' | '+' | '{')) => {
                Err(format!("{sign:?} after a repetition is not supported"))
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
                    return Err("a set that starts with a bracket is not supported".into());
                }
                end.ok_or("a bracket is not closed")?.0 + 1
            }
            Some('\\') => match self.rest[1..].chars().next() {
                Some('p' | 'P') => self.rest.find('}').ok_or("a brace is not closed")? + 1,
                Some('s' | 'S' | 'd' | 'D' | 'r' | 'n' | 't') => 2,
                Some(letter) if letter.is_ascii_punctuation() => 2,
                _ => return Err(format!("{:?} is not supported", self.rest)),
            },
            Some('(' | ')' | '.' | '^' | '$' | '*' | '+' | '?' | '{' | '}' | ']') | None => {
                return Err(format!("{:?} is not supported", self.rest));
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
pub(super) fn least(sequence: &[Item]) -> usize {
    let least_of = |item: &Item| match item {
        Item::Run { min, .. } => *min,
        Item::NotAhead { .. } | Item::Group { is_optional: true, .. } => 0,
        Item::Group { sequences, .. } => sequences.iter().map(|inner| least(inner)).min().unwrap_or(0),
    };
    sequence.iter().map(least_of).fold(0, usize::saturating_add)
}

/// The sets that a sequence may start with, and whether it may be empty.
pub(super) fn first_sets(sequence: &[Item]) -> (u64, bool) {
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
