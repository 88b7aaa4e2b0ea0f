//! A growing pair of Megatron files per text field, with checkpoints by time.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Map;

use super::{Checkpoint, Sink, count_tokens};
use crate::error::{Error, Result};
use crate::formats::megatron::MegatronWriter;
use crate::io::atomic::Sealed;
use crate::pipeline::books::{Books, Fate};
use crate::pipeline::manifest::OutputEntry;
use crate::pipeline::pack::{PackConfig, Packed};
use crate::pipeline::run::RunOptions;
use crate::pipeline::sealer::Sealer;
use crate::token::TokenDtype;

/// Writes `<prefix>_<field>_document.bin` and `.idx`.
#[derive(Debug)]
pub struct MegatronSink {
    names: Vec<String>,
    writers: Vec<MegatronWriter>,
    dtype: TokenDtype,
    interval: Duration,
    last: Instant,
}

impl MegatronSink {
    /// Starts the pairs anew, or goes on with them.
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
        let names: Vec<String> =
            config.text_field.iter().map(|field| pair_name(&config.prefix, field)).collect();
        let writers = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                MegatronWriter::open(&folder.join(name), dtype, checkpoint.megatron.get(at).copied())
            })
            .collect::<Result<_>>()?;
        Ok(Self { names, writers, dtype, interval, last: Instant::now() })
    }

    fn checkpoint(&mut self, books: &mut Books<'_>, sealer: &Sealer<'_, '_>) -> Result<()> {
        books.sync()?;
        let megatron = self.writers.iter_mut().map(MegatronWriter::checkpoint).collect::<Result<_>>()?;
        let checkpoint = Checkpoint { books: books.snapshot().clone(), skip_tokens: 0, megatron };
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
            if matches!(outcome.fate, Fate::Kept(_)) {
                count_tokens(&packed, document, books);
                document += 1;
            }
        }
        for (writer, stream) in self.writers.iter_mut().zip(&packed.streams) {
            writer.append(&stream.ids, &stream.lengths)?;
        }
        if self.last.elapsed() >= self.interval {
            self.checkpoint(books, sealer)?;
        }
        Ok(())
    }

    fn finish(
        mut self: Box<Self>,
        books: &mut Books<'run>,
        sealer: &Sealer<'_, 'run>,
    ) -> Result<Vec<OutputEntry>> {
        self.checkpoint(books, sealer)?;
        let mut outputs = Vec::new();
        for (name, writer) in self.names.iter().zip(self.writers) {
            let num_tokens = writer.num_tokens();
            books.ledger().tokens_out += num_tokens;
            let pair = writer.finish()?;
            outputs.extend(pair_entries(
                name,
                self.dtype,
                num_tokens,
                &pair.bin,
                (&pair.idx, pair.num_documents, pair.num_sequences),
            ));
        }
        Ok(outputs)
    }
}

/// Name of the pair of a field, without suffix.
pub fn pair_name(prefix: &str, field: &str) -> String {
    format!("{prefix}_{field}_document")
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
    let dtype = serde_json::to_value(dtype).unwrap_or_default();
    let bin_details = Map::from_iter([("dtype".to_owned(), dtype), ("tokens".to_owned(), num_tokens.into())]);
    let idx_details = Map::from_iter([
        ("documents".to_owned(), num_documents.into()),
        ("sequences".to_owned(), num_sequences.into()),
    ]);
    [entry(".bin", bin, bin_details), entry(".idx", idx, idx_details)]
}
