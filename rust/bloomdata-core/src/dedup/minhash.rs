//! Signatures of sets of shingles: `MinHash` with one permutation, whose empty slots are filled by two more rounds.
//!
//! Whatever the round, a slot is decided by one uniformly drawn shingle of the union of two sets, so the probability that
//! it is equal in both is their Jaccard similarity, as in the classic `MinHash` (Broder 1997), for small sets too. One pass
//! of bins (Li, Owen, Zhang 2012) in place of as many passes as slots makes it fast.

use crate::rng::{key, mix};
use crate::token::{index, low_half};

/// Slots that no shingle has fallen into.
const EMPTY: u32 = u32::MAX;
/// Tells the second round's hash from the first one's.
const SECOND_ROUND: u64 = 0xD6E8_FEB8_6659_FD93;
/// Stream of the constants of the third round (see [`key`]).
const THIRD_ROUND_STREAM: u64 = 9;

/// Makes signatures, and holds the memory for it.
#[derive(Debug, Clone)]
pub struct MinHasher {
    /// Multiplier and summand of each slot in the third round.
    linear: Vec<(u32, u32)>,
    slots: Vec<u32>,
    second: Vec<u32>,
    high_halves: Vec<u32>,
}

impl MinHasher {
    /// For signatures of `num_perm` slots.
    pub fn new(num_perm: usize) -> Self {
        let constants = |slot: usize| {
            let bits = key(1, THIRD_ROUND_STREAM, slot as u64);
            (low_half(bits) | 1, low_half(bits >> 32))
        };
        Self {
            linear: (0..num_perm).map(constants).collect(),
            slots: vec![EMPTY; num_perm],
            second: vec![EMPTY; num_perm],
            high_halves: Vec::new(),
        }
    }

    /// Appends the signature of a document's shingles: the low 16 bits of each slot. A document without shingles has
    /// ones everywhere, and resembles nothing.
    pub fn append(&mut self, shingles: &[u64], out: &mut Vec<u8>) {
        self.slots.fill(EMPTY);
        fill(&mut self.slots, shingles.iter().copied());
        if self.slots.contains(&EMPTY) && !shingles.is_empty() {
            self.fill_empty(shingles);
        }
        out.extend(self.slots.iter().flat_map(|slot| {
            let [low, high, ..] = slot.to_le_bytes();
            [low, high]
        }));
    }

    fn fill_empty(&mut self, shingles: &[u64]) {
        self.second.fill(EMPTY);
        fill(&mut self.second, shingles.iter().map(|hash| mix(hash ^ SECOND_ROUND)));
        self.high_halves.clear();
        self.high_halves.extend(shingles.iter().map(|hash| low_half(hash >> 32)));
        for ((slot, second), linear) in self.slots.iter_mut().zip(&self.second).zip(&self.linear) {
            if *slot == EMPTY {
                *slot = if *second == EMPTY { least(&self.high_halves, *linear) } else { *second };
            }
        }
    }
}

#[inline]
fn fill(slots: &mut [u32], hashes: impl Iterator<Item = u64>) {
    let count = slots.len() as u64;
    for hash in hashes {
        let slot = &mut slots[index(((hash >> 32) * count) >> 32)];
        *slot = (*slot).min(low_half(hash));
    }
}

/// The least value of a linear function on all halves.
fn least(halves: &[u32], linear: (u32, u32)) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code, reason = "the instruction set is known only at run time")]
        // SAFETY: the processor has AVX2.
        return unsafe { least_avx2(halves, linear) };
    }
    least_of(halves, linear)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn least_avx2(halves: &[u32], linear: (u32, u32)) -> u32 {
    least_of(halves, linear)
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each set of instructions")]
fn least_of(halves: &[u32], (factor, summand): (u32, u32)) -> u32 {
    halves.iter().map(|half| half.wrapping_mul(factor).wrapping_add(summand)).fold(u32::MAX, u32::min)
}

/// How many slots of two signatures are equal.
#[inline]
pub fn equal_slots(left: &[u8], right: &[u8]) -> usize {
    let (left, _) = left.as_chunks::<2>();
    let (right, _) = right.as_chunks::<2>();
    left.iter().zip(right).filter(|(left, right)| left == right).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and mean squared error of the estimate over many sets, in standard errors of classic `MinHash`.
    fn errors(size: u64, similarity: f64, trials: u64) -> (f64, f64) {
        let slots = 128;
        let count = |value: f64| crate::token::whole(value.round());
        let common = count(2.0 * crate::token::double(size) * similarity / (1.0 + similarity));
        let truth = crate::token::double(common) / crate::token::double(2 * size - common);
        let mut hasher = MinHasher::new(slots);
        let (mut bias, mut square) = (0.0, 0.0);
        for trial in 0..trials {
            let element = |at: u64| key(trial + 100, 77, at);
            let left: Vec<u64> = (0..size).map(element).collect();
            let right: Vec<u64> = (size - common..2 * size - common).map(element).collect();
            let (mut a, mut b) = (Vec::new(), Vec::new());
            hasher.append(&left, &mut a);
            hasher.append(&right, &mut b);
            let error = crate::token::double(equal_slots(&a, &b) as u64) / 128.0 - truth;
            bias += error;
            square += error * error;
        }
        let trials = crate::token::double(trials);
        let variance = truth * (1.0 - truth) / 128.0;
        (bias / trials / (variance / trials).sqrt(), square / trials / variance)
    }

    #[test]
    fn estimates_are_unbiased_and_at_least_as_sharp_as_the_classic_ones() {
        for size in [8, 20, 75, 300, 2000] {
            for similarity in [0.5, 0.8] {
                let (bias, variance) = errors(size, similarity, 2000);
                assert!(bias.abs() < 5.0, "{size} {similarity}: bias of {bias} standard errors");
                // The variance of a variance of 2,000 trials is 3 per cent.
                assert!(variance < 1.15, "{size} {similarity}: {variance} of the classic variance");
            }
        }
    }

    #[test]
    fn all_instruction_sets_agree() {
        let halves: Vec<u32> = (0..1003).map(|at| low_half(mix(at))).collect();
        for count in [0, 1, 7, 8, 9, 1003] {
            assert_eq!(least(&halves[..count], (77, 5)), least_of(&halves[..count], (77, 5)));
        }
    }
}
