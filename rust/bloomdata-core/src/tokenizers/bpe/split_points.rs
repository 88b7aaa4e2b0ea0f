//! Where pre-tokens may be split, and which characters may be merged before anything else.
//!
//! Both follow from the tokens that cross the boundary of two neighbouring characters `a|b`. When a
//! tokenizer is loaded, each boundary is put into one of three classes:
//!
//! - No token crosses: nothing is ever merged across, so the pre-token may be split there. A long run of
//!   Chinese falls into parts of about two characters, which are cached far more often than runs.
//! - All tokens that cross hold the whole of `a` and the whole of `b`: both characters become whole by
//!   themselves, so their own merges may be applied first, from a table. That leaves a fourth of the
//!   merges.
//! - Some token holds a piece of a character (`…\xe4`): bytes are merged one by one.
//!
//! This requires an id for every byte, and characters whose own merges come before those with neighbours;
//! the caller ensures both.

use std::collections::{BTreeMap, BTreeSet};

use super::file::NO_ID;

/// Bits of a set of boundaries. Two boundaries may share a bit; then one of them is treated as less free
/// than it is, which is slower but correct.
const SET_BITS: u32 = 20;
/// Characters in the table: those of up to three bytes.
const NUM_CHARS: u32 = 1 << 16;
/// In place of a symbol: the character becomes several symbols, or is not in the table.
const SEVERAL: u32 = u32::MAX;
/// In place of a class: in no token does anything precede (for heads) or follow (for tails) the character,
/// so that it is never merged on that side.
const NEVER: u16 = u16::MAX;
/// Bits that tell classes of pieces from characters.
const TAIL: u32 = 1 << 24;
const HEAD: u32 = 1 << 25;

/// Which tokens cross a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Closed,
    Whole,
    Pieces,
}

/// The tables of characters; empty for a tokenizer that cannot use them.
#[derive(Debug)]
pub(super) struct SplitPoints {
    table: Vec<Known>,
    /// Symbols of longer characters, where symbols are characters.
    longer: Option<BTreeMap<u32, u32>>,
    whole: BitSet,
    pieces: BitSet,
    /// Pairs of ASCII characters that occur in a token.
    ascii: Vec<bool>,
}

/// A character: the symbol that it becomes by itself, and the classes of its tails and heads that are
/// pieces of tokens; 0 for none, or [`NEVER`].
#[derive(Debug, Clone, Copy)]
struct Known {
    symbol: u32,
    tails: u16,
    heads: u16,
}

/// A character of a pre-token, or a byte outside of any valid character.
#[derive(Clone, Copy)]
struct Letter {
    code: u32,
    size: usize,
    known: Option<Known>,
}

impl SplitPoints {
    /// No tables: pre-tokens start as bytes and are not split.
    pub(super) fn none() -> Self {
        Self {
            table: Vec::new(),
            longer: None,
            whole: BitSet::default(),
            pieces: BitSet::default(),
            ascii: vec![true; 1 << 14],
        }
    }

    /// From the bytes of all tokens that merges make, and the symbol that a character by itself becomes.
    pub(super) fn new(texts: &[(u32, &[u8])], symbol_of: impl Fn(&[u8]) -> Option<u32>) -> Self {
        let tokens: Vec<Token> = texts.iter().map(|(_, text)| Token::of(text)).collect();
        let mut tails =
            Pieces::new(tokens.iter().filter(|token| !token.whole.is_empty()).map(|token| token.tail));
        let mut heads =
            Pieces::new(tokens.iter().filter(|token| !token.whole.is_empty()).map(|token| token.head));
        for Token { tail, whole, head } in &tokens {
            if whole.is_empty() && !tail.is_empty() && !head.is_empty() {
                tails.all.insert(tail);
                heads.all.insert(head);
            }
        }
        let mut known = |code: u32| {
            let mut buffer = [0; 4];
            let letter = char::from_u32(code).unwrap_or_default();
            let bytes = letter.encode_utf8(&mut buffer).as_bytes();
            let symbol = symbol_of(bytes).unwrap_or(SEVERAL);
            let tails = tails.class_of((1..bytes.len()).map(|at| &bytes[at..]))?;
            let heads = heads.class_of((1..bytes.len()).map(|at| &bytes[..at]))?;
            Some(Known { symbol, tails, heads })
        };
        let Some(mut table) = (0..NUM_CHARS).map(&mut known).collect::<Option<Vec<_>>>() else {
            return Self::none();
        };
        // Characters that follow something in a token, and those that precede something.
        let (mut follows, mut precedes) = (vec![false; table.len()], vec![false; table.len()]);
        let mark = |all: &mut [bool], letter: char| {
            if let Some(slot) = all.get_mut(letter as usize) {
                *slot = true;
            }
        };
        for Token { tail, whole, head } in &tokens {
            let (mut letters, mut first) = (whole.chars(), tail.is_empty());
            while let Some(letter) = letters.next() {
                if !std::mem::take(&mut first) {
                    mark(&mut follows, letter);
                }
                if !letters.as_str().is_empty() || !head.is_empty() {
                    mark(&mut precedes, letter);
                }
            }
        }
        for ((known, follows), precedes) in table.iter_mut().zip(follows).zip(precedes) {
            if known.tails == 0 && !precedes {
                known.tails = NEVER;
            }
            if known.heads == 0 && !follows {
                known.heads = NEVER;
            }
        }
        let (mut inside, mut pieces) = (BitSet::new(), BitSet::new());
        let (tails, heads) = (tails.by_piece(), heads.by_piece());
        for Token { tail, whole, head } in &tokens {
            for (left, right) in whole.chars().zip(whole.chars().skip(1)) {
                inside.insert(left.into(), right.into());
            }
            let tails = tails.get(tail).map_or(&[][..], Vec::as_slice);
            let heads = heads.get(head).map_or(&[][..], Vec::as_slice);
            if let (Some(first), Some(last)) = (whole.chars().next(), whole.chars().next_back()) {
                for &class in tails {
                    pieces.insert(TAIL | class, first.into());
                }
                for &class in heads {
                    pieces.insert(last.into(), HEAD | class);
                }
            } else {
                for &tail in tails {
                    for &head in heads {
                        pieces.insert(TAIL | tail, HEAD | head);
                    }
                }
            }
        }
        Self { table, longer: None, ascii: inside.ascii(), whole: inside, pieces }
    }

    /// The case where symbols are characters: from the characters that have a symbol, and all tokens.
    pub(super) fn of_letters<'a>(letters: &[(char, u32)], tokens: impl Iterator<Item = &'a str>) -> Self {
        let mut table = vec![Known { symbol: SEVERAL, tails: 0, heads: 0 }; NUM_CHARS as usize];
        let mut longer = BTreeMap::new();
        for &(letter, symbol) in letters {
            match table.get_mut(letter as usize) {
                Some(known) => known.symbol = symbol,
                None => drop(longer.insert(letter.into(), symbol)),
            }
        }
        let mut whole = BitSet::new();
        for token in tokens {
            for (left, right) in token.chars().zip(token.chars().skip(1)) {
                whole.insert(left.into(), right.into());
            }
        }
        Self { table, longer: Some(longer), ascii: whole.ascii(), whole, pieces: BitSet::new() }
    }

    /// Whether no token crosses the boundary at `at`.
    pub(super) fn is_closed(&self, text: &[u8], at: usize) -> bool {
        let start = text[..at].iter().rposition(|&byte| !is_continuation(byte));
        match start {
            Some(start) if !self.table.is_empty() && at < text.len() => {
                self.boundary(self.letter(text, start), self.letter(text, at)) == Boundary::Closed
            }
            _ => false,
        }
    }

    /// The same for two bytes; `false` unless both are ASCII.
    #[inline]
    pub(super) fn is_closed_ascii(&self, left: u8, right: u8) -> bool {
        left < 0x80 && right < 0x80 && !self.ascii[usize::from(left) << 7 | usize::from(right)]
    }

    /// Visits the initial symbols of a pre-token; `ids` tells which bytes have an id.
    pub(super) fn start(&self, pre_token: &[u8], ids: &[u32], mut visit: impl FnMut(u32)) {
        if self.table.is_empty() {
            let known = pre_token.iter().filter(|&&byte| ids[usize::from(byte)] != NO_ID);
            return known.for_each(|&byte| visit(byte.into()));
        }
        if pre_token.is_ascii() {
            return pre_token.iter().for_each(|&byte| visit(byte.into()));
        }
        let (mut at, mut before) = (0, Boundary::Closed);
        let mut letter = self.letter(pre_token, 0);
        while at < pre_token.len() {
            let end = at + letter.size;
            let next = if end < pre_token.len() { Some(self.letter(pre_token, end)) } else { None };
            let after = next.map_or(Boundary::Closed, |next| self.boundary(letter, next));
            match letter.known {
                Some(Known { symbol, .. })
                    if symbol != SEVERAL && before != Boundary::Pieces && after != Boundary::Pieces =>
                {
                    visit(symbol);
                }
                _ => pre_token[at..end].iter().for_each(|&byte| visit(byte.into())),
            }
            (at, before, letter) = (end, after, next.unwrap_or(letter));
        }
    }

    /// Visits the parts of a pre-token that no token crosses, in order; together they cover it. A part that
    /// is one character comes with its code point.
    pub(super) fn parts(&self, pre_token: &[u8], mut visit: impl FnMut(usize, usize, Option<u32>)) {
        if self.table.is_empty() || pre_token.is_empty() {
            return visit(0, pre_token.len(), None);
        }
        let mut letter = self.letter(pre_token, 0);
        let (mut from, mut at, mut code) = (0, letter.size, Some(letter.code));
        while at < pre_token.len() {
            let next = self.letter(pre_token, at);
            if self.boundary(letter, next) == Boundary::Closed {
                visit(from, at, code);
                (from, code) = (at, Some(next.code));
            } else {
                code = None;
            }
            at += next.size;
            letter = next;
        }
        visit(from, pre_token.len(), code);
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "per Chinese character, where a call costs a tenth of the time")]
    fn boundary(&self, left: Letter, right: Letter) -> Boundary {
        if left.code < 0x80 && right.code < 0x80 {
            return if self.ascii[(left.code << 7 | right.code) as usize] {
                Boundary::Whole
            } else {
                Boundary::Closed
            };
        }
        let (Some(a), Some(b)) = (left.known, right.known) else { return Boundary::Pieces };
        if a.tails == NEVER || b.heads == NEVER {
            return Boundary::Closed;
        }
        let (tails, heads) = (u32::from(a.tails), u32::from(b.heads));
        let has_pieces = (tails != 0 && self.pieces.contains(TAIL | tails, right.code))
            || (heads != 0 && self.pieces.contains(left.code, HEAD | heads))
            || (tails != 0 && heads != 0 && self.pieces.contains(TAIL | tails, HEAD | heads));
        if has_pieces {
            Boundary::Pieces
        } else if self.whole.contains(left.code, right.code) {
            Boundary::Whole
        } else {
            Boundary::Closed
        }
    }

    /// The character at `at`. Pre-tokens may start and end within a character, as pre-tokenizers after
    /// `ByteLevel` split bytes.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "per Chinese character, where a call costs a tenth of the time")]
    fn letter(&self, pre_token: &[u8], at: usize) -> Letter {
        let low = |byte: u8| u32::from(byte & 0x3f);
        let (code, size) = match pre_token[at..] {
            [first @ ..0x80, ..] => (u32::from(first), 1),
            [first @ 0xc2..=0xdf, second, ..] if is_continuation(second) => {
                (u32::from(first & 0x1f) << 6 | low(second), 2)
            }
            [first @ 0xe0..=0xef, second, third, ..] if is_continuation(second) && is_continuation(third) => {
                (u32::from(first & 0x0f) << 12 | low(second) << 6 | low(third), 3)
            }
            [first @ 0xf0..=0xf4, a, b, c, ..] if [a, b, c].into_iter().all(is_continuation) => {
                let code = u32::from(first & 7) << 18 | low(a) << 12 | low(b) << 6 | low(c);
                let symbol = |longer: &BTreeMap<u32, u32>| longer.get(&code).copied().unwrap_or(SEVERAL);
                let known =
                    self.longer.as_ref().map(|longer| Known { symbol: symbol(longer), tails: 0, heads: 0 });
                return Letter { code, size: 4, known };
            }
            _ => return Letter { code: u32::MAX, size: 1, known: None },
        };
        Letter { code, size, known: Some(self.table[code as usize]) }
    }
}

/// A token as the tail of a character, whole characters, and the head of a character. A token that is
/// invalid UTF-8 in any other way cannot occur in a text.
struct Token<'text> {
    tail: &'text [u8],
    whole: &'text str,
    head: &'text [u8],
}

impl<'text> Token<'text> {
    fn of(text: &'text [u8]) -> Self {
        let size = text.iter().take_while(|&&byte| is_continuation(byte)).count();
        let (tail, rest) = text.split_at(size);
        let size = std::str::from_utf8(rest).map_or_else(|error| error.valid_up_to(), str::len);
        let (whole, head) = rest.split_at(size);
        Self { tail, whole: std::str::from_utf8(whole).unwrap_or_default(), head }
    }
}

/// Tails, or heads, of characters in tokens. A class is the set of them that a character has.
struct Pieces<'text> {
    all: BTreeSet<&'text [u8]>,
    classes: BTreeMap<Vec<Vec<u8>>, u16>,
}

impl<'text> Pieces<'text> {
    fn new(all: impl Iterator<Item = &'text [u8]>) -> Self {
        Self { all: all.filter(|piece| !piece.is_empty()).collect(), classes: BTreeMap::new() }
    }

    /// The class of a character with these pieces; `None` if there are too many classes.
    fn class_of<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> Option<u16> {
        let found: Vec<Vec<u8>> =
            pieces.filter(|piece| self.all.contains(piece)).map(<[u8]>::to_vec).collect();
        if found.is_empty() {
            return Some(0);
        }
        let next = u16::try_from(self.classes.len() + 1).ok().filter(|&next| next != NEVER)?;
        Some(*self.classes.entry(found).or_insert(next))
    }

    /// The classes that contain each piece: many tokens share a few pieces.
    fn by_piece(&self) -> BTreeMap<&[u8], Vec<u32>> {
        let mut found: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for (pieces, &class) in &self.classes {
            for piece in pieces {
                let classes = found.entry(piece).or_default();
                if classes.last() != Some(&u32::from(class)) {
                    classes.push(class.into());
                }
            }
        }
        found
    }
}

/// A set of pairs, as a Bloom filter with one hash function.
#[derive(Debug, Default)]
struct BitSet(Vec<u64>);

impl BitSet {
    fn new() -> Self {
        Self(vec![0; 1 << (SET_BITS - 6)])
    }

    fn bit(left: u32, right: u32) -> (usize, u32) {
        let mixed = (u64::from(left) << 32 | u64::from(right)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = mixed >> (64 - SET_BITS);
        (crate::token::index(mixed >> 6), crate::token::narrow(crate::token::index(mixed & 63)))
    }

    fn ascii(&self) -> Vec<bool> {
        (0..1 << 14).map(|pair| self.contains(pair >> 7, pair & 0x7f)).collect()
    }

    fn insert(&mut self, left: u32, right: u32) {
        let (at, bit) = Self::bit(left, right);
        self.0[at] |= 1 << bit;
    }

    fn contains(&self, left: u32, right: u32) -> bool {
        let (at, bit) = Self::bit(left, right);
        self.0[at] >> bit & 1 == 1
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
