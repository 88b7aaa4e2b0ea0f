//! Texts become documents: named fields of JSON, a line, or what a source of texts makes of a record.

use std::borrow::Cow;

use super::encoder::Encoder;
use super::packed::{Packed, length};
use super::sentences::sentences;
use crate::conversation::Document;
use crate::document::{BadRecord, Block, Record, is_blank};
use crate::error::{Error, Result};
use crate::formats::hdf5_rows::TokenStream;
use crate::json_fields::{FieldPath, Notes, extract, invalid_utf8};
use crate::key_log::KeyLog;
use crate::ledger::BLANK;
use crate::packing::types::{COMPLETION, SEPARATOR};
use crate::pipeline::dedup::verdict_file::{Verdict as Decided, Verdicts};
use crate::pipeline::feed::Item;
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::{Fate, Outcome};
use crate::sources::Format;
use crate::stages::{RecordReader, Verdict};

/// Why a record without any text is left out.
pub(in crate::pipeline) const EMPTY: &str = "empty text";

/// Where the texts of records are.
pub(in crate::pipeline) struct TextReader<'run> {
    pub(in crate::pipeline) fields: &'run [FieldPath],
    /// One for each input.
    pub(in crate::pipeline) formats: Vec<Format>,
    /// Reads records of a known source, in place of the fields.
    pub(in crate::pipeline) source: Option<Box<dyn RecordReader>>,
}

/// What a record holds.
pub(in crate::pipeline) enum Texts<'record> {
    /// A text for each field.
    Found(Vec<Cow<'record, str>>),
    /// Nothing, and why.
    Dropped(&'static str),
}

impl TextReader<'_> {
    /// Whether an input's records are lines of text.
    pub(in crate::pipeline) fn is_lines(&self, file: usize) -> bool {
        self.formats[file] == Format::Text
    }

    /// The record's texts, one per field.
    pub(in crate::pipeline) fn read<'record>(
        &self,
        file: usize,
        record: Record<'record>,
    ) -> std::result::Result<Texts<'record>, BadRecord> {
        self.read_noting(file, record, None)
    }

    /// The same, and takes note of the keys that are not read.
    fn read_noting<'record>(
        &self,
        file: usize,
        record: Record<'record>,
        mut notes: Notes<'_, '_>,
    ) -> std::result::Result<Texts<'record>, BadRecord> {
        if is_blank(record.bytes) {
            return Ok(Texts::Dropped(BLANK));
        }
        if let Some(source) = &self.source {
            let record = simdutf8::basic::from_utf8(record.bytes).map_err(|_| invalid_utf8(record.bytes))?;
            let read = match notes.as_deref_mut() {
                Some(log) => source.read_noting(record, log),
                None => source.read(record),
            };
            return match read? {
                Verdict::Drop(reason) => Ok(Texts::Dropped(reason)),
                Verdict::Keep(documents) => documents
                    .into_iter()
                    .map(text_of)
                    .collect::<std::result::Result<_, _>>()
                    .map(Texts::Found),
                Verdict::Node(_) => Err(BadRecord::WrongForm("a message of a tree".into())),
            };
        }
        if !self.is_lines(file) {
            return extract(record.bytes, self.fields, notes).map(Texts::Found);
        }
        let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
        let text = simdutf8::basic::from_utf8(line).map_err(|_| invalid_utf8(line))?;
        Ok(Texts::Found(vec![text.into(); self.fields.len()]))
    }

    /// What becomes of a block; `verdicts` say which of its records are dropped.
    pub(in crate::pipeline) fn pack(
        &self,
        encoder: &Encoder<'_>,
        (with_types, verdicts): (bool, Option<&Verdicts>),
        ids: &mut Vec<Vec<u32>>,
        block: &Block,
    ) -> Result<Item<Packed>> {
        let mut packed = Packed {
            file: block.file,
            outcomes: Vec::new(),
            streams: self.fields.iter().map(|_| TokenStream::default()).collect(),
        };
        ids.resize_with(self.fields.len(), Vec::new);
        ids.iter_mut().for_each(Vec::clear);
        let decided = match verdicts {
            Some(verdicts) => verdicts.between(block.file, block.offset, block.end_offset())?,
            None => Vec::new(),
        };
        let mut decided = decided.into_iter().peekable();
        let (mut is_changed, mut log) = (false, KeyLog::default());
        block.for_each(|record| {
            let verdict = decided.next_if(|(offset, _)| *offset == record.offset);
            let fate = if let Some((_, Decided::Drop(why))) = verdict {
                Fate::Dropped(why.name())
            } else {
                log.begin();
                let texts = self.read_noting(block.file, record, Some(&mut log));
                // The first pass knows all bad records.
                is_changed |= verdicts.is_some() && verdict.is_some() != texts.is_err();
                match texts {
                    Ok(Texts::Dropped(reason)) => Fate::Dropped(reason),
                    Ok(Texts::Found(texts)) => {
                        match Self::tokenize(encoder, &texts, ids, (&mut packed.streams, &mut log))? {
                            Ok(fate) => fate,
                            Err(reason) => encoder.bad(reason, record),
                        }
                    }
                    Err(reason) => encoder.bad(reason, record),
                }
            };
            Outcome::push(&mut packed.outcomes, record.next_offset, fate);
            Ok::<(), Error>(())
        })?;
        if let Some(verdicts) = verdicts.filter(|_| is_changed || decided.next().is_some()) {
            return Err(verdicts.changed(block.file));
        }
        for (stream, ids) in packed.streams.iter_mut().zip(&*ids) {
            stream.ids.reserve_exact(ids.len() * encoder.dtype.itemsize());
            encoder.dtype.encode(ids, &mut stream.ids)?;
            if with_types {
                stream.types = token_types(&stream.lengths, ids.len());
            }
        }
        Ok(Item::Block(packed))
    }

    fn tokenize(
        encoder: &Encoder<'_>,
        texts: &[Cow<'_, str>],
        ids: &mut [Vec<u32>],
        (streams, log): (&mut [TokenStream], &mut KeyLog<'_>),
    ) -> Result<std::result::Result<Fate, BadRecord>> {
        if texts.iter().all(|text| text.is_empty()) {
            return Ok(Ok(Fate::Dropped(EMPTY)));
        }
        let special = texts.iter().map(|text| encoder.special.count(text)).collect();
        let special: Vec<u64> = match special {
            Ok(special) => special,
            Err(reason) => return Ok(Err(reason)),
        };
        let before: Vec<usize> = ids.iter().map(Vec::len).collect();
        let mut ends = vec![Vec::new(); if encoder.split_sentences { texts.len() } else { 0 }];
        // An empty field stays empty, whatever the tokenizer adds to texts.
        for (field, (text, ids)) in
            texts.iter().zip(ids.iter_mut()).enumerate().filter(|(_, (text, _))| !text.is_empty())
        {
            let Some(ends) = ends.get_mut(field) else {
                encoder.special.encode_open(encoder.tokenizer, (text, special[field]), ids)?;
                continue;
            };
            for sentence in sentences(text) {
                let start = ids.len();
                encoder.special.encode_open(encoder.tokenizer, (sentence, special[field]), ids)?;
                if ids.len() > start {
                    ends.push(ids.len());
                }
            }
        }
        if ids.iter().zip(&before).all(|(ids, before)| ids.len() == *before) {
            return Ok(Ok(Fate::Dropped("no tokens")));
        }
        for (field, ((ids, before), stream)) in ids.iter_mut().zip(&before).zip(streams).enumerate() {
            // Megatron's tools leave a document of no tokens without an end, too.
            if encoder.append_eos && ids.len() > *before {
                ids.push(encoder.tokenizer.special()?.eos);
            }
            stream.lengths.push(length(ids.len() - before)?);
            let Some(ends) = ends.get_mut(field) else { continue };
            // The end token is of the last sentence.
            if let Some(last) = ends.last_mut() {
                *last = ids.len();
            }
            stream.num_sequences.push(length(ends.len())?);
            let mut start = *before;
            for &mut end in ends {
                stream.sequences.push(length(end - start)?);
                start = end;
            }
        }
        let text_bytes = texts.iter().map(|text| text.len() as u64).sum();
        let chats = ChatCounts::of_special_tokens(special.iter().sum());
        Ok(Ok(Fate::Kept { text_bytes, articles: 1, chats, unread: log.unread() }))
    }
}

fn text_of(document: Document) -> std::result::Result<Cow<'static, str>, BadRecord> {
    match document {
        Document::Text(text) => Ok(text.into()),
        Document::Chat(_) | Document::Preference(_) => {
            Err(BadRecord::WrongForm("a conversation, not a text".into()))
        }
    }
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
