//! Seeded pseudo-random numbers as a pure function of (seed, position): no state, no order of calls.

/// Finaliser of `SplitMix64` (Steele, Lea, Flood 2014): a bijection on 64 bits that mixes every bit.
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The 64-bit key of position `index` under `seed`; `stream` separates independent uses of one seed.
pub const fn key(seed: u64, stream: u64, index: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let state = mix(seed.wrapping_add(GOLDEN)) ^ mix(stream.wrapping_mul(GOLDEN).wrapping_add(1));
    mix(state.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// A key as a number in [0, 1), from its upper 53 bits.
#[allow(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
pub fn unit_interval(key: u64) -> f64 {
    (key >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: shuffles and splits of published data sets depend on these values.
    #[test]
    fn keys_never_change() {
        assert_eq!(key(0, 0, 0), FROZEN[0]);
        assert_eq!(key(0, 0, 1), FROZEN[1]);
        assert_eq!(key(1, 0, 0), FROZEN[2]);
        assert_eq!(key(0, 1, 0), FROZEN[3]);
    }
    const FROZEN: [u64; 4] =
        [0x346D_BC0B_5711_D830, 0x6B18_2A52_253D_DA4A, 0x017D_AF00_1966_6393, 0xD300_120A_5EA3_5CAC];

    #[test]
    fn keys_of_one_seed_spread_evenly() {
        let mut buckets = [0_u32; 16];
        for index in 0..16_000 {
            buckets[crate::token::index(key(7, 0, index) >> 60)] += 1;
        }
        assert!(buckets.iter().all(|&count| (800..1200).contains(&count)), "{buckets:?}");
    }
}
