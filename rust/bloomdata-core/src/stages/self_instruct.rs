//! `self_instruct`: prompt and completion (OL-06).

use crate::conversation::python_strip;

/// The fields of a record.
pub const KEYS: [&str; 2] = ["prompt", "completion"];

/// White space around both is left out, after an `Output:` that ends the prompt.
pub fn turn(prompt: &str, completion: &str) -> (String, String) {
    let prompt = prompt.strip_suffix("Output:").unwrap_or(prompt);
    (python_strip(prompt).to_owned(), python_strip(completion).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_once_and_only_at_the_very_end() {
        let prompt = |text: &str| turn(text, " a\u{1c}").0;
        assert_eq!(prompt(" q? Output:"), "q?");
        assert_eq!(prompt("q? Output:Output:"), "q? Output:");
        assert_eq!(prompt("q? Output: "), "q? Output:");
        assert_eq!(turn("", " a\u{1c}").1, "a");
    }
}
