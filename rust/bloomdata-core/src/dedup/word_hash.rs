//! XXH3 of short words without a branch on their length, which a processor cannot guess.

use xxhash_rust::xxh3::xxh3_64;

/// Zeros that must follow the last word.
pub const PADDING: usize = 8;
/// Of XXH3's secret: what words of 1 to 3 and of 4 to 8 bytes are flipped with.
const FLIP_3: u64 = 0x8727_5A9B;
const FLIP_8: u64 = 0xC73A_B174_C5EC_D5A2;

/// `xxh3_64` of `bytes[start..end]`, of 1 byte or more; [`PADDING`] bytes follow.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a call would cost as much as the hash")]
pub fn word_hash(bytes: &[u8], start: usize, end: usize) -> u64 {
    let size = end - start;
    match bytes[start..].first_chunk::<8>() {
        Some(word) if size <= 8 => short_hash(u64::from_le_bytes(*word), size),
        _ => xxh3_64(&bytes[start..end]),
    }
}

/// Both forms are made, and one is taken.
#[inline]
fn short_hash(word: u64, size: usize) -> u64 {
    let byte = |at: usize| word >> (8 * (at & 7)) & 0xff;
    let combined = byte(0) << 16 | byte(size >> 1) << 24 | byte(size - 1) | (size as u64) << 8;
    let low = word & 0xffff_ffff;
    let high = word >> (8 * (size.wrapping_sub(4) & 7)) & 0xffff_ffff;
    let (up_to_3, up_to_8) = (mix_3(combined ^ FLIP_3), mix_8((high + (low << 32)) ^ FLIP_8, size as u64));
    if size < 4 { up_to_3 } else { up_to_8 }
}

#[inline]
const fn mix_3(value: u64) -> u64 {
    let value = (value ^ (value >> 33)).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    let value = (value ^ (value >> 29)).wrapping_mul(0x1656_67B1_9E37_79F9);
    value ^ (value >> 32)
}

#[inline]
const fn mix_8(value: u64, size: u64) -> u64 {
    const PRIME: u64 = 0x9FB2_1C65_1E98_DF25;
    let value = (value ^ value.rotate_left(49) ^ value.rotate_left(24)).wrapping_mul(PRIME);
    let value = (value ^ ((value >> 35).wrapping_add(size))).wrapping_mul(PRIME);
    value ^ (value >> 28)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hashes_are_those_of_xxh3(word in prop::collection::vec(any::<u8>(), 1..20), before in 0_usize..9) {
            let mut bytes = vec![7; before];
            bytes.extend(&word);
            bytes.extend([0; PADDING]);
            prop_assert_eq!(word_hash(&bytes, before, before + word.len()), xxh3_64(&word));
        }
    }
}
