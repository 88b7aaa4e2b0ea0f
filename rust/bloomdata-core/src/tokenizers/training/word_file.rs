//! Words and how often each occurs, as a file: what a part of a training run leaves for its end.
//!
//! The file consists of zstd frames with checksums. What they hold, laid end to end:
//!
//! ```text
//! "BLOOMWRD", version              8 and 4 bytes, little-endian
//! for each word, ascending by bytes:
//!   shared, further, count         LEB128: bytes that it shares with the word before, further bytes, how often it occurs
//!   the further bytes
//! 0, 0, 0                          the end; no word has the count 0
//! ```

use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use crate::error::{Error, Result};
use crate::io::atomic::{AtomicFile, Sealed};
use crate::io::input::InputReader;
use crate::io::zstd_frames::{FrameEncoder, FrameEvent, decoder, read_frames};
use crate::progress::Progress;
use crate::token::index;

/// Words and their counts.
pub type Words = HashMap<Box<[u8]>, u64>;

const MAGIC: &[u8; 8] = b"BLOOMWRD";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 12;
/// Content of a frame; the boundary depends on the words only.
const FRAME_BYTES: usize = 1 << 20;
const LEVEL: i32 = 3;

/// Writes words, which are in ascending order.
///
/// # Errors
/// The system's reason; the run was interrupted.
pub fn write_words(path: &Path, words: &[(Box<[u8]>, u64)], progress: &Progress) -> Result<Sealed> {
    let mut file = AtomicFile::create(path)?;
    let mut encoder = FrameEncoder::new(LEVEL)?;
    let mut content = MAGIC.to_vec();
    content.extend(VERSION.to_le_bytes());
    let mut before: &[u8] = b"";
    for (word, count) in words {
        let shared = before.iter().zip(word).take_while(|(a, b)| a == b).count();
        for number in [shared as u64, (word.len() - shared) as u64, *count] {
            put(&mut content, number);
        }
        content.extend(&word[shared..]);
        before = word;
        if content.len() >= FRAME_BYTES {
            progress.check()?;
            file.write(&encoder.encode(&content, progress)?)?;
            content.clear();
        }
    }
    content.extend([0; 3]);
    file.write(&encoder.encode(&content, progress)?)?;
    file.seal()
}

/// Adds the words of a file, whose BLAKE3 is `hash`, to others.
///
/// # Errors
/// A file that is damaged, of another version, or another than the one with this hash; the system's reason.
pub fn add_words(path: &Path, hash: &str, words: &mut Words, progress: &Progress) -> Result<()> {
    let mut reader = InputReader::open(path, progress)?;
    let mut context = decoder(path)?;
    let mut parser = Parser { path: path.to_owned(), ..Parser::default() };
    read_frames(&mut reader, 0, true, |event| match event {
        FrameEvent::Frames(job) => parser.take(&job.decode(&mut context)?, words),
        FrameEvent::Content(_, content) => parser.take(&content, words),
    })?;
    if !parser.has_ended {
        return Err(parser.corrupt("truncated: expected further words"));
    }
    let size = reader.position();
    let found = reader.finish(size)?;
    if found != hash {
        let what = format!("{}: BLAKE3 (changed since it was written)", path.display());
        return Err(Error::mismatch(what, hash, found));
    }
    Ok(())
}

/// Reads words from pieces of content.
#[derive(Debug, Default)]
struct Parser {
    path: PathBuf,
    /// What no word has been made of yet, and where it starts in all content.
    rest: Vec<u8>,
    offset: u64,
    word: Vec<u8>,
    has_header: bool,
    has_ended: bool,
}

impl Parser {
    fn take(&mut self, content: &[u8], words: &mut Words) -> Result<()> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(content);
        let mut from = 0;
        if !self.has_header && rest.len() >= HEADER_BYTES {
            self.check_header(&rest[..HEADER_BYTES])?;
            from = HEADER_BYTES;
        }
        while self.has_header
            && let Some((count, bytes)) = self.next(&rest[from..])?
        {
            from += bytes;
            self.offset += bytes as u64;
            if self.has_ended {
                continue;
            }
            match words.get_mut(&*self.word) {
                None => drop(words.insert(self.word.as_slice().into(), count)),
                Some(sum) => {
                    *sum = sum.checked_add(count).ok_or_else(|| self.corrupt("a word of over 2^64"))?;
                }
            }
        }
        rest.drain(..from);
        self.rest = rest;
        Ok(())
    }

    fn check_header(&mut self, header: &[u8]) -> Result<()> {
        let (magic, version) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(self.corrupt("expected a file of words (it begins with BLOOMWRD)"));
        }
        let version = version.try_into().map_or(0, u32::from_le_bytes);
        if version != VERSION {
            return Err(Error::mismatch(format!("{}: version", self.path.display()), VERSION, version));
        }
        (self.has_header, self.offset) = (true, HEADER_BYTES as u64);
        Ok(())
    }

    /// Reads the next word, or the end, if it is there as a whole: its count, and its bytes as stored.
    fn next(&mut self, bytes: &[u8]) -> Result<Option<(u64, usize)>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.has_ended {
            return Err(self.corrupt("expected nothing behind the last word"));
        }
        let (mut numbers, mut at) = ([0; 3], 0);
        for number in &mut numbers {
            let Some((value, length)) = get(&bytes[at..]).map_err(|reason| self.corrupt(reason))? else {
                return Ok(None);
            };
            (*number, at) = (value, at + length);
        }
        let [shared, further, count] = numbers;
        if shared > self.word.len() as u64 {
            return Err(self.corrupt("a word shares more than the word before it has"));
        }
        if count == 0 {
            self.has_ended = shared == 0 && further == 0;
            return if self.has_ended { Ok(Some((0, at))) } else { Err(self.corrupt("a word of no count")) };
        }
        let Some(added) = at.checked_add(index(further)).and_then(|end| bytes.get(at..end)) else {
            return Ok(None);
        };
        self.word.truncate(index(shared));
        self.word.extend_from_slice(added);
        Ok(Some((count, at + added.len())))
    }

    fn corrupt(&self, reason: &str) -> Error {
        Error::corrupt(&self.path, self.offset, format!("{reason} (offset in the decompressed content)"))
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// A number and its length; `None` where it does not end.
fn get(bytes: &[u8]) -> std::result::Result<Option<(u64, usize)>, &'static str> {
    let mut number = 0_u64;
    for (at, &byte) in bytes.iter().take(10).enumerate() {
        let (bits, shift) = (u64::from(byte & 0x7f), 7 * at);
        if bits << shift >> shift != bits {
            return Err("a number of over 64 bits");
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(Some((number, at + 1)));
        }
    }
    if bytes.len() < 10 { Ok(None) } else { Err("a number of over 64 bits") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], hash: &str) -> Result<Words> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.zst");
        std::fs::write(&path, bytes).unwrap();
        let mut words = Words::default();
        add_words(&path, hash, &mut words, &Progress::default()).map(|()| words)
    }

    fn written(words: &Words) -> (Vec<u8>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.zst");
        let mut sorted: Vec<_> = words.iter().map(|(word, count)| (word.clone(), *count)).collect();
        sorted.sort_unstable();
        let sealed = write_words(&path, &sorted, &Progress::default()).unwrap();
        (std::fs::read(&path).unwrap(), sealed.hash)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))] // each of them syncs files

        #[test]
        fn words_come_back(words in prop::collection::hash_map(
            prop::collection::vec(0_u8..4, 0..9), prop_oneof![1..300_u64, Just(u64::MAX)], 0..60,
        )) {
            let words: Words = words.into_iter().map(|(word, count)| (word.into(), count)).collect();
            let (bytes, hash) = written(&words);
            prop_assert_eq!(read(&bytes, &hash).unwrap(), words);
        }
    }

    #[test]
    fn words_of_several_frames_and_one_longer_than_a_frame_come_back() {
        let mut words: Words = (0..200_000_u64).map(|word| (word.to_be_bytes().into(), word + 1)).collect();
        words.insert(vec![7; 20 << 20].into(), 3);
        let (bytes, hash) = written(&words);
        assert_eq!(read(&bytes, &hash).unwrap(), words);
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_found() {
        let words: Words =
            (0..300_u64).map(|word| (word.to_string().into_bytes().into(), word + 1)).collect();
        let (bytes, hash) = written(&words);
        for at in 0..bytes.len() {
            for bit in [at % 8, (at + 3) % 8] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(read(&damaged, &hash).is_err(), "byte {at}, bit {bit}");
            }
            assert!(read(&bytes[..at], &hash).is_err(), "cut at {at}");
        }
        let (_, other) = written(&Words::default());
        assert!(read(&bytes, &other).unwrap_err().to_string().contains("BLAKE3"));
    }

    #[test]
    fn content_that_no_writer_makes_is_refused() {
        let header: Vec<u8> = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        let cases: [(&[u8], &[u8], &str); 8] = [
            (b"BLOOMSIG\x01\0\0\0", &[0; 3], "begins with BLOOMWRD"),
            (b"BLOOMWRD\x02\0\0\0", &[0; 3], "version: expected 1, found 2"),
            (&header, &[], "truncated"),
            (&header, &[0, 2, 1, 7], "truncated"),
            (&header, &[1, 0, 1], "shares more"),
            (&header, &[0, 1, 0], "no count"),
            (&header, &[0, 0, 0, 0], "behind the last word"),
            (&header, &[0xff; 12], "over 64 bits"),
        ];
        for (header, rest, reason) in cases {
            let content = [header, rest].concat();
            let bytes = FrameEncoder::new(3).unwrap().encode(&content, &Progress::default()).unwrap();
            let error = read(&bytes, "").unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
