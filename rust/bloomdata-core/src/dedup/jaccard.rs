//! The true similarity of two documents: that of the sets of their shingles.

use crate::token::double;

/// Sorts shingles and keeps each once.
pub fn to_set(shingles: &mut Vec<u64>) {
    shingles.sort_unstable();
    shingles.dedup();
}

/// Elements in both of two sorted sets.
pub fn intersection(left: &[u64], right: &[u64]) -> u64 {
    let (mut at, mut other, mut common) = (0, 0, 0_u64);
    while let (Some(a), Some(b)) = (left.get(at), right.get(other)) {
        // Without branches: which of the two is less is as good as random.
        at += usize::from(a <= b);
        other += usize::from(b <= a);
        common += u64::from(a == b);
    }
    common
}

/// Jaccard similarity of two sorted sets; 0 for two empty ones.
pub fn similarity(left: &[u64], right: &[u64]) -> f64 {
    let common = intersection(left, right);
    let union = left.len() as u64 + right.len() as u64 - common;
    if union == 0 { 0.0 } else { double(common) / double(union) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_is_common_elements_by_all() {
        assert!((similarity(&[1, 2, 3, 4], &[2, 3, 4, 5]) - 0.6).abs() < 1e-12);
        assert!(similarity(&[], &[]).abs() < 1e-12);
        assert!(similarity(&[1], &[]).abs() < 1e-12);
        assert!((similarity(&[7], &[7]) - 1.0).abs() < 1e-12);
    }
}
