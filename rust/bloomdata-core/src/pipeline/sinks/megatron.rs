//! A growing pair of Megatron files per text field, with checkpoints by time.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Map;

use super::{Checkpoint, Finished, Sink, count_tokens, histogram_fact};
use crate::error::{Error, Result};
use crate::formats::megatron::MegatronWriter;
use crate::io::atomic::Sealed;
use crate::pipeline::articles::packed::Packed;
use crate::pipeline::folder::books::Books;
use crate::pipeline::folder::manifest::OutputEntry;
use crate::pipeline::folder::outcome::Fate;
use crate::pipeline::folder::run::RunOptions;
use crate::pipeline::folder::sealer::Sealer;
use crate::pipeline::pack_options::{PackConfig, pair_names};
use crate::token::{TokenDtype, index};

/// Writes `<prefix>_<field>_document.bin` and `.idx` (`_sentence` if texts are split); for pairs of prompt and completion also their token types, as a
/// pair of one byte a token: `<prefix>_<field>_token_types`.
#[derive(Debug)]
pub struct MegatronSink {
    names: Vec<String>,
    writers: Vec<MegatronWriter>,
    dtype: TokenDtype,
    num_articles: u64,
    interval: Duration,
    last: Instant,
}

impl MegatronSink {
    /// Starts the pairs anew, or resumes them.
    ///
    /// # Errors
    /// The system's reason, or an interval that is no time.
    pub fn open(
        config: &PackConfig,
        options: &RunOptions,
        folder: &Path,
        dtype: TokenDtype,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let interval = Duration::try_from_secs_f64(options.checkpoint_seconds)
            .map_err(|error| Error::config("checkpoint_seconds", error.to_string()))?;
        let names = pair_names(config);
        let writers = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let dtype = if at < config.records.text_field.len() { dtype } else { TokenDtype::Uint8 };
                MegatronWriter::open(&folder.join(name), dtype, checkpoint.megatron.get(at).copied())
            })
            .collect::<Result<_>>()?;
        let num_articles = checkpoint.num_articles;
        Ok(Self { names, writers, dtype, num_articles, interval, last: Instant::now() })
    }

    fn checkpoint(&mut self, books: &mut Books<'_>, sealer: &Sealer<'_, '_>) -> Result<()> {
        books.sync()?;
        let megatron = self.writers.iter_mut().map(MegatronWriter::checkpoint).collect::<Result<_>>()?;
        let checkpoint = Checkpoint {
            books: books.snapshot().clone(),
            num_articles: self.num_articles,
            rows: None,
            megatron,
        };
        sealer.send(None, Box::new(|| Ok(Vec::new())), books.take_finished(), &checkpoint)?;
        self.last = Instant::now();
        Ok(())
    }
}

impl<'run> Sink<'run> for MegatronSink {
    fn append(&mut self, packed: Packed, books: &mut Books<'run>, sealer: &Sealer<'_, 'run>) -> Result<()> {
        let mut document = 0;
        for outcome in &packed.outcomes {
            books.settle(packed.file, outcome)?;
            if let Fate::Kept { articles, .. } = outcome.fate {
                let end = document + index(articles);
                count_tokens(&packed, document..end, books);
                document = end;
                self.num_articles += articles;
            }
        }
        for (writer, stream) in self.writers.iter_mut().zip(&packed.streams) {
            if stream.num_sequences.is_empty() {
                writer.append(&stream.ids, &stream.lengths)?;
            } else {
                writer.append_documents(&stream.ids, &stream.sequences, &stream.num_sequences)?;
            }
        }
        if let ([_, types], [stream]) = (&mut self.writers[..], &packed.streams[..])
            && !stream.types.is_empty()
        {
            let codes: Vec<u8> = stream.types.iter().copied().step_by(4).collect();
            types.append(&codes, &stream.lengths)?;
        }
        if self.last.elapsed() >= self.interval {
            self.checkpoint(books, sealer)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, books: &mut Books<'run>, sealer: &Sealer<'_, 'run>) -> Result<Finished> {
        self.checkpoint(books, sealer)?;
        let mut outputs = Vec::new();
        for (name, writer) in self.names.iter().zip(self.writers) {
            let (num_tokens, dtype) = (writer.num_tokens(), writer.dtype());
            if dtype == self.dtype {
                books.ledger().tokens_out += num_tokens;
            }
            let pair = writer.finish()?;
            outputs.extend(pair_entries(
                name,
                dtype,
                num_tokens,
                &pair.bin,
                (&pair.idx, pair.num_documents, pair.num_sequences),
            ));
        }
        let articles = ("articles".to_owned(), self.num_articles.into());
        Ok((outputs, Map::from_iter([articles, histogram_fact(books)])))
    }
}

/// What the manifest says of a pair.
pub fn pair_entries(
    name: &str,
    dtype: TokenDtype,
    num_tokens: u64,
    bin: &Sealed,
    (idx, num_documents, num_sequences): (&Sealed, u64, u64),
) -> [OutputEntry; 2] {
    let entry = |suffix: &str, sealed: &Sealed, details| OutputEntry {
        path: format!("{name}{suffix}"),
        size: sealed.size,
        hash: sealed.hash.clone(),
        details,
    };
    let count = if dtype == TokenDtype::Uint8 { "token_types" } else { "tokens" };
    let dtype = serde_json::to_value(dtype).unwrap_or_default();
    let bin_details = Map::from_iter([("dtype".to_owned(), dtype), (count.to_owned(), num_tokens.into())]);
    let idx_details = Map::from_iter([
        ("documents".to_owned(), num_documents.into()),
        ("sequences".to_owned(), num_sequences.into()),
    ]);
    [entry(".bin", bin, bin_details), entry(".idx", idx, idx_details)]
}
