//! Byte-level BPE without a regex engine: BLOOM, GPT-2, Llama-3, Qwen2 and all that split text the same way.
//!
//! ```text
//! text ─added tokens→ segments ─splitter→ words ─cache, else merges→ ids
//! ```
//!
//! - [`definition`]: what of a `tokenizer.json` it can do exactly; anything else is left to the `tokenizers` crate.
//! - [`stages`]: pre-tokenizers in a row.
//! - [`split`]: words, as the pattern of a family cuts them.
//! - [`classes`]: letters, numbers and spaces, as the crate's regex engine has them.
//! - [`merges`]: a word's bytes become ids.
//! - [`cache`]: words that were seen before.

mod cache;
mod classes;
mod definition;
mod merges;
mod split;
mod stages;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aho_corasick::AhoCorasick;
use unicode_normalization::{IsNormalized, is_nfc_quick};

use super::reference::ReferenceTokenizer;
use super::{SpecialIds, Tokenizer};
use crate::error::Result;
use cache::Cache;
use definition::Definition;
use merges::{MergeSpace, Merger};
use stages::Stages;

/// A byte-level BPE tokenizer, with the crate beside it for everything that is not encoding.
#[derive(Debug)]
pub struct ByteLevelTokenizer {
    reference: ReferenceTokenizer,
    /// Tells this tokenizer's words in a thread's cache from those of others.
    number: u64,
    merger: Merger,
    stages: Stages,
    /// Whether texts are brought to NFC first.
    is_nfc: bool,
    /// Added tokens, found in this order: those of the raw text, then those of the normalized text.
    added: Vec<(AhoCorasick, Vec<u32>)>,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
}

/// Texts on which a new tokenizer is compared with the crate.
const PROBES: [&str; 12] = [
    "",
    " ",
    "Hello, world! It's 2026; they'LL pay 12,345.67 (or so).",
    "  two  spaces\t\ttabs \n\n newlines\r\n end ",
    "def f(x):\n    return x[1] | {'a': \"b\"}  # note\n",
    "L'été à Zürich — naïve façade, e\u{301}a\u{308}",
    "Съешь же ещё этих мягких французских булок",
    "今天天气很好。我们去公园，好吗？",
    "吾輩は猫である。名前はまだ無い。",
    "مرحبا، كيف حالك؟ नमस्ते दुनिया। 안녕하세요",
    "\u{1F469}\u{200D}\u{1F4BB} \u{1F600}\u{1F3FD} \0\u{1}\u{7f}\u{feff}\u{200b}\u{a0}\u{3000}",
    "<s>a</s> <|endoftext|><pad><unk>[INST] aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

/// What a thread keeps between texts.
struct Scratch {
    number: u64,
    cache: Cache,
    space: MergeSpace,
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

impl ByteLevelTokenizer {
    /// Takes over from the crate, if the definition is one that can be done exactly; else gives the crate back, with
    /// the reason.
    ///
    /// # Errors
    /// What the crate reports when it is asked what it puts around texts.
    pub fn take_over(
        reference: ReferenceTokenizer,
    ) -> Result<std::result::Result<Self, (ReferenceTokenizer, String)>> {
        let Some(json) = reference.definition() else {
            return Ok(Err((reference, "it has no definition".into())));
        };
        let definition = match Definition::parse(json) {
            Ok(definition) => definition,
            Err(reason) => return Ok(Err((reference, reason))),
        };
        let Some((prefix, suffix)) = surroundings(&reference)? else {
            return Ok(Err((reference, "its post-processor does more than add tokens at both ends".into())));
        };
        let Definition { merger, stages, is_nfc, added } = definition;
        let number = NEXT_NUMBER.fetch_add(1, Relaxed) + 1;
        let ours = Self { reference, number, merger, stages, is_nfc, added, prefix, suffix };
        // A definition that means something else than we think must not give other ids, whatever it is.
        for text in PROBES {
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            ours.encode(text, &mut found)?;
            ours.reference.encode(text, &mut expected)?;
            if found != expected {
                return Ok(Err((ours.reference, format!("it gives other ids for {text:?}"))));
            }
        }
        Ok(Ok(ours))
    }

    /// Encodes text between added tokens of level `level` and higher.
    fn encode_segment(&self, text: &str, level: usize, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        let Some((finder, tokens)) = self.added.get(level) else {
            let Scratch { cache, space, .. } = scratch;
            self.stages.split(text, |word| {
                cache.ids_of(word, ids, |word, ids| self.merger.merge(word, space, ids));
            });
            return;
        };
        let mut from = 0;
        for found in finder.find_iter(text) {
            self.encode_segment(&text[from..found.start()], level + 1, scratch, ids);
            ids.push(tokens[found.pattern().as_usize()]);
            from = found.end();
        }
        self.encode_segment(&text[from..], level + 1, scratch, ids);
    }
}

/// What the crate puts before and behind every text; `None` when it does something else, too.
fn surroundings(reference: &ReferenceTokenizer) -> Result<Option<(Vec<u32>, Vec<u32>)>> {
    let mut found = None;
    for text in ["a", "b c", "1"] {
        let (mut with, mut bare) = (Vec::new(), Vec::new());
        reference.encode(text, &mut with)?;
        reference.encode_bare(text, &mut bare)?;
        let Some(extra) = with.len().checked_sub(bare.len()) else { return Ok(None) };
        // Where the text's own ids stand: behind as many of the added ones as make the rest fit.
        let fits = |at: &usize| with[*at..*at + bare.len()] == bare[..];
        let Some(at) = (0..=extra).find(fits) else { return Ok(None) };
        let around = (with[..at].to_vec(), with[at + bare.len()..].to_vec());
        if found.get_or_insert_with(|| around.clone()) != &around {
            return Ok(None);
        }
    }
    Ok(found)
}

impl Tokenizer for ByteLevelTokenizer {
    fn vocab_size(&self) -> u64 {
        self.reference.vocab_size()
    }

    fn special(&self) -> SpecialIds {
        self.reference.special()
    }

    fn token(&self, id: u32) -> Option<String> {
        self.reference.token(id)
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        if self.is_nfc && !text.is_ascii() && is_nfc_quick(text.chars()) != IsNormalized::Yes {
            return self.reference.encode(text, ids);
        }
        if !self.stages.may_fail() {
            self.encode_all(text, ids);
            return Ok(());
        }
        let before = ids.len();
        let tried = catch_unwind(AssertUnwindSafe(|| self.encode_all(text, ids)));
        tried.or_else(|_| {
            // The regex engine gave up: the crate's own error says so.
            ids.truncate(before);
            self.reference.encode(text, ids)
        })
    }

    fn adds_eos(&self) -> bool {
        self.reference.adds_eos()
    }

    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.reference.decode(ids, skip_special_tokens)
    }

    fn backend(&self) -> &'static str {
        "byte-level BPE"
    }

    fn fingerprint(&self) -> &str {
        self.reference.fingerprint()
    }

    fn definition(&self) -> Option<&[u8]> {
        self.reference.definition()
    }
}

impl ByteLevelTokenizer {
    fn encode_all(&self, text: &str, ids: &mut Vec<u32>) {
        ids.extend_from_slice(&self.prefix);
        SCRATCH.with_borrow_mut(|slot| {
            let scratch = match slot {
                Some(scratch) if scratch.number == self.number => scratch,
                _ => slot.insert(Scratch {
                    number: self.number,
                    cache: Cache::default(),
                    space: MergeSpace::default(),
                }),
            };
            self.encode_segment(text, 0, scratch, ids);
        });
        ids.extend_from_slice(&self.suffix);
    }
}
