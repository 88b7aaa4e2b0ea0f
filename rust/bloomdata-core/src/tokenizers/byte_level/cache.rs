//! Ids of words that were seen before, in bounded memory, one cache a thread: no locks.
//!
//! Words up to 15 bytes are keys of 16 bytes in slots of 32; a probe looks at two slots of one cache line. Longer words
//! are in a hash map. Keys are compared whole: a hash alone would not be exact.

#![allow(clippy::disallowed_types, reason = "maps are looked up, their order is never seen")]

use std::collections::HashMap;

/// Slots for short words: 8 MiB.
const NUM_SLOTS: usize = 1 << 18;
/// Ids in a slot; more are in the arena.
const INLINE: usize = 3;
/// Ids in the arena, at most, before everything is forgotten.
const MAX_ARENA: usize = 1 << 21;
/// Bytes of a word that is kept, at most, and bytes of all of them.
const MAX_WORD: usize = 256;
const MAX_LONG_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
struct Slot {
    key: (u64, u64),
    ids: [u32; INLINE],
    count: u32,
}

/// Words and their ids.
#[derive(Debug)]
pub(super) struct Cache {
    slots: Vec<Slot>,
    arena: Vec<u32>,
    long: HashMap<Box<[u8]>, (u32, u32)>,
    long_bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); NUM_SLOTS],
            arena: Vec::new(),
            long: HashMap::new(),
            long_bytes: 0,
        }
    }
}

impl Cache {
    /// Appends the ids of `word`, which `make` appends when they are not known.
    pub(super) fn ids_of(
        &mut self,
        word: &[u8],
        out: &mut Vec<u32>,
        make: impl FnOnce(&[u8], &mut Vec<u32>),
    ) {
        match word.len() {
            0 => {}
            1..=15 => self.short(word, out, make),
            16..=MAX_WORD => self.long(word, out, make),
            _ => make(word, out),
        }
    }

    fn short(&mut self, word: &[u8], out: &mut Vec<u32>, make: impl FnOnce(&[u8], &mut Vec<u32>)) {
        let key = key(word);
        let at = hash(key) & (NUM_SLOTS - 1);
        for at in [at, at ^ 1] {
            let slot = &self.slots[at];
            if slot.key == key {
                let count = slot.count as usize;
                if count <= INLINE {
                    out.extend_from_slice(&slot.ids[..count]);
                } else {
                    let start = slot.ids[0] as usize;
                    out.extend_from_slice(&self.arena[start..start + count]);
                }
                return;
            }
        }
        let before = out.len();
        make(word, out);
        let made = &out[before..];
        let mut slot = Slot { key, ids: [0; INLINE], count: u32::try_from(made.len()).unwrap_or(0) };
        if made.len() <= INLINE {
            slot.ids[..made.len()].copy_from_slice(made);
        } else {
            slot.ids[0] = self.keep(made);
        }
        // The newer of the two stands first.
        self.slots[at ^ 1] = std::mem::replace(&mut self.slots[at], slot);
    }

    fn long(&mut self, word: &[u8], out: &mut Vec<u32>, make: impl FnOnce(&[u8], &mut Vec<u32>)) {
        if let Some(&(start, count)) = self.long.get(word) {
            out.extend_from_slice(&self.arena[start as usize..(start + count) as usize]);
            return;
        }
        let before = out.len();
        make(word, out);
        let made = &out[before..];
        let start = self.keep(made);
        self.long_bytes += word.len();
        self.long.insert(word.into(), (start, u32::try_from(made.len()).unwrap_or(0)));
        if self.long_bytes > MAX_LONG_BYTES {
            self.long.clear();
            self.long_bytes = 0;
        }
    }

    /// Puts ids into the arena; forgets everything first when it is full.
    fn keep(&mut self, ids: &[u32]) -> u32 {
        if self.arena.len() + ids.len() > MAX_ARENA {
            self.slots.fill(Slot::default());
            self.arena.clear();
            self.long.clear();
            self.long_bytes = 0;
        }
        let start = u32::try_from(self.arena.len()).unwrap_or(0);
        self.arena.extend_from_slice(ids);
        start
    }
}

/// Up to 15 bytes and their number.
fn key(word: &[u8]) -> (u64, u64) {
    let mut bytes = [0; 16];
    bytes[..word.len()].copy_from_slice(word);
    bytes[15] = u8::try_from(word.len()).unwrap_or(0);
    let [low, high] = [0, 8].map(|from| u64::from_le_bytes(std::array::from_fn(|at| bytes[from + at])));
    (low, high)
}

fn hash((low, high): (u64, u64)) -> usize {
    let product = u128::from(low ^ 0x9E37_79B9_7F4A_7C15) * u128::from(high ^ 0xD1B5_4A32_D192_ED03);
    let bytes = product.to_le_bytes();
    let [low, high] = [0, 8].map(|from| u64::from_le_bytes(std::array::from_fn(|at| bytes[from + at])));
    crate::token::index(low ^ high)
}
