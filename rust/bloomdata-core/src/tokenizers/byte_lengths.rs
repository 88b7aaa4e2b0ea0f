//! Where in a text each token ends, by the tokens' lengths alone: a byte for each, where a walk along all their bytes
//! reads 24 of a table that no cache holds.
//!
//! Why that is exact. Let a tokenizer cut a text into parts, each of which becomes one token or is left out, and let no
//! token's length here be more than that of its part. Then the lengths of all tokens come to no more than the text does,
//! and if they come to just that, every one of them is its part's, and nothing was left out. Whatever takes more of a
//! text than is known here is thus found by the sum: an added token that takes white space with it, a byte without an
//! id, a token that is too long to be kept.
//!
//! It is for whoever fills it in to see that no length is too much, and to ask only where the text was cut as it is: not
//! where a normalizer changed it, and not where a space was put in front of it.

/// Ids up to which lengths are kept.
const MAX_IDS: usize = 1 << 22;

/// The length of every token in bytes; zero where it is not known.
#[derive(Debug, Default)]
pub(super) struct ByteLengths(Vec<u8>);

impl ByteLengths {
    /// Says how many bytes of a text an id takes. Of two lengths that an id may have, the smaller one is kept.
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

    /// Appends where in a text of so many bytes each id ends; whether the ids come to that many. If not, what is
    /// appended means nothing.
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
        // Too long to be kept, never named, beyond all that are kept.
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
