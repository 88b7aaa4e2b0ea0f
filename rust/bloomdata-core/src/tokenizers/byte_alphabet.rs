//! The byte alphabet of GPT-2: one character for each byte, in which byte-level tokenizers spell their
//! tokens.

/// GPT-2's `bytes_to_unicode`: printable bytes stand for themselves, the others follow from U+0100 on.
pub(super) fn bytes_to_chars() -> Vec<char> {
    let mut next = 0x100;
    (0..=u8::MAX)
        .map(|byte| {
            let is_printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            if is_printable {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1).unwrap_or_default()
            }
        })
        .collect()
}

/// The inverse: characters to bytes.
#[derive(Debug)]
pub(super) struct ByteAlphabet(Vec<Option<u8>>);

impl ByteAlphabet {
    pub(super) fn new() -> Self {
        let mut bytes = vec![None; 0x200];
        for (byte, letter) in (0..=u8::MAX).zip(bytes_to_chars()) {
            if let Some(slot) = bytes.get_mut(letter as usize) {
                *slot = Some(byte);
            }
        }
        Self(bytes)
    }

    /// The byte that a character stands for.
    pub(super) fn byte(&self, letter: char) -> Option<u8> {
        self.0.get(letter as usize).copied().flatten()
    }

    /// The bytes that a token stands for; `None` if one of its characters stands for no byte.
    pub(super) fn bytes(&self, token: &str) -> Option<Vec<u8>> {
        token.chars().map(|letter| self.byte(letter)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_letter() {
        let letters = ByteAlphabet::new();
        let mut bytes: Vec<u8> = (0..0x400).filter_map(|code| letters.byte(char::from_u32(code)?)).collect();
        bytes.sort_unstable();
        assert!(bytes.into_iter().eq(0..=255));
        assert_eq!(letters.byte('Ġ'), Some(b' '));
        assert_eq!((letters.bytes("aĠ"), letters.bytes("a ")), (Some(b"a ".to_vec()), None));
    }
}
