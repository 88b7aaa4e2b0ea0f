//! Texts become sentences, by the rules of Unicode (UAX #29), which are also ICU's for most languages.
//!
//! They need no data of a language, and end a sentence at full stops before capitals and at the ends of lines; so `Dr. Who`
//! is two. Megatron's tools use Punkt of NLTK, which knows abbreviations and does not stop at lines.

use unicode_segmentation::UnicodeSegmentation;

/// The sentences of a text without the white space around them; none that is empty.
pub(in crate::pipeline) fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_sentence_bounds().map(str::trim).filter(|sentence| !sentence.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_those_of_unicode() {
        let cases: [(&str, &[&str]); 6] = [
            ("One.  Two? \"Three!\" four", &["One.", "Two?", "\"Three!\"", "four"]),
            ("Pi is 3.14 or so. It is.", &["Pi is 3.14 or so.", "It is."]),
            ("今天很好。我们去公园！好", &["今天很好。", "我们去公园！", "好"]),
            ("a line\nanother\r\n\n last", &["a line", "another", "last"]),
            ("etc. and so on. Dr. Who", &["etc. and so on.", "Dr.", "Who"]),
            (" \n\t ", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(sentences(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }
}
