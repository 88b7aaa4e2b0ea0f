//! The character sets of a regex pattern: for every character a bit set of the sets that contain it.

use std::sync::OnceLock;

use hashbrown::HashMap;
use tokenizers::utils::SysRegex;

/// Maximum number of sets, and of alternatives, of a pattern: both share 64 bits.
const MAX: usize = 32;

/// For each character, in the lower half the sets that contain it, in the upper half the alternatives that
/// may start with it.
#[derive(Debug)]
pub(super) struct CharSets {
    ascii: [u64; 128],
    /// Block index of each 256 characters; most blocks are shared.
    pages: Vec<u16>,
    blocks: Vec<[u64; 256]>,
}

impl CharSets {
    /// Asks the crate's regex engine about every character.
    ///
    /// # Errors
    /// Too many sets, or one that the engine rejects.
    pub(super) fn new(sets: &[String]) -> Result<Self, String> {
        if sets.len() > MAX {
            return Err(format!("it has more than {MAX} different character sets"));
        }
        let all = every_character();
        let mut bits = vec![0_u64; char::MAX as usize + 1];
        for (bit, set) in sets.iter().enumerate() {
            let regex = SysRegex::new(&format!("(?:{set})+")).map_err(|error| error.to_string())?;
            for (start, end) in regex.find_iter(all) {
                for letter in all[start..end].chars() {
                    bits[letter as usize] |= 1 << bit;
                }
            }
        }
        Ok(Self::packed(&bits))
    }

    fn packed(bits: &[u64]) -> Self {
        let (mut pages, mut blocks, mut known) = (Vec::new(), Vec::new(), HashMap::new());
        for block in bits.as_chunks::<256>().0 {
            let next = u16::try_from(blocks.len()).unwrap_or(u16::MAX);
            let page = *known.entry(*block).or_insert_with(|| {
                blocks.push(*block);
                next
            });
            pages.push(page);
        }
        let ascii = std::array::from_fn(|at| bits[at]);
        Self { ascii, pages, blocks }
    }

    /// Adds the alternatives; `first` holds the sets that each may start with.
    ///
    /// # Errors
    /// Too many alternatives.
    pub(super) fn with_alternatives(self, first: &[u64]) -> Result<Self, String> {
        if first.len() > MAX {
            return Err(format!("it has more than {MAX} alternatives"));
        }
        let with = |word: u64| {
            let starts = |(at, sets): (usize, &u64)| u64::from(word & sets != 0) << (MAX + at);
            word | first.iter().enumerate().map(starts).sum::<u64>()
        };
        let blocks = self.blocks.into_iter().map(|block| block.map(with)).collect();
        Ok(Self { ascii: self.ascii.map(with), blocks, ..self })
    }

    /// The bits of the character at `at`, and its length in bytes.
    #[inline]
    pub(super) fn at(&self, text: &[u8], at: usize) -> (u64, usize) {
        let first = text[at];
        if first < 0x80 {
            return (self.ascii[usize::from(first)], 1);
        }
        let low = |at: usize| usize::from(text[at] & 0x3f);
        let first = usize::from(first);
        let (code, size) = match first {
            0..0xe0 => ((first & 0x1f) << 6 | low(at + 1), 2),
            0xe0..0xf0 => ((first & 0x0f) << 12 | low(at + 1) << 6 | low(at + 2), 3),
            _ => ((first & 7) << 18 | low(at + 1) << 12 | low(at + 2) << 6 | low(at + 3), 4),
        };
        (self.blocks[usize::from(self.pages[code >> 8])][code & 0xff], size)
    }

    /// The alternatives that may start with a character.
    pub(super) fn alternatives_of(word: u64) -> u64 {
        word >> MAX
    }

    /// Whether two sets are disjoint.
    pub(super) fn are_apart(&self, left: u64, right: u64) -> bool {
        self.blocks.iter().flatten().all(|word| word & left == 0 || word & right == 0)
    }
}

/// All characters in one text, which is built once.
fn every_character() -> &'static str {
    static ALL: OnceLock<String> = OnceLock::new();
    ALL.get_or_init(|| (0..=u32::from(char::MAX)).filter_map(char::from_u32).collect())
}
