//! Where each token ends in a text, by walking along the text with the bytes of the tokens. Used for
//! tokenizers that may add a space or change the text, and whenever [`super::byte_lengths`] do not sum to
//! the text.

use super::Tokenizer;
use super::byte_alphabet::ByteAlphabet;

/// How token names spell bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// One character per byte: GPT-2's byte alphabet.
    ByteLevel,
    /// `▁` is a space, `<0x0A>` a byte.
    Metaspace,
}

/// Bytes of a token that are compared at once.
const WORD: usize = 8;

/// The bytes of every token, concatenated.
#[derive(Debug)]
pub(super) struct Surfaces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Nearly all tokens are short; a call to `memcmp` for each would dominate.
    short: Vec<Short>,
}

/// A token of at most [`WORD`] bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Short {
    bytes: u64,
    /// All ones where `bytes` is significant; zero for longer tokens and for those without bytes.
    mask: u64,
    size: usize,
}

impl Short {
    fn new(surface: &[u8]) -> Self {
        let (mut bytes, mut mask) = ([0; WORD], [0; WORD]);
        let size = surface.len();
        let (Some(head), Some(ones)) = (bytes.get_mut(..size), mask.get_mut(..size)) else {
            return Self::default();
        };
        head.copy_from_slice(surface);
        ones.fill(u8::MAX);
        Self { bytes: u64::from_le_bytes(bytes), mask: u64::from_le_bytes(mask), size }
    }

    /// Whether a text starts with the token; `false` also if this cannot be decided here.
    fn begins(self, text: &[u8]) -> bool {
        let Some(&word) = text.first_chunk::<WORD>() else { return false };
        self.mask != 0 && u64::from_le_bytes(word) & self.mask == self.bytes
    }
}

impl Surfaces {
    /// The bytes of all tokens. `added` are ids whose names are literal text.
    pub(super) fn new(tokenizer: &dyn Tokenizer, spelling: Spelling, added: &[u32]) -> Self {
        let size = crate::token::index(tokenizer.vocab_size());
        let mut surfaces =
            Self { bytes: Vec::new(), ends: Vec::with_capacity(size), short: Vec::with_capacity(size) };
        let letters = ByteAlphabet::new();
        for id in 0..u32::try_from(size).unwrap_or(u32::MAX) {
            let name = tokenizer.token(id).unwrap_or_default();
            if added.binary_search(&id).is_ok() {
                surfaces.bytes.extend_from_slice(name.as_bytes());
            } else if spelling == Spelling::Metaspace {
                match byte_of(&name) {
                    Some(byte) => surfaces.bytes.push(byte),
                    None => surfaces.bytes.extend_from_slice(name.replace('\u{2581}', " ").as_bytes()),
                }
            } else {
                surfaces.bytes.extend(name.chars().filter_map(|letter| letters.byte(letter)));
            }
            let start = surfaces.ends.last().copied().unwrap_or_default();
            surfaces.short.push(Short::new(&surfaces.bytes[start..]));
            surfaces.ends.push(surfaces.bytes.len());
        }
        surfaces
    }

    fn of(&self, id: u32) -> &[u8] {
        let at = id as usize;
        let start = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or_default() };
        let end = self.ends.get(at).copied().unwrap_or(start);
        &self.bytes[start..end]
    }

    /// Appends the end of each id in `text`. Returns whether the ids spell the text, apart from spaces that
    /// the tokenizer added.
    pub(super) fn walk(&self, text: &str, ids: &[u32], ends: &mut Vec<usize>) -> bool {
        let text = text.as_bytes();
        let mut at = 0;
        ends.reserve(ids.len());
        for &id in ids {
            if let Some(short) = self.short.get(id as usize)
                && short.begins(&text[at..])
            {
                at += short.size;
                ends.push(at);
                continue;
            }
            let surface = self.of(id);
            at += if text[at..].starts_with(surface) {
                surface.len()
            } else {
                // A token may start with a space that the tokenizer put in front of the text.
                match surface.strip_prefix(b" ") {
                    // A lone added space ends with the character after it.
                    Some([]) => {
                        ends.push((at + 1).min(text.len()));
                        continue;
                    }
                    Some(rest) if text[at..].starts_with(rest) => rest.len(),
                    _ => return false,
                }
            };
            ends.push(at);
        }
        at == text.len()
    }
}

/// The byte that a name of the form `<0x0A>` stands for.
fn byte_of(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_token_is_known_by_its_bytes_wherever_the_text_is_long_enough() {
        let begins = |token: &str, text: &str| Short::new(token.as_bytes()).begins(text.as_bytes());
        assert!(begins("a", "abcdefgh") && begins("abcdefgh", "abcdefgh"));
        assert!(!begins("b", "abcdefgh") && !begins("abcdefgx", "abcdefgh"));
        // Left to the slow comparison: too near the end, too long, no bytes.
        assert!(!begins("a", "abcdefg") && !begins("abcdefghi", "abcdefghi") && !begins("", "abcdefgh"));
    }
}
