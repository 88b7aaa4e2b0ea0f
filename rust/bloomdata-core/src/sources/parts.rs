//! Inputs are shared out among parts: a pure function of names, sizes and seek tables.
//!
//! Every file is a row of units: a plain file of lines, a zstd file with a seek table and a Parquet file are cut into units
//! of at least [`Sharing::unit_bytes`], any other file is one. A unit belongs to the part that its middle lies in, with all content laid end to
//! end and cut into equal parts. So the parts hold all content once, in order.

use serde::{Deserialize, Serialize};

use super::asking::ask_all;
use super::input::{Format, Input};
use super::place::FileRange;
use crate::error::{Error, Result};
use crate::io::compression::Compression;
use crate::io::seek_table::{read_seek_table, seek_table_of};

/// How inputs are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Number of parts.
    pub parts: u64,
    /// The least content of a unit in bytes.
    pub unit_bytes: u64,
    /// Whether no file is cut, since a file is read as a whole.
    pub whole_files: bool,
}

/// A place where a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The part that starts here.
    pub part: u64,
    /// Offset in the file as stored.
    pub stored: u64,
    /// Offset in what it holds; a row of a table.
    pub content: u64,
}

/// An input and the parts that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedInput {
    /// As the user named it, and whole.
    #[serde(flatten)]
    pub input: Input,
    /// Bytes that it holds; an estimate where only reading would tell.
    pub content_bytes: u64,
    /// Its rows, for a table that is cut between groups of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The part that its start is in.
    pub first_part: u64,
    /// Where other parts start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
}

/// One part of all inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 0 on.
    pub number: u64,
    /// How inputs are shared out.
    pub sharing: Sharing,
    /// All inputs.
    pub shared: Vec<SharedInput>,
    /// Index of the first one that the part reads; their number, for a part without any.
    pub first_input: usize,
}

/// Shares out all inputs; `ends` are the last bytes of each object, for those of a store.
///
/// # Errors
/// Inputs that cannot be read again, or no part; the system's reason.
pub fn share_out(all: Vec<Input>, ends: &[Vec<u8>], sharing: Sharing) -> Result<Vec<SharedInput>> {
    if sharing.parts == 0 {
        return Err(Error::config("parts", "expected 1 or more, got 0"));
    }
    if let Some(input) = all.iter().find(|input| !input.is_file()) {
        let reason = format!(
            "parts read files, which any machine can open, got {}; `shard` it first",
            input.path.display()
        );
        return Err(Error::config("inputs", reason));
    }
    let inputs: Vec<_> = all.iter().enumerate().collect();
    let units = ask_all(&inputs, |(at, input)| units(input, ends.get(*at), sharing))?;
    let total: u64 = units.iter().map(|units| units.last.weight).sum();
    let part_of = |start: u64, end: u64| {
        let middle = u128::from(start) + u128::from(end);
        let part = middle * u128::from(sharing.parts) / (2 * u128::from(total.max(1)));
        u64::try_from(part).unwrap_or(u64::MAX).min(sharing.parts - 1)
    };
    let mut before = 0;
    let mut shared = Vec::with_capacity(units.len());
    for (input, units) in all.into_iter().zip(units) {
        let mut at = UnitEnd::default();
        let mut first_part = None;
        let mut cuts: Vec<Cut> = Vec::new();
        for end in units.before.into_iter().chain([units.last]) {
            let part = part_of(before + at.weight, before + end.weight);
            let last = cuts.last().map(|cut| cut.part).or(first_part);
            match last {
                None => first_part = Some(part),
                Some(last) if last != part => cuts.push(Cut { part, stored: at.stored, content: at.content }),
                Some(_) => {}
            }
            at = end;
        }
        before += at.weight;
        let first_part = first_part.unwrap_or_default();
        let rows = (input.format == Format::Parquet && !cuts.is_empty()).then_some(at.content);
        shared.push(SharedInput { input, content_bytes: at.weight, rows, first_part, cuts });
    }
    Ok(shared)
}

impl SharedInput {
    /// What part number `part` reads of it.
    pub fn share(&self, part: u64) -> Option<Input> {
        if self.cuts.is_empty() {
            return (self.first_part == part).then(|| self.input.clone());
        }
        let start = Cut { part: self.first_part, stored: 0, content: 0 };
        let content = self.rows.unwrap_or(self.content_bytes);
        let end = Cut { part: u64::MAX, stored: self.input.size, content };
        let places: Vec<Cut> = [start].into_iter().chain(self.cuts.iter().copied()).chain([end]).collect();
        let (from, to) = places.iter().zip(&places[1..]).find(|(from, _)| from.part == part)?;
        let range = FileRange { stored: [from.stored, to.stored], content: [from.content, to.content] };
        // A manifest promises the hash of whole files.
        Some(Input { range: Some(Box::new(range)), promised_hash: None, ..self.input.clone() })
    }
}

/// Where a unit ends.
#[derive(Debug, Clone, Copy, Default)]
struct UnitEnd {
    /// In the file as stored.
    stored: u64,
    /// In what it holds: a byte, or a row of a table.
    content: u64,
    /// In bytes of content, which units are weighed by.
    weight: u64,
}

/// Where the units of a file end. Most files are one, which needs no list.
struct Units {
    before: Vec<UnitEnd>,
    last: UnitEnd,
}

/// The units of a file. `end` are the last bytes of an object in a store.
fn units(input: &Input, end: Option<&Vec<u8>>, sharing: Sharing) -> Result<Units> {
    let size = input.size;
    let unit_bytes = sharing.unit_bytes.max(1);
    let is_lines = input.format.is_lines();
    if sharing.whole_files || size < unit_bytes {
        return Ok(whole(input));
    }
    if is_lines && input.compression == Compression::None {
        let count = size / unit_bytes;
        let end = |unit: u64| size / count * unit + size % count * unit / count;
        let unit = |end: u64| UnitEnd { stored: end, content: end, weight: end };
        return Ok(Units { before: (1..count).map(end).map(unit).collect(), last: unit(size) });
    }
    let pieces: Vec<UnitEnd> = if is_lines && input.compression == Compression::Zstd {
        let frames = match end {
            None => read_seek_table(&input.path, size)?,
            Some(end) => seek_table_of(size, |length| Ok(end[end.len().saturating_sub(length)..].to_vec()))?,
        };
        let sizes = frames.into_iter().flatten();
        sizes.map(|(stored, content)| UnitEnd { stored, content, weight: content }).collect()
    } else if input.format == Format::Parquet && end.is_none_or(|end| !end.is_empty()) {
        row_groups(input, end)?
    } else {
        Vec::new()
    };
    if pieces.is_empty() {
        return Ok(whole(input));
    }
    let (mut before, mut at, mut start) = (Vec::new(), UnitEnd::default(), 0);
    for piece in pieces {
        at.stored += piece.stored;
        at.content += piece.content;
        at.weight += piece.weight;
        if at.weight - start >= unit_bytes {
            before.push(at);
            start = at.weight;
        }
    }
    // The last unit takes what stands at the end of the file, and what is too little for a unit of its own.
    before.pop();
    Ok(Units { before, last: UnitEnd { stored: size, ..at } })
}

/// A file that is one unit; what it holds is guessed where only reading would tell.
fn whole(input: &Input) -> Units {
    let ratio = match (input.format, input.compression) {
        (Format::Parquet, _) | (_, Compression::Gzip | Compression::Zstd) => 3,
        (_, Compression::None) => 1,
        (_, Compression::Lz4) => 2,
        (_, Compression::Bzip2 | Compression::Xz) => 4,
    };
    let bytes = input.size.saturating_mul(ratio);
    let last = UnitEnd { stored: input.size, content: bytes, weight: bytes };
    Units { before: Vec::new(), last }
}

/// The row groups of a table, by their sizes; none where they are not in order.
#[cfg(feature = "parquet")]
fn row_groups(input: &Input, end: Option<&Vec<u8>>) -> Result<Vec<UnitEnd>> {
    let mut before = 0;
    let groups = super::row_groups::RowGroups::read(&input.path, input.size, end.map(Vec::as_slice))?;
    if !groups.are_in_order() {
        return Ok(Vec::new());
    }
    let piece = |group: super::row_groups::RowGroup| {
        let stored = group.end - std::mem::replace(&mut before, group.end);
        UnitEnd { stored, content: group.rows, weight: group.bytes }
    };
    Ok(groups.0.into_iter().map(piece).collect())
}

#[cfg(not(feature = "parquet"))]
fn row_groups(_: &Input, _: Option<&Vec<u8>>) -> Result<Vec<UnitEnd>> {
    Ok(Vec::new())
}
