//! Pieces of all inputs become blocks of whole records, in order.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};

use super::expand::expand;
use super::input::Input;
use super::ranges::LineSkipper;
use super::read::{Piece, PieceSender, read_input};
use crate::document::{BYTE_ORDER_MARK, Block, Position};
use crate::error::{Error, Result};
use crate::io::compression::{MAGIC_BYTES, check_content};
use crate::io::zstd_frames::{FrameJob, decoder};
use crate::ordered::{Pool, Results};
use crate::progress::Progress;
use crate::token::index;

/// How to read.
#[derive(Debug, Clone, Copy)]
pub struct SourceOptions {
    /// Threads that decompress zstd frames, and inputs that may be open at once.
    pub num_threads: usize,
    /// Where to start.
    pub start: Position,
}

/// What a source yields.
#[derive(Debug)]
pub enum Event {
    /// Whole records.
    Block(Block),
    /// An input was read to its end.
    End {
        /// Index of the input.
        file: usize,
        /// BLAKE3 of the file as stored, in hex.
        hash: String,
        /// Its decompressed bytes; rows for tables.
        content_bytes: u64,
    },
}

/// All inputs as one stream of events.
#[derive(Debug)]
pub struct Source<'run> {
    opened: Receiver<(usize, Results<Piece>)>,
    closed: Arc<AtomicBool>,
    current: Option<(usize, Results<Piece>)>,
    pending: VecDeque<Event>,
    start: Position,
    inputs: &'run [Input],
    skipper: LineSkipper,
    /// Bytes of a line that the next piece continues, and its offset.
    carry: Vec<u8>,
    offset: u64,
}

impl<'run> Source<'run> {
    /// Starts reading `inputs` in the background of `scope`. `custom` reads the inputs that it knows itself (tables)
    /// and returns whether it did.
    pub fn start<'scope, 'env: 'run>(
        scope: &'scope Scope<'scope, 'env>,
        inputs: &'env [Input],
        options: SourceOptions,
        progress: &'env Progress,
        custom: impl Fn(usize, &Input, u64, &PieceSender, &Progress) -> Result<bool> + Send + Sync + 'env,
    ) -> Self {
        let num_readers = options.num_threads.min(inputs.len()).max(1);
        // One file needs a queue as long as there are decoders; many files share the work, and the memory.
        let queue_capacity = if num_readers == 1 { options.num_threads + 2 } else { 4 };
        let frames = Pool::start(
            scope,
            options.num_threads,
            || None,
            |context, job: FrameJob| {
                let context = match context {
                    Some(context) => context,
                    None => context.insert(decoder(&job.path)?),
                };
                let bytes = job.decode(context)?;
                if job.content_offset == 0 {
                    check_content(&job.path, &bytes[..bytes.len().min(MAGIC_BYTES)])?;
                }
                Ok(Piece::Bytes { offset: job.content_offset, bytes })
            },
        );
        let (opened_sender, opened) = bounded(num_readers);
        let custom = Arc::new(custom);
        let closed = Arc::new(AtomicBool::new(false));
        let next =
            Next { file: options.start.file, frames, opened: opened_sender, closed: Arc::clone(&closed) };
        let next = Arc::new(Mutex::new(next));
        for _ in 0..num_readers {
            let (next, custom) = (Arc::clone(&next), Arc::clone(&custom));
            scope.spawn(move || {
                while let Some((file, pieces)) = open_next(&next, inputs.len(), queue_capacity) {
                    let start = start_of(&inputs[file], file, options.start);
                    let done = custom(file, &inputs[file], start, &pieces, progress);
                    let result = match done {
                        Ok(true) => Ok(()),
                        Ok(false) => read_input(&inputs[file], start, &pieces, progress),
                        Err(error) => Err(error),
                    };
                    if let Err(error) = result {
                        // Delivered in order, so that the first damaged file is the one that is reported.
                        let _ = pieces.send_ready(Err(error));
                        break;
                    }
                }
            });
        }
        Self {
            opened,
            closed,
            current: None,
            pending: VecDeque::new(),
            start: options.start,
            inputs,
            skipper: LineSkipper::default(),
            carry: Vec::new(),
            offset: 0,
        }
    }

    fn advance(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if self.current.is_none() {
                let Ok(next) = self.opened.recv() else { return Ok(None) };
                let input = &self.inputs[next.0];
                self.offset = start_of(input, next.0, self.start);
                self.skipper = LineSkipper::new(input, self.offset);
                self.current = Some(next);
            }
            let Some((file, pieces)) = &mut self.current else { continue };
            let file = *file;
            match pieces.next() {
                Some(Ok(piece)) => self.take(file, piece)?,
                Some(Err(error)) => return Err(error),
                None => return Err(Error::Internal("an input ended without its last piece".into())),
            }
        }
    }

    fn take(&mut self, file: usize, piece: Piece) -> Result<()> {
        match piece {
            Piece::Bytes { offset, bytes } => self.take_bytes(file, offset, bytes),
            Piece::Records { bytes, bounds } => {
                let end = bytes.len();
                let offset = bounds.first().map_or(0, |bound| bound.offset);
                let bounds = Some(bounds);
                self.pending.push_back(Event::Block(Block {
                    file,
                    offset,
                    bytes,
                    end,
                    bounds,
                    ..Block::default()
                }));
                Ok(())
            }
            Piece::End { hash, content_bytes } => {
                if !self.carry.is_empty() {
                    let head = std::mem::take(&mut self.carry);
                    let block = Block { file, offset: self.offset, head, ..Block::default() };
                    self.pending.push_back(Event::Block(block));
                }
                self.pending.push_back(Event::End { file, hash, content_bytes });
                self.current = None;
                Ok(())
            }
        }
    }
}

impl Source<'_> {
    /// Cuts `bytes` after its last newline; the rest is kept for the next piece.
    fn take_bytes(&mut self, file: usize, mut offset: u64, mut bytes: Vec<u8>) -> Result<()> {
        if self.offset == 0 && (1..BYTE_ORDER_MARK.len()).contains(&self.carry.len()) {
            // So little of the file that it may be a part of a byte order mark.
            bytes.splice(..0, self.carry.drain(..));
            offset = 0;
        }
        let expected = self.offset + self.carry.len() as u64;
        if offset < expected && offset + bytes.len() as u64 <= expected {
            return Ok(());
        }
        let mut from = match expected.checked_sub(offset) {
            Some(skip) => index(skip).min(bytes.len()),
            None => return Err(Error::Internal("bytes are missing between two pieces".into())),
        };
        if expected == 0 {
            if BYTE_ORDER_MARK.starts_with(&bytes) && bytes.len() < BYTE_ORDER_MARK.len() {
                self.carry = bytes;
                return Ok(());
            }
            if bytes.starts_with(BYTE_ORDER_MARK) {
                from = BYTE_ORDER_MARK.len();
                self.offset = from as u64;
            }
        }
        let skipped = self.skipper.skip(&bytes[from..]);
        from += skipped;
        self.offset += skipped as u64;
        let mut head = Vec::new();
        let mut block_offset = offset + from as u64;
        if !self.carry.is_empty() {
            block_offset = self.offset;
            let Some(at) = memchr::memchr(b'\n', &bytes[from..]) else {
                self.carry.extend_from_slice(&bytes[from..]);
                return Ok(());
            };
            head = std::mem::take(&mut self.carry);
            head.extend_from_slice(&bytes[from..=from + at]);
            from += at + 1;
        }
        let end = memchr::memrchr(b'\n', &bytes[from..]).map_or(from, |at| from + at + 1);
        self.carry.extend_from_slice(&bytes[end..]);
        self.offset = offset + end as u64;
        let block = Block { file, offset: block_offset, head, bytes, start: from, end, bounds: None };
        if !block.is_empty() {
            self.pending.push_back(Event::Block(block));
        }
        Ok(())
    }
}

impl Iterator for Source<'_> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// Where the content of an input is read from: from where an earlier attempt stopped, else from its start.
fn start_of(input: &Input, file: usize, start: Position) -> u64 {
    let first = input.first_offset();
    if file == start.file { start.offset.max(first) } else { first }
}

/// Records of one file, from number `first` on, at most `count`; for people to look at.
///
/// # Errors
/// Everything that can be wrong with a file.
pub fn read_lines(path: &Path, first: u64, count: usize, progress: &Progress) -> Result<Vec<String>> {
    let list = expand(&[path.to_string_lossy().into_owned()], None)?;
    let options = SourceOptions { num_threads: 1, start: Position::default() };
    std::thread::scope(|scope| {
        let source = Source::start(scope, &list.inputs, options, progress, |_, _, _, _, _| Ok(false));
        let (mut number, mut lines) = (0, Vec::new());
        for event in source {
            if let Event::Block(block) = event? {
                let done = block.for_each(|record| {
                    if number >= first {
                        lines.push(String::from_utf8_lossy(record.bytes).into_owned());
                    }
                    number += 1;
                    if lines.len() < count { Ok(()) } else { Err(()) }
                });
                if done.is_err() {
                    break;
                }
            }
        }
        Ok(lines)
    })
}

impl Drop for Source<'_> {
    /// Releases readers that wait for room in queues without a receiver. A bounded channel keeps what is in it
    /// when its receiver is dropped, so it must be emptied; what comes later is noticed by the one who sends it.
    fn drop(&mut self) {
        self.closed.store(true, SeqCst);
        while self.opened.try_recv().is_ok() {}
    }
}

/// What readers share.
struct Next {
    /// The next input to be opened.
    file: usize,
    /// Decoders of frames.
    frames: Pool<FrameJob, Piece>,
    /// Where opened inputs are announced, in order.
    opened: Channel<(usize, Results<Piece>)>,
    /// Set when the receiver is gone.
    closed: Arc<AtomicBool>,
}

fn open_next(next: &Mutex<Next>, num_inputs: usize, queue_capacity: usize) -> Option<(usize, PieceSender)> {
    let mut next = next.lock().ok()?;
    let file = next.file;
    if file >= num_inputs {
        return None;
    }
    next.file += 1;
    let (sender, results) = next.frames.queue(queue_capacity);
    // Held under the lock: inputs must be announced in order.
    next.opened.send((file, results)).ok()?;
    if next.closed.load(SeqCst) { None } else { Some((file, sender)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_dropped_early_lets_its_threads_go() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..4 {
            std::fs::write(folder.path().join(format!("{number}.jsonl")), "{}\n".repeat(4 << 20)).unwrap();
        }
        let list = expand(&[folder.path().display().to_string()], None).unwrap();
        for events in 0..6 {
            let progress = Progress::default();
            std::thread::scope(|scope| {
                let options = SourceOptions { num_threads: 2, start: Position::default() };
                let source =
                    Source::start(scope, &list.inputs, options, &progress, |_, _, _, _, _| Ok(false));
                assert_eq!(source.take(events).flatten().count(), events);
            });
        }
    }
}
