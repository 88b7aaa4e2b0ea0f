//! Byte pair encoding without a regex engine: byte-level (BLOOM, GPT-2, Llama-3, Qwen2 and all that split text the same
//! way), and SentencePiece-like with bytes to fall back to (Llama-2, Mistral).
//!
//! ```text
//! text ─added tokens, normalizer→ segments ─splitter→ words ─cache, else merges→ ids
//! ```
//!
//! - [`definition`]: what of a `tokenizer.json` it can do exactly; anything else is left to the `tokenizers` crate.
//! - [`added`], [`normalize`]: what happens before words are cut.
//! - [`marks`], [`pieces`]: words and model of SentencePiece-like tokenizers.
//! - [`words`], [`stages`]: pre-tokenizers in a row.
//! - [`split`]: words, as the pattern of a family cuts them.
//! - [`pattern`], [`charsets`]: the same for patterns of sets of characters.
//! - [`classes`]: letters, numbers and spaces, as the crate's regex engine has them.
//! - [`file`], [`model`]: a word becomes ids.
//! - [`cache`], [`table`]: words that were seen before.
//! - [`merges`], [`pairs`]: a word's bytes become ids, one merge at a time.
//! - [`lanes`]: several words at the same time.
//! - [`starts`]: merges that may be done first, all at once.
//! - [`tokens`]: words that are one token.
//! - [`chars`]: where words may be cut, and which characters may be merged first.

mod added;
mod cache;
mod chars;
mod charsets;
mod classes;
mod definition;
mod file;
mod lanes;
mod marks;
mod merges;
mod model;
mod normalize;
mod pairs;
mod pattern;
mod pieces;
mod split;
mod stages;
mod starts;
mod table;
#[cfg(test)]
mod tests;
mod tokens;
mod words;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::byte_lengths::ByteLengths;
use super::offsets::{Spelling, Surfaces};
use super::reference::ReferenceTokenizer;
use super::{SpecialIds, Tokenizer};
use crate::error::Result;
use added::Finder;
use definition::Definition;
pub(super) use file::byte_letters;
use model::{BATCH, Memory, Model};
pub(super) use normalize::Normalizer;
pub(super) use words::Words;

/// A BPE tokenizer, with the crate beside it for everything that is not encoding.
#[derive(Debug)]
pub struct BpeTokenizer {
    reference: ReferenceTokenizer,
    pool: Arc<Pool>,
    /// The bytes of tokens, once somebody asks where tokens end.
    surfaces: OnceLock<Surfaces>,
    lengths: Option<ByteLengths>,
    model: Model,
    normalizer: Normalizer,
    words: Words,
    /// Added tokens of raw text, and those of normalized text.
    added: [Option<Finder>; 2],
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

/// Words that threads remembered which have ended since.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<Memory>>);

/// What a thread remembers between texts, of one tokenizer.
struct Scratch {
    pool: Weak<Pool>,
    memory: Memory,
}

impl Scratch {
    /// Starts with what another thread remembered, if there is such. Never waits: a lock may have been held by a thread
    /// that a fork left behind.
    fn of(pool: &Arc<Pool>) -> Self {
        let memory = pool.0.try_lock().ok().and_then(|mut all| all.pop());
        Self { pool: Arc::downgrade(pool), memory: memory.unwrap_or_default() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade()
            && let Ok(mut all) = pool.0.try_lock()
        {
            all.push(std::mem::take(&mut self.memory));
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

impl BpeTokenizer {
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
        let definition = match Definition::parse(json, reference.added()) {
            Ok(definition) => definition,
            Err(reason) => return Ok(Err((reference, reason))),
        };
        let Some((prefix, suffix)) = surroundings(&reference)? else {
            return Ok(Err((reference, "its post-processor does more than add tokens at both ends".into())));
        };
        let Definition { model, normalizer, words, added, lengths } = definition;
        let pool = Arc::default();
        let surfaces = OnceLock::new();
        let ours =
            Self { reference, pool, surfaces, lengths, model, normalizer, words, added, prefix, suffix };
        // A definition that means something else than we think must not give other ids, whatever it is.
        for text in PROBES {
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            ours.encode(text, &mut found)?;
            if ours.reference.encode(text, &mut expected).is_err() {
                return Ok(Err((ours.reference, format!("the crate itself fails on {text:?}"))));
            }
            if found != expected {
                return Ok(Err((ours.reference, format!("it gives other ids for {text:?}"))));
            }
        }
        Ok(Ok(ours))
    }

    /// Encodes a text without what is put around it.
    fn encode_inside(
        &self,
        text: &str,
        memory: &mut Memory,
        ids: &mut Vec<u32>,
    ) -> std::result::Result<(), String> {
        let mut result = Ok(());
        let [raw, normalized] = &self.added;
        split(raw.as_ref(), text, |start, end, token| {
            if let Some(id) = token {
                return ids.push(id);
            }
            let is_first = start == 0;
            match self.normalizer.apply(&text[start..end]) {
                Err(reason) => result = Err(reason),
                Ok(text) => split(normalized.as_ref(), &text, |start, end, token| match token {
                    Some(id) => ids.push(id),
                    None => self.encode_words(&text[start..end], is_first && start == 0, memory, ids),
                }),
            }
        });
        result
    }

    /// Encodes text between added tokens.
    fn encode_words(&self, text: &str, is_first: bool, memory: &mut Memory, ids: &mut Vec<u32>) {
        let text = self.words.apply(text, is_first);
        let bytes = text.as_bytes();
        let mut batch = [(0, 0); BATCH];
        let mut count = 0;
        let visit = |from, end| {
            batch[count] = (from, end);
            count += 1;
            if count == BATCH {
                self.model.words(bytes, &batch, memory, ids);
                count = 0;
            }
        };
        self.words.split(&text, |text, at, is_any| self.model.may_cut(text, at, is_any), visit);
        self.model.words(bytes, &batch[..count], memory, ids);
    }

    fn surfaces(&self) -> &Surfaces {
        self.surfaces.get_or_init(|| {
            let spelling = match self.words {
                Words::Stages(_) => Spelling::ByteLevel,
                Words::Marks(_) => Spelling::Marks,
            };
            let added: Vec<u32> = self.reference.added().into_iter().map(|(id, _)| id).collect();
            Surfaces::new(&self.reference, spelling, &added)
        })
    }

    fn may_fail(&self) -> bool {
        matches!(&self.words, Words::Stages(stages) if stages.may_fail())
    }
}

/// Pieces of a text, at the tokens that a finder finds.
fn split(finder: Option<&Finder>, text: &str, mut visit: impl FnMut(usize, usize, Option<u32>)) {
    match finder {
        Some(finder) => finder.split(text, visit),
        None if text.is_empty() => {}
        None => visit(0, text.len(), None),
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

impl Tokenizer for BpeTokenizer {
    fn vocab_size(&self) -> u64 {
        self.reference.vocab_size()
    }

    fn special(&self) -> Result<SpecialIds> {
        self.reference.special()
    }

    fn token(&self, id: u32) -> Option<String> {
        self.reference.token(id)
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let before = ids.len();
        ids.extend_from_slice(&self.prefix);
        if self.encode_all(text, ids) {
            ids.extend_from_slice(&self.suffix);
            return Ok(());
        }
        // The crate's own error says why.
        ids.truncate(before);
        self.reference.encode(text, ids)
    }

    fn encode_bare(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let before = ids.len();
        if self.encode_all(text, ids) {
            return Ok(());
        }
        ids.truncate(before);
        self.reference.encode_bare(text, ids)
    }

    fn encode_ends(&self, text: &str, ids: &mut Vec<u32>, ends: &mut Vec<usize>) -> Result<()> {
        let (first, first_end) = (ids.len(), ends.len());
        self.encode_bare(text, ids)?;
        if let Some(lengths) = &self.lengths
            && self.normalizer.leaves(text)
        {
            if lengths.ends(&ids[first..], text.len(), ends) {
                return Ok(());
            }
            ends.truncate(first_end);
        }
        if self.surfaces().walk(text, &ids[first..], ends) {
            return Ok(());
        }
        // A normalizer changed the text, or an added token took white space with it.
        ids.truncate(first);
        ends.truncate(first_end);
        self.reference.encode_ends(text, ids, ends)
    }

    fn added_tokens(&self) -> Vec<String> {
        self.reference.added_tokens()
    }

    fn adds_eos(&self) -> bool {
        self.reference.adds_eos()
    }

    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.reference.decode(ids, skip_special_tokens)
    }

    fn backend(&self) -> &'static str {
        match self.words {
            Words::Stages(_) => "byte-level BPE",
            Words::Marks(_) => "byte-fallback BPE",
        }
    }

    fn fingerprint(&self) -> &str {
        self.reference.fingerprint()
    }

    fn definition(&self) -> Option<&[u8]> {
        self.reference.definition()
    }
}

impl BpeTokenizer {
    /// Appends the ids of a text alone; whether it could be done.
    fn encode_all(&self, text: &str, ids: &mut Vec<u32>) -> bool {
        if !self.may_fail() {
            return self.encode_on_thread(text, ids);
        }
        // The regex engine may give up.
        catch_unwind(AssertUnwindSafe(|| self.encode_on_thread(text, ids))).unwrap_or(false)
    }

    fn encode_on_thread(&self, text: &str, ids: &mut Vec<u32>) -> bool {
        SCRATCH.with_borrow_mut(|slot| {
            let scratch = match slot {
                Some(scratch) if std::ptr::eq(scratch.pool.as_ptr(), &raw const *self.pool) => scratch,
                _ => slot.insert(Scratch::of(&self.pool)),
            };
            self.encode_inside(text, &mut scratch.memory, ids).is_ok()
        })
    }
}
