//! BELLE: instruction and output (OL-07). The field `input` is not read, as in Open-Llama.

/// The fields of a record.
pub const KEYS: [&str; 2] = ["instruction", "output"];

/// Every backslash that an `n` follows is deleted together with it; nothing is stripped.
pub fn turn(prompt: &str, completion: &str) -> (String, String) {
    (prompt.replace("\\n", ""), completion.replace("\\n", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_that_were_escaped_are_deleted_and_newlines_are_not() {
        assert_eq!(turn(r" a\nb ", "c\n\\\\nn"), (" ab ".into(), "c\n\\n".into()));
    }
}
