//! Strings in JSON become text.

/// The string whose JSON, without quotes, this is, if a parser found that valid; none for half of a surrogate pair, which
/// is no text.
///
/// Faster than a parser, which looks for quotes, too, and takes byte after byte.
pub fn unescaped(json: &str) -> Option<String> {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let (letter, size) = escape(&rest[at..])?;
        text.push(letter);
        rest = &rest[at + size..];
    }
    text.push_str(rest);
    Some(text)
}

/// The character of the escape that a string begins with, and how long the escape is.
pub fn escape(json: &str) -> Option<(char, usize)> {
    Some(match *json.as_bytes().get(1)? {
        b'u' => utf16(json)?,
        b'b' => ('\u{8}', 2),
        b'f' => ('\u{c}', 2),
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        letter @ (b'"' | b'\\' | b'/') => (letter.into(), 2),
        _ => return None,
    })
}

/// The character of one or two `\uXXXX`, and how long they are.
fn utf16(json: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = json.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        let digit = |&byte: &u8| char::from(byte).to_digit(16);
        digits.iter().try_fold(0, |all, byte| Some(all << 4 | digit(byte)?))
    };
    let first: u32 = unit(0)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second))?;
    Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_read_as_a_parser_reads_them(
            parts in prop::collection::vec(
                prop_oneof![
                    "[^\"\\\\\\x00-\\x1f]{0,9}",
                    r#"\\["\\/bfnrt]"#,
                    r"\\u[0-9a-fA-F]{4}",
                    r"\\u[dD][89a-fA-F][0-9a-f]{2}",
                    r"\\u[dD][89abAB][0-9a-f]{2}\\u[dD][c-fC-F][0-9a-f]{2}",
                ],
                0..12,
            )
        ) {
            let json = parts.concat();
            prop_assert_eq!(unescaped(&json), serde_json::from_str::<String>(&format!("\"{json}\"")).ok());
        }

        #[test]
        fn strings_that_are_written_are_read(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescaped(&json[1..json.len() - 1]), Some(text));
        }
    }
}
