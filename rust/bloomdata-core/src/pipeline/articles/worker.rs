//! Records become articles: token ids and what each token is. Runs in the pool.
//!
//! An article is what packing keeps together: a document, a chat, or a single pair of prompt and completion.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::chats::ChatReader;
use super::texts::{TextReader, Texts};
use crate::document::{BadRecord, Block, Record, is_blank};
use crate::error::{Error, Result};
use crate::formats::hdf5_rows::TokenStream;
use crate::json_fields::{FieldPath, invalid_utf8};
use crate::packing::types::{COMPLETION, PROMPT, SEPARATOR};
use crate::pipeline::feed::Item;
use crate::pipeline::folder::books::{Fate, OnBadRecord, Outcome};
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::pack::{PackConfig, PackFormat, RecordKind};
use crate::sources::Format;
use crate::stages::RecordSource;
use crate::templates::prompt_completion::{Pair, PairReader};
use crate::token::TokenDtype;
use crate::tokenizers::Tokenizer;

/// How far something reaches. Names are those of `generative_data_prep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Over a whole record.
    Jsonl,
    /// Over one pair of a record.
    PromptCompletionPair,
}

/// What the pool makes of a block.
#[derive(Debug)]
pub struct Packed {
    /// Index of the input.
    pub file: usize,
    /// All records, in order.
    pub outcomes: Vec<Outcome>,
    /// One per text field.
    pub streams: Vec<TokenStream>,
}

/// What all workers share.
#[allow(clippy::struct_excessive_bools, reason = "switches of the user")]
pub(in crate::pipeline) struct Worker<'run> {
    pub(in crate::pipeline) tokenizer: &'run dyn Tokenizer,
    texts: TextReader<'run>,
    pairs: Option<PairReader>,
    chats: Option<ChatReader>,
    dtype: TokenDtype,
    with_types: bool,
    with_categories: bool,
    pub(in crate::pipeline) append_eos: bool,
    keep_raw: bool,
    attention_boundary: Boundary,
    packing_boundary: Boundary,
}

/// Tokens of a block, in memory that is used for block after block: to get it anew, page by page, can take as long as to
/// fill it.
#[derive(Default)]
pub(in crate::pipeline) struct Articles {
    /// Of texts: ids of each field.
    fields: Vec<Vec<u32>>,
    /// Of pairs and conversations.
    pub(in crate::pipeline) ids: Vec<u32>,
    pub(in crate::pipeline) types: Vec<u32>,
    categories: Vec<u32>,
    lengths: Vec<u32>,
    /// Where the open article starts.
    start: usize,
    /// Where the ids of a text end in it.
    pub(in crate::pipeline) ends: Vec<usize>,
}

impl<'run> Worker<'run> {
    pub(in crate::pipeline) fn new(
        config: &PackConfig,
        tokenizer: &'run dyn Tokenizer,
        fields: &'run [FieldPath],
        formats: Vec<Format>,
        dtype: TokenDtype,
    ) -> Result<Self> {
        let is_pairs = config.record == RecordKind::PromptCompletion;
        let chats = config.chats.as_ref().map(|chats| ChatReader::new(chats, tokenizer)).transpose()?;
        Ok(Self {
            tokenizer,
            texts: TextReader { fields, formats, source: config.source.as_ref().map(RecordSource::reader) },
            pairs: is_pairs.then(|| PairReader::new(config.pairs.clone())).transpose()?,
            chats,
            dtype,
            with_types: config.record != RecordKind::Text || config.format == PackFormat::Hdf5,
            with_categories: config.pairs.categories.is_some(),
            append_eos: config.append_eos,
            keep_raw: config.on_bad_record == OnBadRecord::Quarantine,
            attention_boundary: config.attention_boundary,
            packing_boundary: config.packing_boundary,
        })
    }

    /// What becomes of a block. `articles` is memory that is used again and again.
    pub(in crate::pipeline) fn pack(&self, articles: &mut Articles, block: &Block) -> Result<Item<Packed>> {
        match (&self.pairs, &self.chats) {
            (Some(reader), _) => self.pack_pairs(reader, articles, block),
            (None, Some(reader)) => self.pack_chats(reader, articles, block),
            (None, None) => self.pack_texts(&mut articles.fields, block),
        }
    }

    pub(in crate::pipeline) fn bad(&self, reason: BadRecord, record: Record<'_>) -> Fate {
        let raw = if self.keep_raw { record.bytes.to_vec() } else { Vec::new() };
        Fate::Bad(reason, record.offset, raw)
    }

    fn pack_texts(&self, ids: &mut Vec<Vec<u32>>, block: &Block) -> Result<Item<Packed>> {
        let mut packed = Packed {
            file: block.file,
            outcomes: Vec::new(),
            streams: self.texts.fields.iter().map(|_| TokenStream::default()).collect(),
        };
        ids.resize_with(self.texts.fields.len(), Vec::new);
        ids.iter_mut().for_each(Vec::clear);
        block.for_each(|record| {
            let fate = match self.texts.read(block.file, record) {
                Ok(Texts::Dropped(reason)) => Fate::Dropped(reason),
                Ok(Texts::Found(texts)) => self.tokenize(&texts, ids, &mut packed.streams)?,
                Err(reason) => self.bad(reason, record),
            };
            Outcome::push(&mut packed.outcomes, record.next_offset, fate);
            Ok::<(), Error>(())
        })?;
        for (stream, ids) in packed.streams.iter_mut().zip(&*ids) {
            stream.ids.reserve_exact(ids.len() * self.dtype.itemsize());
            self.dtype.encode(ids, &mut stream.ids)?;
            if self.with_types {
                stream.types = token_types(&stream.lengths, ids.len());
            }
        }
        Ok(Item::Block(packed))
    }

    /// Whether an input's records are lines of text.
    pub(in crate::pipeline) fn is_text(&self, file: usize) -> bool {
        self.texts.is_lines(file)
    }

    fn tokenize(
        &self,
        texts: &[Cow<'_, str>],
        ids: &mut [Vec<u32>],
        streams: &mut [TokenStream],
    ) -> Result<Fate> {
        if texts.iter().all(|text| text.is_empty()) {
            return Ok(Fate::Dropped("empty text"));
        }
        let before: Vec<usize> = ids.iter().map(Vec::len).collect();
        // An empty field stays empty, whatever the tokenizer adds to texts.
        for (text, ids) in texts.iter().zip(ids.iter_mut()).filter(|(text, _)| !text.is_empty()) {
            self.tokenizer.encode_open(text, ids)?;
        }
        if ids.iter().zip(&before).all(|(ids, before)| ids.len() == *before) {
            return Ok(Fate::Dropped("no tokens"));
        }
        for ((ids, before), stream) in ids.iter_mut().zip(&before).zip(streams) {
            // Megatron's tools leave a document of no tokens without an end, too.
            if self.append_eos && ids.len() > *before {
                ids.push(self.tokenizer.special()?.eos);
            }
            stream.lengths.push(length(ids.len() - before)?);
        }
        let text_bytes = texts.iter().map(|text| text.len() as u64).sum();
        Ok(Fate::Kept { text_bytes, articles: 1, chats: ChatCounts::default() })
    }

    fn pack_pairs(
        &self,
        reader: &PairReader,
        articles: &mut Articles,
        block: &Block,
    ) -> Result<Item<Packed>> {
        articles.ids.reserve(block.len());
        let mut outcomes = Vec::new();
        block.for_each(|record| {
            let fate = if self.is_text(block.file) {
                self.line(record, articles)?
            } else if is_blank(record.bytes) {
                Fate::Dropped("blank line")
            } else {
                match reader.read(record.bytes) {
                    Ok(pairs) => self.record(&pairs, articles)?,
                    Err(reason) => self.bad(reason, record),
                }
            };
            Outcome::push(&mut outcomes, record.next_offset, fate);
            Ok::<(), Error>(())
        })?;
        self.finish(block, outcomes, articles)
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

    /// A line of text, its newline included: one completion (GD-03).
    fn line(&self, record: Record<'_>, articles: &mut Articles) -> Result<Fate> {
        let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
        let Ok(text) = simdutf8::basic::from_utf8(line) else {
            return Ok(self.bad(invalid_utf8(record.bytes), record));
        };
        let has_newline = record.next_offset > record.offset + record.bytes.len() as u64;
        let completion = if has_newline { Cow::Owned(format!("{text}\n")) } else { Cow::Borrowed(text) };
        let prompt = Cow::Borrowed("");
        self.record(&[Some(Pair { prompt, completion, category: -1, drops_bos: false })], articles)
    }

    /// The pairs of one record become articles (SYSTEMS 2.3).
    fn record(&self, pairs: &[Option<Pair<'_>>], articles: &mut Articles) -> Result<Fate> {
        let (before, mut text_bytes) = (articles.lengths.len(), 0);
        if pairs.is_empty() {
            return Ok(Fate::Dropped("empty list"));
        }
        for (number, pair) in pairs.iter().enumerate() {
            if let Some(pair) = pair {
                text_bytes += (pair.prompt.len() + pair.completion.len()) as u64;
                self.pair(pair, articles)?;
            }
            if number + 1 == pairs.len() {
                articles.mark_separator();
                articles.close()?;
            } else if self.packing_boundary == Boundary::PromptCompletionPair {
                articles.close()?;
            }
        }
        let count = (articles.lengths.len() - before) as u64;
        Ok(match count {
            0 if pairs.iter().all(Option::is_none) => Fate::Dropped("empty completion"),
            0 => Fate::Dropped("no tokens"),
            _ => Fate::Kept { text_bytes, articles: count, chats: ChatCounts::default() },
        })
    }

    fn pair(&self, pair: &Pair<'_>, articles: &mut Articles) -> Result<()> {
        let special = self.tokenizer.special()?;
        let start = articles.ids.len();
        let ids = &mut articles.ids;
        if !pair.prompt.is_empty() {
            self.tokenizer.encode(&pair.prompt, ids)?;
            drop_eos(ids, start, special.eos);
            // The template writes its own.
            if pair.drops_bos && special.bos.is_some() && ids.get(start).copied() == special.bos {
                ids.remove(start);
            }
        }
        let prompt_end = ids.len();
        if !pair.completion.is_empty() {
            self.tokenizer.encode(&pair.completion, ids)?;
            if !pair.prompt.is_empty() && ids.get(prompt_end).copied() == special.bos && special.bos.is_some()
            {
                ids.remove(prompt_end);
            }
            drop_eos(ids, prompt_end, special.eos);
        }
        if self.append_eos && ids.len() > start {
            ids.push(special.eos);
        }
        let end = ids.len();
        articles.types.resize(prompt_end, PROMPT);
        articles.types.resize(end, COMPLETION);
        if self.with_categories {
            articles.categories.resize(end, pair.category.cast_unsigned());
        }
        if self.attention_boundary == Boundary::PromptCompletionPair {
            articles.mark_separator();
        }
        Ok(())
    }
}

impl Articles {
    /// Forgets everything, but keeps the memory.
    fn clear(&mut self) {
        for list in [&mut self.ids, &mut self.types, &mut self.categories] {
            list.clear();
        }
        self.lengths.clear();
        self.start = 0;
    }

    /// The last token of what is open separates it from what follows.
    pub(in crate::pipeline) fn mark_separator(&mut self) {
        if self.types.len() > self.start
            && let Some(last) = self.types.last_mut()
        {
            *last = SEPARATOR;
        }
    }

    /// Ends the open article, if there is anything in it.
    pub(in crate::pipeline) fn close(&mut self) -> Result<()> {
        if self.ids.len() > self.start {
            self.lengths.push(length(self.ids.len() - self.start)?);
            self.start = self.ids.len();
        }
        Ok(())
    }
}

/// Drops one end token of the tokenizer's own, or of the text's.
fn drop_eos(ids: &mut Vec<u32>, start: usize, eos: u32) {
    if ids.len() > start && ids.last() == Some(&eos) {
        ids.pop();
    }
}

fn length(tokens: usize) -> Result<u32> {
    u32::try_from(tokens).map_err(|_| Error::config("inputs", "a document has over 2^32 tokens"))
}

/// Types of a stream of documents: all trained on, and each one's last token a separator.
fn token_types(lengths: &[u32], num_tokens: usize) -> Vec<u8> {
    let mut out = COMPLETION.to_le_bytes().repeat(num_tokens);
    let mut end = 0;
    for &length in lengths {
        end += length as usize * 4;
        if length > 0 {
            out[end - 4..end].copy_from_slice(&SEPARATOR.to_le_bytes());
        }
    }
    out
}
