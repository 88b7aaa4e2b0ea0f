//! Pairs of prompt and completion become articles.

use std::borrow::Cow;

use super::encoder::Encoder;
use super::options::{Boundary, RecordConfig};
use super::packed::{Articles, Packed};
use crate::document::{Block, Record, is_blank};
use crate::error::{Error, Result};
use crate::json_fields::invalid_utf8;
use crate::key_log::KeyLog;
use crate::ledger::BLANK;
use crate::packing::types::{COMPLETION, PROMPT};
use crate::pipeline::feed::Item;
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::{Fate, Outcome};
use crate::sources::Format;
use crate::templates::prompt_completion::{Pair, PairReader};

/// Packs pairs, and lines of text as completions.
pub(in crate::pipeline) struct PairPacker {
    reader: PairReader,
    /// One for each input.
    formats: Vec<Format>,
    with_categories: bool,
    has_template: bool,
    attention_boundary: Boundary,
    packing_boundary: Boundary,
}

impl PairPacker {
    /// A packer for inputs of these formats.
    ///
    /// # Errors
    /// Options that cannot work.
    pub(in crate::pipeline) fn new(config: &RecordConfig, formats: Vec<Format>) -> Result<Self> {
        Ok(Self {
            reader: PairReader::new(config.pairs.clone())?,
            formats,
            with_categories: config.pairs.categories.is_some(),
            has_template: config.pairs.pair_template.is_some(),
            attention_boundary: config.attention_boundary,
            packing_boundary: config.packing_boundary,
        })
    }

    /// What becomes of a block.
    pub(in crate::pipeline) fn pack(
        &self,
        encoder: &Encoder<'_>,
        articles: &mut Articles,
        block: &Block,
    ) -> Result<Item<Packed>> {
        articles.ids.reserve(block.len());
        let (mut outcomes, mut log) = (Vec::new(), KeyLog::default());
        block.for_each(|record| {
            let fate = if self.formats[block.file] == Format::Text {
                self.line(encoder, record, articles)?
            } else if is_blank(record.bytes) {
                Fate::Dropped(BLANK)
            } else {
                log.begin();
                match self.reader.read(record.bytes, &mut log) {
                    Ok(pairs) => self.fate(encoder, &pairs, record, (articles, &mut log))?,
                    Err(reason) => encoder.bad(reason, record),
                }
            };
            Outcome::push(&mut outcomes, record.next_offset, fate);
            Ok::<(), Error>(())
        })?;
        encoder.finish(block, outcomes, articles)
    }

    /// A line of text, its newline included: one completion, as in `generative_data_prep`.
    fn line(&self, encoder: &Encoder<'_>, record: Record<'_>, articles: &mut Articles) -> Result<Fate> {
        let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
        let Ok(text) = simdutf8::basic::from_utf8(line) else {
            return Ok(encoder.bad(invalid_utf8(record.bytes), record));
        };
        let has_newline = record.next_offset > record.offset + record.bytes.len() as u64;
        let completion = if has_newline { Cow::Owned(format!("{text}\n")) } else { Cow::Borrowed(text) };
        let prompt = Cow::Borrowed("");
        let pair = Pair { prompt, completion, category: -1, drops_bos: false };
        self.fate(encoder, &[Some(pair)], record, (articles, &mut KeyLog::default()))
    }

    /// What becomes of the pairs of a record.
    fn fate(
        &self,
        encoder: &Encoder<'_>,
        pairs: &[Option<Pair<'_>>],
        record: Record<'_>,
        (articles, log): (&mut Articles, &mut KeyLog<'_>),
    ) -> Result<Fate> {
        let texts = pairs.iter().flatten().flat_map(|pair| [&pair.prompt, &pair.completion]);
        // The counts of a pair with a template are not known: its texts hold the template's own tokens, too.
        let special =
            if self.has_template { Ok(0) } else { texts.map(|text| encoder.special.count(text)).sum() };
        match special {
            Ok(special) => self.record(encoder, pairs, special, (articles, log)),
            Err(reason) => Ok(encoder.bad(reason, record)),
        }
    }

    /// The pairs of one record become articles. `special` is how many special tokens their texts hold.
    fn record(
        &self,
        encoder: &Encoder<'_>,
        pairs: &[Option<Pair<'_>>],
        special: u64,
        (articles, log): (&mut Articles, &mut KeyLog<'_>),
    ) -> Result<Fate> {
        let (before, mut text_bytes) = (articles.lengths.len(), 0);
        if pairs.is_empty() {
            return Ok(Fate::Dropped("empty list"));
        }
        for (number, pair) in pairs.iter().enumerate() {
            if let Some(pair) = pair {
                text_bytes += (pair.prompt.len() + pair.completion.len()) as u64;
                self.pair(encoder, pair, special, articles)?;
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
            _ => {
                let chats = ChatCounts::of_special_tokens(special);
                Fate::Kept { text_bytes, articles: count, chats, unread: log.unread() }
            }
        })
    }

    fn pair(
        &self,
        encoder: &Encoder<'_>,
        pair: &Pair<'_>,
        quotes: u64,
        articles: &mut Articles,
    ) -> Result<()> {
        let special = encoder.tokenizer.special()?;
        let start = articles.ids.len();
        let ids = &mut articles.ids;
        if !pair.prompt.is_empty() {
            encoder.special.encode(encoder.tokenizer, (&pair.prompt, quotes), ids)?;
            drop_eos(ids, start, special.eos);
            // The template writes its own.
            if pair.drops_bos && special.bos.is_some() && ids.get(start).copied() == special.bos {
                ids.remove(start);
            }
        }
        let prompt_end = ids.len();
        if !pair.completion.is_empty() {
            encoder.special.encode(encoder.tokenizer, (&pair.completion, quotes), ids)?;
            if !pair.prompt.is_empty() && ids.get(prompt_end).copied() == special.bos && special.bos.is_some()
            {
                ids.remove(prompt_end);
            }
            drop_eos(ids, prompt_end, special.eos);
        }
        if encoder.append_eos && ids.len() > start {
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

/// Drops one end token of the tokenizer's own, or of the text's.
fn drop_eos(ids: &mut Vec<u32>, start: usize, eos: u32) {
    if ids.len() > start && ids.last() == Some(&eos) {
        ids.pop();
    }
}
