//! Arrow files (`.arrow`, `.feather`, `.ipc`), in the form of a stream or of a file, become one JSON record per row.
//!
//! A file is a stream between two marks, with a list of its batches behind it. `datasets` writes streams.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Take};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::{ArrowError, SchemaRef};

use super::columns::Columns;
use super::input::Input;
use super::json_rows::{check_columns, send_rows, slices};
use super::read::{Piece, PieceSender};
use crate::error::{Error, Result};
use crate::hash::hash_file;
use crate::io::input::READ_BYTES;
use crate::progress::Progress;
use crate::token;

/// What a file begins and ends with, and the bytes of its first mark.
const MAGIC: &[u8] = b"ARROW1";
const START_BYTES: u64 = 8;
/// The length of the list of batches, and the last mark.
const END_BYTES: usize = 4 + MAGIC.len();

/// Reads an Arrow file from row `start` on; only `columns`, if any are named.
///
/// # Errors
/// A damaged or truncated file, or one without the columns.
pub(super) fn read_arrow(
    input: &Input,
    columns: &Columns,
    start: u64,
    out: &PieceSender,
    progress: &Progress,
) -> Result<()> {
    let (_, hasher) = hash_file(input.file(), Some(input.size), progress)?;
    let mut batches = Batches::open(&input.path, input.file(), input.size)?;
    let schema = batches.read_schema()?;
    check_columns(&input.path, &schema, columns)?;
    let fields = schema.fields().iter().enumerate();
    let wanted: Vec<usize> =
        fields.filter(|(_, field)| columns.reads(field.name())).map(|(at, _)| at).collect();
    let projected = slices(&mut batches).map(|batch| batch?.project(&wanted));
    let rows = send_rows(&input.path, (projected, &columns.others(&schema)), (0, start), out, progress)?;
    batches.check_complete()?;
    Progress::add(&progress.read_bytes, input.size);
    out.send_ready(Ok(Piece::End { hash: hasher.hex(), content_bytes: rows }))
}

/// The batches of a file, decoded as it is read.
struct Batches<'run> {
    path: &'run Path,
    stream: Take<File>,
    decoder: StreamDecoder,
    buffer: Buffer,
    /// The first batch, if it was found with the schema.
    first: Option<RecordBatch>,
    found: u64,
    /// Where the stream ends.
    end: u64,
    /// Batches by the list behind them, in a file.
    listed: Option<u64>,
}

impl<'run> Batches<'run> {
    fn open(path: &'run Path, place: &Path, size: u64) -> Result<Self> {
        let mut file = File::open(place).map_err(Error::io(path))?;
        let mut magic = Vec::new();
        file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(Error::io(path))?;
        if magic.starts_with(b"FEA1") {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                found: "Feather of version 1".into(),
                supported: "Arrow files and streams: write it again with pyarrow.feather.write_feather"
                    .into(),
            });
        }
        let mut span = (0, size);
        let mut listed = None;
        if magic == MAGIC {
            let (end, batches) = read_list(path, &mut file, size)?;
            (span, listed) = ((START_BYTES, end), Some(batches));
        }
        file.seek(SeekFrom::Start(span.0)).map_err(Error::io(path))?;
        let stream = file.take(span.1 - span.0);
        let (decoder, buffer) = (StreamDecoder::new(), Buffer::default());
        Ok(Self { path, stream, decoder, buffer, first: None, found: 0, end: span.1, listed })
    }

    fn read_schema(&mut self) -> Result<SchemaRef> {
        let damaged = |error: &ArrowError| Error::corrupt(self.path, 0, format!("Arrow: {error}"));
        while self.decoder.schema().is_none() {
            match decode(&mut self.stream, &mut self.buffer, &mut self.decoder) {
                Ok(None) if self.decoder.schema().is_none() => {
                    return Err(Error::corrupt(self.path, 0, "truncated or no Arrow file: found no schema"));
                }
                Ok(batch) => self.first = batch,
                Err(error) => return Err(damaged(&error)),
            }
        }
        self.decoder.schema().ok_or_else(|| Error::Internal("a schema is gone".into()))
    }

    /// Checks that the file ended where its writer ended it.
    fn check_complete(&mut self) -> Result<()> {
        let truncated = |reason: String| Err(Error::corrupt(self.path, self.end, reason));
        match self.listed {
            Some(listed) if listed == self.found => Ok(()),
            Some(listed) => truncated(format!("the file lists {listed} batches and holds {}", self.found)),
            // Only a decoder that has seen the end takes no further byte.
            None if self.decoder.decode(&mut Buffer::from(&[0_u8][..])).is_err() => Ok(()),
            None => truncated("truncated: the mark at the end of the Arrow stream is missing".into()),
        }
    }
}

impl Iterator for Batches<'_> {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.first.take().map(Ok);
        let batch =
            first.or_else(|| decode(&mut self.stream, &mut self.buffer, &mut self.decoder).transpose())?;
        self.found += u64::from(batch.is_ok());
        Some(batch)
    }
}

/// The next batch. Messages of a length that is a lie end with the file: nothing is allocated for them ahead.
fn decode(
    stream: &mut Take<File>,
    buffer: &mut Buffer,
    decoder: &mut StreamDecoder,
) -> std::result::Result<Option<RecordBatch>, ArrowError> {
    loop {
        if buffer.is_empty() {
            let mut bytes = Vec::with_capacity(READ_BYTES);
            stream.by_ref().take(READ_BYTES as u64).read_to_end(&mut bytes)?;
            *buffer = Buffer::from_vec(bytes);
        }
        if buffer.is_empty() {
            decoder.finish()?;
            return Ok(None);
        }
        if let Some(batch) = decoder.decode(buffer)? {
            return Ok(Some(batch));
        }
    }
}

/// Where the stream in a file ends, and how many batches the list behind it has.
fn read_list(path: &Path, file: &mut File, size: u64) -> Result<(u64, u64)> {
    let truncated =
        || Error::corrupt(path, size, "truncated: the mark at the end of the Arrow file is missing");
    let mut end = [0; END_BYTES];
    let list_end =
        size.checked_sub(END_BYTES as u64).filter(|end| *end >= START_BYTES).ok_or_else(truncated)?;
    file.seek(SeekFrom::Start(list_end)).and_then(|_| file.read_exact(&mut end)).map_err(Error::io(path))?;
    let (length, mark) = end.split_at(4);
    if mark != MAGIC {
        return Err(truncated());
    }
    let length = u64::from(u32::from_le_bytes(length.try_into().unwrap_or_default()));
    let damaged = || Error::corrupt(path, list_end, "damaged list of batches at the end of the Arrow file");
    let start = list_end.checked_sub(length).filter(|start| *start >= START_BYTES).ok_or_else(damaged)?;
    let mut list = vec![0; token::index(length)];
    file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut list)).map_err(Error::io(path))?;
    let list = arrow_ipc::root_as_footer(&list).map_err(|_| damaged())?;
    Ok((start, list.recordBatches().map_or(0, |batches| batches.len()) as u64))
}
