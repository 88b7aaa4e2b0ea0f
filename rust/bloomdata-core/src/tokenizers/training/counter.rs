//! Counts the pre-tokens of texts. It implements `Tokenizer`, so that everything that reads texts can
//! count.

use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::tokenizers::bpe::{Normalizer, PreTokenizer};
use crate::tokenizers::{SpecialIds, Tokenizer};

/// Pre-tokens that a thread counts locally before it adds them to the shared counts.
const OWN_PRE_TOKENS: usize = 1 << 18;
/// Shards of the shared counts, each with its own lock.
const PARTS: usize = 64;

type Counts = HashMap<Box<[u8]>, u64>;

/// Counts the pre-tokens of all texts that it is asked to encode.
#[derive(Debug)]
pub struct PreTokenCounter {
    normalizer: Normalizer,
    pre_tokenizer: PreTokenizer,
    /// Local counts that no thread is using at the moment.
    own: Mutex<Vec<Counts>>,
    all: Vec<Mutex<Counts>>,
}

impl PreTokenCounter {
    /// Uses the normalizer and the pre-tokenizer of a definition.
    ///
    /// # Errors
    /// A normalizer or pre-tokenizer that is not supported here.
    pub fn new(definition: &Value) -> Result<Self> {
        let refused = |reason: String| Error::config("definition", format!("cannot be trained: {reason}"));
        let part = |name: &str| definition.get(name).unwrap_or(&Value::Null);
        Ok(Self {
            normalizer: Normalizer::parse(part("normalizer")).map_err(refused)?,
            pre_tokenizer: PreTokenizer::parse(part("pre_tokenizer")).map_err(refused)?,
            own: Mutex::default(),
            all: (0..PARTS).map(|_| Mutex::default()).collect(),
        })
    }

    /// Whether pre-tokens are made of bytes rather than characters.
    pub fn has_bytes(&self) -> bool {
        self.pre_tokenizer.are_bytes()
    }

    /// Hands over all pre-tokens and their counts.
    pub fn take_counts(&self) -> Vec<(Box<[u8]>, u64)> {
        let own = std::mem::take(&mut *lock(&self.own));
        for counts in own {
            self.add(counts);
        }
        self.all.iter().flat_map(|part| std::mem::take(&mut *lock(part))).collect()
    }

    fn count(&self, text: &str, own: &mut Counts) -> std::result::Result<(), String> {
        let text = self.normalizer.apply(text)?;
        let text = self.pre_tokenizer.apply(&text, true);
        let bytes = text.as_bytes();
        let never = |_: &[u8], _: usize, _: bool| false;
        self.pre_tokenizer.split(&text, never, |from, end| match own.get_mut(&bytes[from..end]) {
            Some(count) => *count += 1,
            None => drop(own.insert(bytes[from..end].into(), 1)),
        });
        Ok(())
    }

    fn add(&self, counts: Counts) {
        let mut parts: Vec<Vec<(Box<[u8]>, u64)>> = (0..PARTS).map(|_| Vec::new()).collect();
        for (pre_token, count) in counts {
            let place = pre_token
                .iter()
                .fold(pre_token.len(), |hash, &byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
            parts[place % PARTS].push((pre_token, count));
        }
        for (part, pre_tokens) in self.all.iter().zip(parts) {
            let mut part = lock(part);
            for (pre_token, count) in pre_tokens {
                *part.entry(pre_token).or_insert(0) += count;
            }
        }
    }
}

/// A poisoned lock is safe to use: no thread counts while it holds one.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tokenizer for PreTokenCounter {
    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let mut own = lock(&self.own).pop().unwrap_or_default();
        let counted = self.count(text, &mut own);
        if own.len() > OWN_PRE_TOKENS {
            self.add(std::mem::take(&mut own));
        }
        lock(&self.own).push(own);
        // One id, so that the text counts as a document.
        ids.push(0);
        counted.map_err(|reason| Error::config("definition", reason))
    }

    fn encode_bare(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        self.encode(text, ids)
    }

    fn vocab_size(&self) -> u64 {
        1
    }

    fn special(&self) -> Result<SpecialIds> {
        Ok(SpecialIds { eos: 0, pad: 0, bos: None })
    }

    fn token(&self, _: u32) -> Option<String> {
        None
    }

    fn adds_eos(&self) -> bool {
        false
    }

    fn decode(&self, _: &[u32], _: bool) -> Result<String> {
        Ok(String::new())
    }

    fn backend(&self) -> &'static str {
        "counting"
    }

    fn fingerprint(&self) -> &'static str {
        ""
    }

    fn definition(&self) -> Option<&[u8]> {
        None
    }
}
