//! Property tests with random small models: encoding a batch must equal a slow and simple reference on each
//! pre-token.
//!
//! Merges are mostly pairs that do occur in some pre-token. Then merges are reordered, repeated and
//! dropped, which no trainer does, but which a file may contain.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::byte_alphabet::bytes_to_chars;
use super::file;
use super::model::{Memory, Model};

/// Of one, two, three and four bytes; `é` and `è`, `字` and `孔` share their first bytes.
const ATOMS: [&str; 14] =
    ["a", "b", "c", " ", "1", "é", "è", "ж", "字", "孔", "中", "😀", "z", "字字字字字字字字"];
/// A byte that is missing from some vocabularies.
const LACKING: &[u8] = b"z";

/// A vocabulary and its merges, in bytes.
#[derive(Debug, Clone, Default)]
struct Small {
    vocab: Vec<Vec<u8>>,
    merges: Vec<(Vec<u8>, Vec<u8>)>,
    ignore_merges: bool,
}

/// A change of a model and its merges.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Merges a pair that is left in a pre-token.
    Merge,
    /// Merges any two tokens.
    MergeAny,
    /// Adds another pair that makes an existing token.
    MergeOther,
    /// Swaps two merges.
    Swap,
    /// Repeats a merge.
    Repeat,
    /// Drops a merge, but keeps its result in the vocabulary.
    Drop,
    /// Adds a part of a pre-token to the vocabulary, without a merge.
    Token,
}

impl Small {
    fn new(lacks: bool, ignore_merges: bool) -> Self {
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
        let vocab = bytes.filter(|byte| !lacks || byte != LACKING).collect();
        Self { vocab, merges: Vec::new(), ignore_merges }
    }

    fn step(&mut self, pre_tokens: &[Vec<u8>], step: Step, [first, second]: [Index; 2]) {
        let pre_token = first.get(pre_tokens);
        match step {
            Step::Merge => {
                let parts = self.parts(pre_token);
                if parts.len() > 1 {
                    let at = second.index(parts.len() - 1);
                    self.merge(&parts[at], &parts[at + 1]);
                }
            }
            Step::MergeAny => {
                let (left, right) = (first.get(&self.vocab).clone(), second.get(&self.vocab).clone());
                self.merge(&left, &right);
            }
            Step::MergeOther => {
                let token = &self.vocab[self.vocab.len() - 1 - first.index(self.vocab.len().min(40))];
                let (left, right) = token.split_at(second.index(token.len()));
                if [left, right].iter().all(|part| self.vocab.iter().any(|token| token == part)) {
                    self.merges.push((left.to_vec(), right.to_vec()));
                }
            }
            Step::Token => {
                let end = 1 + second.index(pre_token.len());
                self.take(pre_token[..end].to_vec());
            }
            _ if self.merges.is_empty() => {}
            Step::Swap => {
                let size = self.merges.len();
                self.merges.swap(first.index(size), second.index(size));
            }
            Step::Repeat => self.merges.push(first.get(&self.merges).clone()),
            Step::Drop => drop(self.merges.remove(first.index(self.merges.len()))),
        }
    }

    fn merge(&mut self, left: &[u8], right: &[u8]) {
        self.merges.push((left.to_vec(), right.to_vec()));
        self.take([left, right].concat());
    }

    fn take(&mut self, token: Vec<u8>) {
        // A vocabulary that lacks a byte has no token of just this byte.
        if !self.vocab.contains(&token) && token != LACKING {
            self.vocab.push(token);
        }
    }

    /// Ids are not in the order of ranks.
    fn ids(&self) -> BTreeMap<&[u8], u32> {
        (0..).zip(self.vocab.iter().rev()).map(|(id, token)| (token.as_slice(), id)).collect()
    }

    fn json(&self) -> String {
        let letters = bytes_to_chars();
        let name = |token: &[u8]| token.iter().map(|&byte| letters[usize::from(byte)]).collect::<String>();
        let vocab: BTreeMap<String, u32> =
            self.ids().into_iter().map(|(token, id)| (name(token), id)).collect();
        let merges: Vec<_> = self.merges.iter().map(|(left, right)| [name(left), name(right)]).collect();
        serde_json::json!({"vocab": vocab, "merges": merges, "ignore_merges": self.ignore_merges}).to_string()
    }

    /// What remains of a pre-token after all merges: lowest rank first, then leftmost; the last of equal
    /// pairs wins.
    fn parts(&self, pre_token: &[u8]) -> Vec<Vec<u8>> {
        let ranks: BTreeMap<_, _> = self.merges.iter().zip(0..).collect();
        let bytes = pre_token.iter().map(|&byte| vec![byte]);
        let mut parts: Vec<_> = bytes.filter(|byte| self.vocab.contains(byte)).collect();
        loop {
            let pairs = parts.windows(2).map(|two| (two[0].clone(), two[1].clone()));
            let best = pairs.zip(0..).filter_map(|(pair, at)| Some((*ranks.get(&pair)?, at))).min();
            let Some((_, at)) = best else { return parts };
            let right = parts.remove(at + 1);
            parts[at].extend(right);
        }
    }

    /// The ids of a pre-token: its own id if merges are ignored and it is a token, else those of its parts.
    fn expected(&self, pre_token: &[u8]) -> Vec<u32> {
        let ids = self.ids();
        match ids.get(pre_token) {
            Some(&id) if self.ignore_merges => vec![id],
            _ => self.parts(pre_token).iter().map(|part| ids[part.as_slice()]).collect(),
        }
    }

    /// Encodes all pre-tokens at once, twice: the second time many are cached.
    fn check(&self, pre_tokens: &[&[u8]]) {
        let json = self.json();
        let model = Model::of_bytes(&file::read(&json).unwrap()).unwrap();
        let (text, mut memory) = (pre_tokens.concat(), Memory::default());
        let mut end = 0;
        let ends: Vec<_> = pre_tokens
            .iter()
            .map(|pre_token| {
                end += pre_token.len();
                end
            })
            .collect();
        let known: BTreeMap<_, _> =
            pre_tokens.iter().map(|&pre_token| (pre_token, self.expected(pre_token))).collect();
        let expected: Vec<u32> = pre_tokens.iter().flat_map(|pre_token| &known[pre_token]).copied().collect();
        for turn in ["at first", "from the cache"] {
            let mut found = Vec::new();
            model.encode(&text, 0, &ends, &mut memory, &mut found);
            if found != expected {
                self.show_first(&model, &known, turn);
            }
        }
    }

    fn show_first(&self, model: &Model, known: &BTreeMap<&[u8], Vec<u32>>, turn: &str) {
        for (&pre_token, expected) in known {
            let mut found = Vec::new();
            model.encode(pre_token, 0, &[pre_token.len()], &mut Memory::default(), &mut found);
            assert_eq!(&found, expected, "{turn}, and alone: {pre_token:x?} by {:x?}", self.merges);
        }
        panic!("{turn}, but not alone: by {:x?}", self.merges);
    }
}

fn steps() -> impl Strategy<Value = Vec<(Step, [Index; 2])>> {
    let step = prop_oneof![
        8 => Just(Step::Merge),
        1 => Just(Step::MergeAny),
        4 => Just(Step::MergeOther),
        2 => Just(Step::Swap),
        4 => Just(Step::Repeat),
        1 => Just(Step::Drop),
        1 => Just(Step::Token),
    ];
    vec((step, any::<[Index; 2]>()), 0..40)
}

/// Pre-tokens of 1 to 80 bytes, mostly of a few different characters, so that merges apply.
fn pre_token() -> impl Strategy<Value = Vec<u8>> {
    let few = vec(select(&ATOMS), 1..4);
    (few, prop_oneof![3 => 1..8_usize, 2 => 8..24_usize, 1 => 24..81_usize], any::<[Index; 8]>()).prop_map(
        |(few, size, order)| {
            let letters = order.iter().cycle().enumerate();
            let mut pre_token: String =
                letters.map(|(at, index)| few[(index.index(97) + at / 8) % few.len()]).take(size).collect();
            while pre_token.len() > 80 {
                pre_token.pop();
            }
            pre_token.into_bytes()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn words_become_what_the_reference_makes_of_them(
        pool in vec(pre_token(), 1..40),
        steps in steps(),
        order in vec(any::<[Index; 2]>(), 1..300),
        lacks in proptest::bool::weighted(0.1),
        ignore_merges in any::<bool>(),
    ) {
        let mut small = Small::new(lacks, ignore_merges);
        for (step, indices) in steps {
            small.step(&pool, step, indices);
        }
        let mut pre_tokens = Vec::new();
        for [which, at] in order {
            // Pre-tokenizers after `ByteLevel` may split anywhere, even within a character.
            let pre_token = which.get(&pool).as_slice();
            let at = at.index(4 * pre_token.len());
            let (left, right) = pre_token.split_at(if at < pre_token.len() { at } else { 0 });
            pre_tokens.extend([left, right].into_iter().filter(|pre_token| !pre_token.is_empty()));
        }
        small.check(&pre_tokens);
    }
}

/// The part `aba` of a pre-token becomes what merges make of it, the pre-token `aba` becomes the token.
#[test]
fn a_part_of_a_word_is_no_word() {
    let mut small = Small::new(false, true);
    small.merge(b"a", b"b");
    // Otherwise `b|a` would be a split point.
    small.merge(b"b", b"a");
    small.take(b"aba".to_vec());
    let pre_tokens = ["aba", "字aba", "aba", "aba字ab字aba", "cabac"].map(str::as_bytes);
    small.check(&pre_tokens);
    small.check(&[pre_tokens[3], pre_tokens[0], pre_tokens[1]]);
}

/// Two pairs make `abc`; either way it merges with `d` and with `x`.
#[test]
fn a_token_that_two_pairs_make_is_one_token() {
    let mut small = Small::new(false, false);
    let merges = ["a+b", "b+c", "y+a", "ab+c", "a+bc", "abc+d", "x+abc"];
    for (left, right) in merges.iter().filter_map(|merge| merge.split_once('+')) {
        small.merge(left.as_bytes(), right.as_bytes());
    }
    small.merges.swap(0, 1);
    let pre_tokens = ["abcd", "xabc", "xabcd", "yabcd", "abc", "bcd"].map(str::as_bytes);
    small.check(&pre_tokens);
    small.merges.swap(0, 1);
    small.check(&pre_tokens);
}

/// The second `ab+c` comes after `c+d`.
#[test]
fn of_equal_pairs_the_last_counts() {
    let mut small = Small::new(false, false);
    for (left, right) in [("a", "b"), ("ab", "c"), ("c", "d"), ("ab", "c")] {
        small.merge(left.as_bytes(), right.as_bytes());
    }
    small.check(&["abcd", "abc", "abcdabc"].map(str::as_bytes));
}

/// Enough for the tables of the cache to grow twice, and for evictions.
#[test]
fn ids_are_the_same_when_tables_grow() {
    let pre_tokens: Vec<Vec<u8>> = (0..12_000_usize)
        .map(|number| {
            let mut rest = number;
            let mut pre_token = if number % 3 == 0 { " cab".repeat(4).into_bytes() } else { Vec::new() };
            while rest > 0 {
                pre_token.extend_from_slice(ATOMS[rest % 10].as_bytes());
                rest /= 10;
            }
            pre_token.push(b'b');
            pre_token
        })
        .collect();
    let mut small = Small::new(false, true);
    for at in 0..30 {
        let pre_token = &pre_tokens[at * 397];
        let parts = small.parts(pre_token);
        small.merge(&parts[parts.len() - 2].clone(), &parts[parts.len() - 1].clone());
    }
    let twice: Vec<&[u8]> = pre_tokens.iter().chain(&pre_tokens).map(Vec::as_slice).collect();
    small.check(&twice);
}
