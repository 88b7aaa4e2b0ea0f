//! The model of a BPE tokenizer: pre-tokens become ids, from the cache or by merges.

use super::super::byte_alphabet::{ByteAlphabet, bytes_to_chars};
use super::cache::{NO_PRE_TOKEN, SHORT_IDS, ShortKey};
use super::file::{File, NO_ID, byte_ids};
use super::merges::Merger;
use super::new_pre_tokens::{Resolver, Unresolved, Workspace};
use super::pairs::{MAX_SYMBOLS, NONE};
use super::ranks::Merge;
use super::whole_word_tokens::WholeWordTokens;
use crate::tokenizers::byte_lengths::ByteLengths;

/// Pre-tokens whose cache lines are prefetched before the first of them is looked up.
pub(super) const BATCH: usize = 128;
/// Maximum number of ids of a batch that are not written out yet.
const READY: usize = SHORT_IDS * BATCH;

/// A model, with the lengths of its tokens.
#[derive(Debug)]
pub(super) struct Model {
    resolver: Resolver,
    /// Bytes that each token stands for.
    pub(super) lengths: ByteLengths,
}

impl Model {
    /// A model that consists of merges only.
    pub(super) fn new(merger: Merger) -> Self {
        Self { resolver: Resolver::new(merger), lengths: ByteLengths::default() }
    }

    /// Whether no token crosses the boundary at `at`. Without `is_any`, only boundaries between ASCII
    /// characters count.
    #[inline]
    pub(super) fn may_cut(&self, text: &[u8], at: usize, is_any: bool) -> bool {
        self.resolver.merger.may_cut(text, at, is_any)
    }

    /// From the `model` of a `tokenizer.json` whose tokens are bytes.
    ///
    /// # Errors
    /// Why it is not supported here.
    pub(super) fn of_bytes(file: &File) -> Result<Self, String> {
        if file.byte_fallback {
            return Err("its byte-level BPE has byte fallback".into());
        }
        if file.merges.len() + 256 > MAX_SYMBOLS {
            return Err(format!("it has more than {} merges", MAX_SYMBOLS - 256));
        }
        let mut ids = byte_ids(file, &bytes_to_chars())?;
        let names = file.names();
        // A token that does not spell bytes cannot occur in a text.
        let letters = ByteAlphabet::new();
        let bytes: Vec<_> = names.iter().map(|name| letters.bytes((*name)?)).collect();

        // Symbols of all tokens that are a byte or the result of a merge, wherever the merge is in the
        // list.
        let mut symbols = vec![NONE; names.len()];
        for (byte, &id) in (0..).zip(&ids).filter(|&(_, &id)| id != NO_ID) {
            symbols[id as usize] = byte;
        }
        let mut merges = Vec::with_capacity(file.merges.len());
        let mut name = String::new();
        for (rank, merge) in (0_u32..).zip(&file.merges) {
            let (left, right) = merge.pair()?;
            name.clear();
            name.extend([left, right]);
            let id = |part: &str| file.vocab.get(part).copied().filter(|_| !part.is_empty());
            let (Some(left), Some(right)) = (id(left), id(right)) else {
                return Err(format!("merge {rank} has a part that is not in its vocabulary"));
            };
            let made =
                id(&name).ok_or_else(|| format!("the result of merge {rank} is not in its vocabulary"))?;
            ids.push(made);
            if bytes[made as usize].is_some() {
                symbols[made as usize] = 256 + rank;
            }
            merges.push([left, right, made]);
        }
        let merges: Vec<Merge> = merges
            .into_iter()
            .map(|merge| {
                let [left, right, made] = merge.map(|id| symbols[id as usize]);
                (left != NONE && right != NONE && made != NONE).then_some((left, right, made))
            })
            .collect();
        let mut texts = Vec::with_capacity(ids.len());
        let mut lengths = ByteLengths::default();
        for ((id, &symbol), bytes) in (0..).zip(&symbols).zip(&bytes) {
            if let Some(bytes) = bytes.as_deref().filter(|_| symbol != NONE) {
                lengths.set(id, bytes.len());
                texts.push((symbol, bytes));
            }
        }
        let mut model = Self::new(Merger::of_bytes(ids, &merges, &texts));
        model.lengths = lengths;
        model.take_tokens(&bytes, file.ignore_merges);
        Ok(model)
    }

    /// Finds the tokens whose bytes, as a pre-token, become that one token.
    fn take_tokens(&mut self, tokens: &[Option<Vec<u8>>], ignore_merges: bool) {
        let spelled = || (0..).zip(tokens).filter_map(|(id, bytes)| Some((id, bytes.as_deref()?)));
        let mut is_made = Vec::with_capacity(tokens.len());
        let mut expected = spelled().map(|(id, _)| id);
        self.resolver.merger.merge_each(spelled().map(|(_, pre_token)| pre_token), |ids| {
            is_made.push(expected.next().as_slice() == ids);
        });
        let all = || spelled().zip(&is_made);
        self.resolver.whole_words = WholeWordTokens::new(
            all().filter(|&(_, &is_made)| is_made || ignore_merges).map(|(token, _)| token),
        );
        if ignore_merges {
            let unmade = || all().filter(|&(_, &is_made)| !is_made).map(|(token, _)| token);
            self.resolver.unmade = WholeWordTokens::new(unmade());
            for (id, bytes) in unmade() {
                self.lengths.set(id, bytes.len());
            }
        }
    }

    /// Appends the ids of consecutive pre-tokens, given the start of the first and the end of each.
    pub(super) fn encode(
        &self,
        text: &[u8],
        from: usize,
        ends: &[usize],
        memory: &mut Memory,
        out: &mut Vec<u32>,
    ) {
        #[cfg(target_arch = "x86_64")]
        if super::has_avx2() {
            #[allow(unsafe_code, reason = "the instruction set is known only at run time")]
            // SAFETY: the features were detected just before.
            return unsafe { self.encode_avx2(text, from, ends, memory, out) };
        }
        self.encode_inline(text, from, ends, memory, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn encode_avx2(&self, text: &[u8], from: usize, ends: &[usize], memory: &mut Memory, out: &mut Vec<u32>) {
        self.encode_inline(text, from, ends, memory, out);
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn encode_inline(
        &self,
        text: &[u8],
        mut from: usize,
        ends: &[usize],
        memory: &mut Memory,
        out: &mut Vec<u32>,
    ) {
        let (mut keys, mut ready) = (std::mem::take(&mut memory.keys), std::mem::take(&mut memory.ready));
        let mut unresolved = std::mem::take(&mut memory.unresolved);
        keys.resize(BATCH, NO_PRE_TOKEN);
        ready.resize(READY, 0);
        for ends in ends.chunks(BATCH) {
            memory.work.cache.prepare_all(text, from, ends, &mut keys);
            unresolved.clear();
            let count = memory.work.cache.take(&keys[..ends.len()], &mut ready, |at, before, is_known| {
                let start = if at == 0 { from } else { ends[at - 1] };
                unresolved.push(Unresolved::new(start, ends[at], keys[at], before, is_known));
            });
            let before = if unresolved.is_empty() {
                0
            } else {
                self.resolver.resolve(text, &mut unresolved, &ready, &mut memory.work, out)
            };
            out.extend_from_slice(&ready[before..count]);
            from = ends.last().copied().unwrap_or(from);
        }
        (memory.keys, memory.ready, memory.unresolved) = (keys, ready, unresolved);
    }
}

/// What a thread keeps between batches.
#[derive(Debug, Default)]
pub(super) struct Memory {
    work: Workspace,
    keys: Vec<ShortKey>,
    ready: Vec<u32>,
    unresolved: Vec<Unresolved>,
}
