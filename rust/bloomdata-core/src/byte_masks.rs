//! Bit masks of 64 bytes: which of them are of a kind. Written so that the compiler uses vector instructions.

/// The 64 bytes from `at` on, with zeros behind the end of the text, and how many of them are of the text.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for several instruction sets")]
pub(crate) fn block_at(text: &[u8], at: usize) -> ([u8; 64], usize) {
    if let Some(bytes) = text.get(at..at + 64) {
        return (std::array::from_fn(|at| bytes[at]), 64);
    }
    let rest = text.get(at..).unwrap_or_default();
    let mut bytes = [0; 64];
    bytes[..rest.len()].copy_from_slice(rest);
    (bytes, rest.len())
}

/// The mask of the bytes of a kind.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a handful of instructions, for each block several times")]
pub(crate) fn bits(bytes: &[u8; 64], is_kind: impl Fn(u8) -> bool) -> u64 {
    let flags: [u8; 64] = std::array::from_fn(|at| if is_kind(bytes[at]) { u8::MAX } else { 0 });
    gather(&flags)
}

/// Gathers the highest bit of each byte.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(clippy::inline_always, reason = "a handful of instructions, for each block several times")]
fn gather(flags: &[u8; 64]) -> u64 {
    use std::arch::x86_64::{_mm_loadu_si128, _mm_movemask_epi8};
    let mut bits = 0;
    for (part, flags) in flags.as_chunks::<16>().0.iter().enumerate() {
        #[allow(unsafe_code, reason = "there is no safe unaligned load")]
        // SAFETY: 16 bytes are read from an array of 16, and every x86-64 processor has SSE2.
        let sixteen = unsafe { _mm_movemask_epi8(_mm_loadu_si128(flags.as_ptr().cast())) };
        bits |= u64::from(sixteen.cast_unsigned()) << (16 * part);
    }
    bits
}

/// Gathers the highest bit of each byte.
#[cfg(not(target_arch = "x86_64"))]
fn gather(flags: &[u8; 64]) -> u64 {
    let mut bits = 0;
    for (part, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // Multiplication gathers the lowest bits of eight bytes in the highest byte.
        let ones = u64::from_le_bytes(*eight) & 0x0101_0101_0101_0101;
        bits |= ones.wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * part);
    }
    bits
}
