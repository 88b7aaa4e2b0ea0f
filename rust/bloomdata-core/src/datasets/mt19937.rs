//! NumPy's legacy random numbers, bit for bit: `RandomState(seed)` and its `shuffle`.
//!
//! Origin: MT19937 (Matsumoto, Nishimura 1998) with its initialiser for one integer; `_legacy_seeding`,
//! `random_interval` and `RandomState.shuffle` of NumPy 2.4, whose stream is frozen. Checked against NumPy in
//! `tests/test_megatron_order.py` and by the golden vectors of `tests/golden/megatron_order.toml`.

use crate::error::Result;
use crate::progress::Progress;
use crate::token::{index, narrow};

const WORDS: usize = 624;
const SHIFT: usize = 397;
/// Positions whose partners are drawn before any is swapped, so that memory is asked for all of them at once: a shuffle
/// of 50 million is bound by waiting for memory, and becomes about three times faster.
const AHEAD: usize = 256;

/// A generator.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "624 numbers tell nothing")]
pub struct Mt19937 {
    state: [u32; WORDS],
    /// Outputs of the state.
    outputs: [u32; WORDS],
    /// Outputs that were taken.
    taken: usize,
}

impl Mt19937 {
    /// `numpy.random.RandomState(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut state = [0; WORDS];
        let mut word = seed;
        for (at, slot) in state.iter_mut().enumerate() {
            *slot = word;
            word = (word ^ (word >> 30)).wrapping_mul(1_812_433_253).wrapping_add(narrow(at + 1));
        }
        Self { state, outputs: [0; WORDS], taken: WORDS }
    }

    /// Makes the next 624 outputs.
    fn refill(&mut self) {
        let twist = |high: u32, low: u32, far: u32| {
            let mixed = (high & 0x8000_0000) | (low & 0x7FFF_FFFF);
            far ^ (mixed >> 1) ^ (0x9908_B0DF & (mixed & 1).wrapping_neg())
        };
        let state = &mut self.state;
        for at in 0..WORDS - SHIFT {
            state[at] = twist(state[at], state[at + 1], state[at + SHIFT]);
        }
        for at in WORDS - SHIFT..WORDS - 1 {
            state[at] = twist(state[at], state[at + 1], state[at + SHIFT - WORDS]);
        }
        state[WORDS - 1] = twist(state[WORDS - 1], state[0], state[SHIFT - 1]);
        for (output, &word) in self.outputs.iter_mut().zip(state.iter()) {
            let word = word ^ (word >> 11);
            let word = word ^ ((word << 7) & 0x9D2C_5680);
            let word = word ^ ((word << 15) & 0xEFC6_0000);
            *output = word ^ (word >> 18);
        }
        self.taken = 0;
    }

    /// The next output.
    pub fn next_u32(&mut self) -> u32 {
        if self.taken == WORDS {
            self.refill();
        }
        self.taken += 1;
        self.outputs[self.taken - 1]
    }

    /// Two outputs, the upper half first.
    pub fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        (high << 32) | u64::from(self.next_u32())
    }

    /// A number from 0 to `max`, both included: outputs are masked, and what is larger is thrown away.
    pub fn interval(&mut self, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            let value = if max <= u32::MAX.into() { u64::from(self.next_u32()) } else { self.next_u64() };
            if value & mask <= max {
                return value & mask;
            }
        }
    }

    /// `RandomState.shuffle`: Fisher and Yates from the last position to the second, in place.
    ///
    /// # Errors
    /// The run was interrupted.
    pub fn shuffle<T: Copy>(&mut self, items: &mut [T], progress: &Progress) -> Result<()> {
        self.partners(items.len(), progress, |from, partners| {
            for &partner in partners {
                std::hint::black_box(items[partner]);
            }
            for (step, &partner) in partners.iter().enumerate() {
                items.swap(from - step, partner);
            }
        })
    }

    /// Draws what a shuffle of `len` items would draw.
    ///
    /// # Errors
    /// The run was interrupted.
    pub fn skip_shuffle(&mut self, len: usize, progress: &Progress) -> Result<()> {
        self.partners(len, progress, |_, _| ())
    }

    /// Calls `swap` with a position and the partners of it and of those below it; positions that need more than 32 bits
    /// come one by one.
    fn partners(
        &mut self,
        len: usize,
        progress: &Progress,
        mut swap: impl FnMut(usize, &[usize]),
    ) -> Result<()> {
        let mut partners = [0_usize; AHEAD];
        let mut at = len.saturating_sub(1);
        while at > 0 {
            progress.check()?;
            let Ok(limit) = u32::try_from(at) else {
                let partner = self.interval(at as u64);
                swap(at, &[index(partner)]);
                at -= 1;
                continue;
            };
            // All positions of a batch have the same mask: it ends before the next lower power of two.
            let mask = u32::MAX >> limit.leading_zeros();
            let count = AHEAD.min((limit - (mask >> 1)) as usize);
            let mut filled = 0;
            while filled < count {
                if self.taken == WORDS {
                    self.refill();
                }
                for &output in &self.outputs[self.taken..] {
                    // Written in any case and kept if it fits: a branch would be guessed wrong a quarter of the time.
                    let partner = output & mask;
                    partners[filled] = partner as usize;
                    filled += usize::from(partner <= limit - narrow(filled));
                    self.taken += 1;
                    if filled == count {
                        break;
                    }
                }
            }
            swap(at, &partners[..count]);
            at -= count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From NumPy 2.4: `RandomState(5489).randint(0, 2**32, 3, dtype="u4")`, the first outputs of the published code.
    #[test]
    fn outputs_are_those_of_the_published_code() {
        let mut random = Mt19937::new(5489);
        assert_eq!(
            [random.next_u32(), random.next_u32(), random.next_u32()],
            [3_499_211_612, 581_869_302, 3_890_346_734]
        );
        let mut random = Mt19937::new(5489);
        let last = (0..10_000).map(|_| random.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995), "the C++ standard states the 10,000th output of mt19937");
    }

    #[test]
    fn skipping_leaves_the_state_of_shuffling() {
        for len in [0, 1, 2, 3, 255, 256, 257, 5_000] {
            let (mut shuffles, mut skips) = (Mt19937::new(7), Mt19937::new(7));
            let mut items: Vec<u32> = (0..narrow(len)).collect();
            shuffles.shuffle(&mut items, &Progress::default()).unwrap();
            skips.skip_shuffle(len, &Progress::default()).unwrap();
            assert_eq!(shuffles.next_u32(), skips.next_u32(), "{len}");
        }
    }

    #[test]
    fn batches_shuffle_as_single_draws_do() {
        for len in [1, 2, 3, 4, 5, 128, 129, 600, 3_000] {
            let mut random = Mt19937::new(3);
            let mut expected: Vec<usize> = (0..len).collect();
            for at in (1..len).rev() {
                expected.swap(at, index(random.interval(at as u64)));
            }
            let mut items: Vec<usize> = (0..len).collect();
            Mt19937::new(3).shuffle(&mut items, &Progress::default()).unwrap();
            assert_eq!(items, expected, "{len}");
        }
    }
}
