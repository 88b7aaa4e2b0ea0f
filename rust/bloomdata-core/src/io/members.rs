//! Files of compressed members, one behind the other: gzip, bzip2, xz and lz4. Their formats have no boundaries that could
//! be found ahead, so that they are read in one thread.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use crate::error::{Error, Result};
use crate::io::compression::{Compression, is_skippable};
use crate::io::input::{InputReader, READ_BYTES};

/// Memory that a decoder may take: a hostile .xz asks for 4 GiB, `xz -9` for 65 MiB.
const MAX_DECODER_BYTES: u64 = 1 << 30;

/// Reads a compressed file to its end; how many bytes it holds. `emit` gets their offsets and them.
///
/// # Errors
/// [`Error::Corrupt`] with the offset of a damaged or truncated member; what `emit` returns.
pub fn read_members(
    reader: &mut InputReader<'_>,
    compression: Compression,
    mut emit: impl FnMut(u64, Vec<u8>) -> Result<()>,
) -> Result<u64> {
    let path = reader.path().to_owned();
    let mut stored = Stored { buffer: BufReader::with_capacity(READ_BYTES, reader), has_ended: false };
    let (mut offset, mut is_first) = (0, true);
    loop {
        stored.skip_between(!is_first, compression)?;
        is_first = false;
        let start = stored.position();
        if stored.peek(1)?.is_empty() {
            return Ok(offset);
        }
        let mut decoder = decoder(compression, &mut stored);
        let failed = loop {
            let mut bytes = Vec::with_capacity(READ_BYTES);
            let result = (&mut decoder).take(READ_BYTES as u64).read_to_end(&mut bytes);
            if let Err(error) = result {
                break Some(error);
            }
            let count = bytes.len();
            if count > 0 {
                emit(offset, bytes)?;
            }
            offset += count as u64;
            // To ask again would begin the next frame of lz4.
            if count < READ_BYTES {
                break None;
            }
        };
        drop(decoder);
        let is_cut = match &failed {
            Some(error) => error.kind() == ErrorKind::UnexpectedEof,
            // The decoder of lz4 takes the end of the file for the end of a frame.
            None => compression == Compression::Lz4 && stored.has_ended,
        };
        if failed.is_none() && !is_cut {
            continue;
        }
        stored.buffer.get_ref().error_if_stopped()?;
        let what = if is_cut { "truncated" } else { "damaged" };
        let told = failed.map_or("the file ends inside of it".to_owned(), |error| error.to_string());
        let reason = format!("{what} {} member that starts at {start}: {told}", compression.name());
        return Err(Error::corrupt(&path, stored.position(), reason));
    }
}

/// A decoder of one member.
fn decoder<'run>(compression: Compression, stored: &'run mut Stored<'_, '_>) -> Box<dyn Read + 'run> {
    match compression {
        Compression::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(stored)),
        Compression::Xz => match liblzma::stream::Stream::new_stream_decoder(MAX_DECODER_BYTES, 0) {
            Ok(stream) => Box::new(liblzma::bufread::XzDecoder::new_stream(stored, stream)),
            Err(error) => Box::new(Refused(Some(error.into()))),
        },
        Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(stored)),
        Compression::None | Compression::Gzip | Compression::Zstd => {
            Box::new(flate2::bufread::GzDecoder::new(stored))
        }
    }
}

/// A decoder that could not be made.
struct Refused(Option<std::io::Error>);

impl Read for Refused {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// The stored bytes, and whether anybody asked for more than there are.
struct Stored<'read, 'run> {
    buffer: BufReader<&'read mut InputReader<'run>>,
    has_ended: bool,
}

impl Stored<'_, '_> {
    /// Offset of the next byte in the file.
    fn position(&self) -> u64 {
        self.buffer.get_ref().position() - self.buffer.buffer().len() as u64
    }

    /// The next bytes, `count` of them if there are so many.
    fn peek(&mut self, count: usize) -> Result<&[u8]> {
        if self.buffer.buffer().is_empty()
            && let Err(error) = self.buffer.fill_buf()
        {
            return Err(self.buffer.get_ref().error(error));
        }
        let ahead = self.buffer.buffer();
        Ok(&ahead[..ahead.len().min(count)])
    }

    /// Skips what is no member: after a member zeros, which pad to whole blocks and which gzip and Python skip as well; of
    /// lz4 frames that are to be skipped.
    fn skip_between(&mut self, is_after_member: bool, compression: Compression) -> Result<()> {
        while compression == Compression::Lz4 && is_skippable(self.peek(4)?) {
            let mut header = [0; 8];
            let skipped = self.buffer.read_exact(&mut header).and_then(|()| {
                let [.., a, b, c, d] = header;
                let size = u64::from(u32::from_le_bytes([a, b, c, d]));
                let skipped = std::io::copy(&mut (&mut self.buffer).take(size), &mut std::io::sink())?;
                if skipped == size { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
            });
            if skipped.is_err() {
                self.buffer.get_ref().error_if_stopped()?;
                let reason = "truncated: the file ends inside a frame that is to be skipped";
                return Err(Error::corrupt(self.buffer.get_ref().path(), self.position(), reason));
            }
        }
        if !is_after_member {
            return Ok(());
        }
        loop {
            let zeros = self.peek(READ_BYTES)?.iter().take_while(|&&byte| byte == 0).count();
            self.buffer.consume(zeros);
            if zeros == 0 || !self.buffer.buffer().is_empty() {
                return Ok(());
            }
        }
    }
}

impl Read for Stored<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.buffer.read(out)?;
        self.has_ended |= count == 0 && !out.is_empty();
        Ok(count)
    }
}

impl BufRead for Stored<'_, '_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        let ahead = self.buffer.fill_buf()?;
        self.has_ended |= ahead.is_empty();
        Ok(ahead)
    }

    fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
    }
}
