//! Tokens of each article of the inputs, without writing anything: what a plan needs.

use std::thread::scope;

use super::articles::{Packed, Worker};
use super::books::{Fate, OnBadRecord, Outcome};
use super::feed::{Item, feed};
use super::pack::PackConfig;
use super::run::CustomReader;
use super::sealer::{cause, join};
use crate::document::{Block, Position};
use crate::error::{Error, Result};
use crate::ordered::{Pool, Results};
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::sources::{Source, SourceOptions};
use crate::token::TokenDtype;

/// Tokenizes all inputs; the lengths of all articles, in order, at 4 bytes each.
///
/// # Errors
/// As [`pack`](super::pack::pack), but for outputs. Bad records are left out when they would be quarantined.
pub fn lengths(
    config: &PackConfig,
    num_threads: usize,
    inputs: &InputList,
    custom: &CustomReader<'_>,
    progress: &Progress,
) -> Result<Vec<u32>> {
    let fields = config.fields()?;
    let tokenizer = config.tokenizer.build()?;
    let formats = inputs.inputs.iter().map(|input| input.format).collect();
    let worker = Worker::new(config, tokenizer.as_ref(), &fields, formats, TokenDtype::Int32);
    let options = SourceOptions { num_threads, start: Position::default() };
    scope(|scope| {
        let source = Source::start(scope, &inputs.inputs, options, progress, custom);
        let pool = Pool::start(scope, num_threads, || (), |(), block: Block| worker.pack(&block));
        let (sender, results) = pool.queue(2 * num_threads + 2);
        drop(pool);
        let feeder = scope.spawn(move || feed(source, &sender));
        let gathered = gather(results, config.on_bad_record, inputs, progress);
        match (gathered, join(feeder)) {
            (Ok(lengths), Ok(())) => Ok(lengths),
            (gathered, fed) => {
                let errors = [gathered.err(), fed.err()].into_iter().flatten().collect();
                Err(cause(errors).unwrap_or(Error::Interrupted))
            }
        }
    })
}

fn gather(
    results: Results<Item<Packed>>,
    on_bad_record: OnBadRecord,
    inputs: &InputList,
    progress: &Progress,
) -> Result<Vec<u32>> {
    let (mut lengths, mut line) = (Vec::new(), 0);
    for item in results {
        progress.check()?;
        let Item::Block(Packed { file, outcomes, streams }) = item? else {
            line = 0;
            continue;
        };
        Progress::add(&progress.documents, Outcome::count(&outcomes));
        for outcome in &outcomes {
            line += outcome.records;
            if let (Fate::Bad(reason, offset, _), OnBadRecord::Raise) = (&outcome.fate, on_bad_record) {
                let path = inputs.inputs[file].path.clone();
                return Err(Error::BadRecord { path, line, offset: *offset, reason: reason.to_string() });
            }
        }
        lengths.extend(streams.iter().flat_map(|stream| &stream.lengths));
    }
    Ok(lengths)
}
