//! What the pool makes of a block of records, whatever kind they are.

use super::chats::ChatReader;
use super::encoder::Encoder;
use super::options::{RecordConfig, RecordKind};
use super::packed::{Articles, Packed};
use super::pairs::PairPacker;
use super::texts::TextReader;
use crate::document::Block;
use crate::error::Result;
use crate::json_fields::FieldPath;
use crate::pipeline::dedup::verdict_file::Verdicts;
use crate::pipeline::feed::Item;
use crate::sources::Format;
use crate::stages::RecordSource;

/// What all workers share.
pub(in crate::pipeline) struct Worker<'run> {
    encoder: Encoder<'run>,
    records: Records<'run>,
}

/// What records are.
enum Records<'run> {
    /// The flag says whether token types are wanted; records with a verdict are dropped.
    Texts(TextReader<'run>, bool, Option<Verdicts>),
    Pairs(PairPacker),
    Chats(ChatReader),
}

impl<'run> Worker<'run> {
    /// A worker for inputs of these formats. Token types come with texts if `with_types`, with all else always.
    ///
    /// # Errors
    /// Options that cannot work.
    pub(in crate::pipeline) fn new(
        config: &RecordConfig,
        encoder: Encoder<'run>,
        fields: &'run [FieldPath],
        formats: Vec<Format>,
        with_types: bool,
    ) -> Result<Self> {
        let records = if config.record == RecordKind::PromptCompletion {
            Records::Pairs(PairPacker::new(config, formats)?)
        } else if let Some(chats) = &config.chats {
            Records::Chats(ChatReader::new(chats, encoder.tokenizer, formats)?)
        } else {
            let source = config.source.as_ref().map(RecordSource::reader);
            Records::Texts(TextReader { fields, formats, source }, with_types, None)
        };
        Ok(Self { encoder, records })
    }

    /// Drops the records of texts that have a verdict.
    pub(in crate::pipeline) fn drop_by(&mut self, found: Verdicts) {
        if let Records::Texts(_, _, verdicts) = &mut self.records {
            *verdicts = Some(found);
        }
    }

    /// What becomes of a block. `articles` is memory that is used again and again.
    pub(in crate::pipeline) fn pack(&self, articles: &mut Articles, block: &Block) -> Result<Item<Packed>> {
        match &self.records {
            Records::Pairs(packer) => packer.pack(&self.encoder, articles, block),
            Records::Chats(reader) => reader.pack(&self.encoder, articles, block),
            Records::Texts(reader, with_types, verdicts) => {
                let how = (*with_types, verdicts.as_ref());
                reader.pack(&self.encoder, how, &mut articles.fields, block)
            }
        }
    }
}
