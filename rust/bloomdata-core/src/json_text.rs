//! Strings as Python's `json.dumps` writes them.

/// Hands out the parts of a string's JSON, quotes included; all but ASCII is escaped if asked.
pub fn json_string(text: &str, ensure_ascii: bool, mut part: impl FnMut(&str)) {
    const HEX: &str = "0123456789abcdef";
    part("\"");
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| {
        letter < ' ' || letter == '"' || letter == '\\' || (ensure_ascii && letter > '~')
    }) {
        part(&rest[..at]);
        let mut letters = rest[at..].chars();
        match letters.next().unwrap_or_default() {
            '"' => part("\\\""),
            '\\' => part("\\\\"),
            '\n' => part("\\n"),
            '\r' => part("\\r"),
            '\t' => part("\\t"),
            '\u{8}' => part("\\b"),
            '\u{c}' => part("\\f"),
            letter => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    part("\\u");
                    for shift in [12, 8, 4, 0] {
                        let digit = usize::from((*unit >> shift) & 15);
                        part(&HEX[digit..=digit]);
                    }
                }
            }
        }
        rest = letters.as_str();
    }
    part(rest);
    part("\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_escaped_as_in_python() {
        let written = |text: &str, ensure_ascii: bool| {
            let mut out = String::new();
            json_string(text, ensure_ascii, |part| out.push_str(part));
            out
        };
        let text = "a\"\\\n\r\t\u{8}\u{c}\u{1f}\u{7f}é\u{1F600}";
        assert_eq!(written(text, false), "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u001f\u{7f}é\u{1F600}\"");
        assert_eq!(written(text, true), r#""a\"\\\n\r\t\b\f\u001f\u007f\u00e9\ud83d\ude00""#);
    }
}
