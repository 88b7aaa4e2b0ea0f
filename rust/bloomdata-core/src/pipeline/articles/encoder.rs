//! What all kinds of records share on their way to articles.

use super::packed::{Articles, Packed};
use super::special_tokens::SpecialTokens;
use crate::document::{BadRecord, Block, Record};
use crate::error::Result;
use crate::formats::hdf5_rows::TokenStream;
use crate::json_fields::placed;
use crate::pipeline::feed::Item;
use crate::pipeline::folder::outcome::{Fate, Outcome};
use crate::token::TokenDtype;
use crate::tokenizers::Tokenizer;

/// The tokenizer, and how its tokens are handed on.
pub(in crate::pipeline) struct Encoder<'run> {
    pub(in crate::pipeline) tokenizer: &'run dyn Tokenizer,
    pub(in crate::pipeline) dtype: TokenDtype,
    /// Whether documents end with the end token.
    pub(in crate::pipeline) append_eos: bool,
    /// Whether the sentences of a text are encoded each by itself.
    pub(in crate::pipeline) split_sentences: bool,
    /// Whether the bytes of bad records are kept.
    pub(in crate::pipeline) keep_raw: bool,
    /// Tokens of a row, where there are rows.
    pub(in crate::pipeline) row_tokens: Option<u64>,
    /// Special tokens in texts.
    pub(in crate::pipeline) special: SpecialTokens,
}

impl Encoder<'_> {
    /// The fate of a bad record.
    pub(in crate::pipeline) fn bad(&self, reason: BadRecord, record: Record<'_>) -> Fate {
        let reason = placed(record.bytes, reason);
        let raw = if self.keep_raw { record.bytes.to_vec() } else { Vec::new() };
        Fate::Bad(reason, record.offset, raw)
    }

    /// What was made of a block.
    pub(in crate::pipeline) fn finish(
        &self,
        block: &Block,
        outcomes: Vec<Outcome>,
        articles: &mut Articles,
    ) -> Result<Item<Packed>> {
        let mut stream =
            TokenStream { lengths: std::mem::take(&mut articles.lengths), ..TokenStream::default() };
        stream.ids.reserve_exact(articles.ids.len() * self.dtype.itemsize());
        self.dtype.encode(&articles.ids, &mut stream.ids)?;
        // Nearly as fast as a copy, which bytes that are added one by one are not.
        let bytes = |codes: &[u32]| {
            let mut out = vec![0; 4 * codes.len()];
            for (slot, code) in out.chunks_exact_mut(4).zip(codes) {
                slot.copy_from_slice(&code.to_le_bytes());
            }
            out
        };
        stream.types = bytes(&articles.types);
        stream.categories = bytes(&articles.categories);
        articles.clear();
        Ok(Item::Block(Packed { file: block.file, outcomes, streams: vec![stream] }))
    }
}
