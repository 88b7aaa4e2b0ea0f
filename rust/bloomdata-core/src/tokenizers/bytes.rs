//! One id per byte of UTF-8, plus a few special tokens. Needs no file and is lossless.

use super::{SpecialIds, Tokenizer};
use crate::error::{Error, Result};
use crate::hash::hash_bytes;

/// Names of the ids from 256 on.
const SPECIAL: [&str; 3] = ["<pad>", "<bos>", "<eos>"];
const PAD: u32 = 256;
const BOS: u32 = 257;
const EOS: u32 = 258;

/// The built-in byte tokenizer.
#[derive(Debug)]
pub struct BytesTokenizer {
    fingerprint: String,
}

impl BytesTokenizer {
    /// Creates the tokenizer, which has no options.
    pub fn new() -> Self {
        Self { fingerprint: hash_bytes(format!("bytes {SPECIAL:?}").as_bytes()) }
    }
}

impl Default for BytesTokenizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Tokenizer for BytesTokenizer {
    fn vocab_size(&self) -> u64 {
        256 + SPECIAL.len() as u64
    }

    fn special(&self) -> Result<SpecialIds> {
        Ok(SpecialIds { eos: EOS, pad: PAD, bos: Some(BOS) })
    }

    fn token(&self, id: u32) -> Option<String> {
        let name = SPECIAL.get((id as usize).checked_sub(256)?)?;
        Some((*name).to_owned())
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        ids.extend(text.bytes().map(u32::from));
        Ok(())
    }

    fn encode_bare(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        self.encode(text, ids)
    }

    fn encode_ends(&self, text: &str, ids: &mut Vec<u32>, ends: &mut Vec<usize>) -> Result<()> {
        ends.extend(1..=text.len());
        self.encode(text, ids)
    }

    fn adds_eos(&self) -> bool {
        false
    }

    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        let mut bytes = Vec::with_capacity(ids.len());
        for &id in ids {
            if let Ok(byte) = u8::try_from(id) {
                bytes.push(byte);
            } else if let Some(name) = self.token(id) {
                bytes.extend_from_slice(if skip_special_tokens { b"" } else { name.as_bytes() });
            } else {
                return Err(Error::mismatch("token id", format!("below {}", self.vocab_size()), id));
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn backend(&self) -> &'static str {
        "bytes"
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn definition(&self) -> Option<&[u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back() {
        let tokenizer = BytesTokenizer::new();
        let mut ids = Vec::new();
        tokenizer.encode("aé\u{1F600}", &mut ids).unwrap();
        assert_eq!(ids.len(), 7);
        ids.push(EOS);
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), "aé\u{1F600}<eos>");
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), "aé\u{1F600}");
        assert!(tokenizer.decode(&[259], true).is_err());
    }
}
