//! OIG-moderation: labelled texts, and the samples of several of them (OC-06).

use crate::conversation::python_strip;

/// What every sample starts with.
pub const HEADER: &str = "Possible labels:\n1. casual\n2. needs caution\n3. needs intervention\n\
                          4. possibly needs caution\n5. probably needs caution";

/// One sample of several texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FewShot {
    /// The header and the texts, with blank lines between; whoever tokenizes it cuts it to the limit.
    pub text: String,
    /// Texts in it.
    pub num_texts: usize,
    /// Whether it has more tokens than the limit. Only the last may not: `OpenChatKit` begins again with the first text.
    pub is_full: bool,
}

/// Packs texts into samples: each takes texts until it has more than `limit` tokens. The text that went over the limit is
/// not carried to the next sample.
///
/// Tokens are counted on the whole sample, since tokens may reach over the seam of two texts; a sample of n texts is
/// hence counted n times. Counts come from the caller, who has the tokenizer.
pub fn few_shot<'text>(
    texts: impl IntoIterator<Item = &'text str>,
    limit: usize,
    mut count_tokens: impl FnMut(&str) -> usize,
) -> Vec<FewShot> {
    let empty = || FewShot { text: HEADER.to_owned(), num_texts: 0, is_full: false };
    let (mut samples, mut sample) = (Vec::new(), empty());
    for text in texts {
        sample.text.push_str("\n\n");
        sample.text.push_str(text);
        sample.num_texts += 1;
        sample.is_full = count_tokens(python_strip(&sample.text)) > limit;
        if sample.is_full {
            samples.push(std::mem::replace(&mut sample, empty()));
        }
    }
    if sample.num_texts > 0 {
        samples.push(sample);
    }
    for sample in &mut samples {
        sample.text.truncate(python_strip(&sample.text).len());
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_takes_texts_until_it_is_over_the_limit() {
        let count = |text: &str| text.len() - HEADER.len();
        let samples = few_shot(["aa", "b ", "cccccccccc", "d\n"], 4, count);
        let told: Vec<_> = samples
            .iter()
            .map(|sample| (&sample.text[HEADER.len()..], sample.num_texts, sample.is_full))
            .collect();
        assert_eq!(told, [("\n\naa\n\nb", 2, true), ("\n\ncccccccccc", 1, true), ("\n\nd", 1, false)]);
        assert!(few_shot([], 4, |_| 0).is_empty());
    }
}
