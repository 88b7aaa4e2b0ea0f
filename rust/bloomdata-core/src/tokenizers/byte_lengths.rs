//! Where each token ends in a text, from token lengths alone: a prefix sum over one byte per token. Walking
//! along the bytes of the tokens would read 24 bytes per token, from a table larger than any cache.
//!
//! Why this is exact: a tokenizer cuts a text into parts, and each part becomes one token or is dropped. As
//! long as no length stored here exceeds the part that the token stands for, the lengths sum to at most the
//! size of the text. If they sum to exactly that, every length is right and nothing was dropped. The sum
//! therefore reveals every token that takes more of the text than its stored length: an added token that
//! takes white space with it, a byte without an id, a token too long to be stored.
//!
//! The caller ensures that no stored length is too large, and that the text was encoded as it is: not
//! changed by a normalizer, and without a space put in front.

/// Highest id, plus one, whose length is stored.
const MAX_IDS: usize = 1 << 22;

/// The length of every token in bytes; zero if unknown.
#[derive(Debug, Default)]
pub(super) struct ByteLengths(Vec<u8>);

impl ByteLengths {
    /// Records the length of an id in bytes. If an id has two possible lengths, the smaller one is kept.
    pub(super) fn set(&mut self, id: u32, length: usize) {
        let at = crate::token::index(id.into());
        if at >= MAX_IDS {
            return;
        }
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let kept = &mut self.0[at];
        if let Ok(length) = u8::try_from(length)
            && (*kept == 0 || length < *kept)
        {
            *kept = length;
        }
    }

    /// Appends the end of each id in a text of `text_bytes` bytes. Returns whether the ids sum to that
    /// size; if not, the appended ends are meaningless.
    pub(super) fn ends(&self, ids: &[u32], text_bytes: usize, ends: &mut Vec<usize>) -> bool {
        let mut at = 0;
        ends.extend(ids.iter().map(|&id| {
            at += usize::from(self.0.get(id as usize).copied().unwrap_or_default());
            at
        }));
        at == text_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_sums_of_lengths_if_these_make_up_the_text() {
        let mut lengths = ByteLengths::default();
        for (id, length) in [(0, 1), (1, 3), (2, 300), (4, 255), (u32::MAX, 1)] {
            lengths.set(id, length);
        }
        let ends = |ids: &[u32], text_bytes| {
            let mut ends = vec![7];
            lengths.ends(ids, text_bytes, &mut ends).then_some(ends)
        };
        assert_eq!(ends(&[], 0), Some(vec![7]));
        assert_eq!(ends(&[1, 0, 4], 259), Some(vec![7, 3, 4, 259]));
        assert_eq!(ends(&[1, 0], 5), None);
        // Too long to be stored, never set, beyond the highest stored id.
        assert!([2, 3, 5, u32::MAX].into_iter().all(|id| ends(&[1, id], 4).is_none()));
    }

    #[test]
    fn an_id_that_stands_for_texts_of_two_lengths_is_the_shorter_one() {
        for both in [[1, 2], [2, 1]] {
            let mut lengths = ByteLengths::default();
            for length in both {
                lengths.set(0, length);
            }
            let is_whole = |text_bytes| lengths.ends(&[0], text_bytes, &mut Vec::new());
            assert!(is_whole(1) && !is_whole(2));
        }
    }
}
