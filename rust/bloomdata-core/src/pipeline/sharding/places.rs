//! Back from lines that were shuffled or dealt out to their places in the inputs, for messages that name them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::shuffle::order_key;
use crate::document::{Block, Position};
use crate::error::Result;
use crate::progress::Progress;
use crate::sources::inputs::InputList;
use crate::sources::{Event, Source, SourceOptions};

/// A line that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Its number in the shuffled order, or, without a shuffle, in the inputs; from 0.
    pub number: u64,
    /// Its bytes, without the newline.
    pub bytes: Vec<u8>,
}

/// Where a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The input, as it was named.
    pub path: PathBuf,
    /// Its number in that input, from 1.
    pub line: u64,
    /// Its start in the decompressed input in bytes.
    pub offset: u64,
}

/// The places of lines; `None` for one that is not there. `seed` is that of the shuffle, if there was one.
///
/// Reads the inputs once. Only lines with the bytes of one that is sought are remembered, and their ranks in the shuffle
/// counted by one more pass over the keys, so memory does not grow with the inputs.
///
/// # Errors
/// Everything that can be wrong with an input.
pub fn find_lines(
    list: &InputList,
    sought: &[Sought],
    seed: Option<u64>,
    progress: &Progress,
) -> Result<Vec<Option<Place>>> {
    let wanted: BTreeSet<&[u8]> = sought.iter().map(|line| line.bytes.as_slice()).collect();
    let (mut found, mut total, mut before) = (Vec::new(), 0_u64, (0, 0_u64));
    each_block(list, progress, |block| {
        if block.file != before.0 {
            before = (block.file, total);
        }
        block.for_each(|record| {
            if wanted.contains(record.bytes) {
                let path = list.inputs[block.file].path.clone();
                found.push((total, Place { path, line: total - before.1 + 1, offset: record.offset }));
            }
            total += 1;
            Ok(())
        })
    })?;
    let numbers = match seed {
        None => found.iter().map(|&(number, _)| number).collect(),
        Some(seed) => ranks(seed, total, &found.iter().map(|&(number, _)| number).collect::<Vec<_>>()),
    };
    let places: BTreeMap<u64, Place> =
        numbers.into_iter().zip(found.into_iter().map(|(_, place)| place)).collect();
    Ok(sought.iter().map(|line| places.get(&line.number).cloned()).collect())
}

/// The ranks of some of `total` lines in the shuffle: how many come before each.
fn ranks(seed: u64, total: u64, numbers: &[u64]) -> Vec<u64> {
    let mut sorted: Vec<(u64, u64)> =
        numbers.iter().map(|&number| (order_key(seed, number), number)).collect();
    sorted.sort_unstable();
    let mut passed = vec![0_u64; sorted.len() + 1];
    for number in 0..total {
        let place = (order_key(seed, number), number);
        passed[sorted.partition_point(|&other| other <= place)] += 1;
    }
    let mut sum = 0;
    let mut rank_of = BTreeMap::new();
    for (&(_, number), &between) in sorted.iter().zip(&passed) {
        sum += between;
        rank_of.insert(number, sum);
    }
    numbers.iter().map(|number| rank_of[number]).collect()
}

/// Whether the last line of the last input ends with a newline; true when there is no line.
///
/// # Errors
/// Everything that can be wrong with the input.
pub fn ends_with_newline(list: &InputList, progress: &Progress) -> Result<bool> {
    let mut ends = true;
    each_block(list, progress, |block| {
        let last = block.bytes[block.start..block.end].last().or(block.head.last());
        ends = last.is_none_or(|&byte| byte == b'\n');
        Ok(())
    })?;
    Ok(ends)
}

fn each_block(
    list: &InputList,
    progress: &Progress,
    mut visit: impl FnMut(&Block) -> Result<()>,
) -> Result<()> {
    let options = SourceOptions { num_threads: 1, start: Position::default() };
    std::thread::scope(|scope| {
        for event in Source::start(scope, &list.inputs, options, progress, |_, _, _, _, _| Ok(false)) {
            progress.check()?;
            if let Event::Block(block) = event? {
                visit(&block)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::expand::expand;

    #[test]
    fn every_line_is_found_where_it_is_also_among_equal_ones_and_after_a_shuffle() {
        let folder = tempfile::tempdir().unwrap();
        let contents = ["a\nb\n\na\n", "\u{feff}b\nc\na", "", "c\n"];
        let mut all = Vec::new();
        for (number, content) in contents.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{number}.txt")), content).unwrap();
            let mut offset = if content.starts_with('\u{feff}') { 3 } else { 0 };
            let text = content.trim_start_matches('\u{feff}');
            for (line, bytes) in text.split_inclusive('\n').enumerate() {
                all.push((number, line as u64 + 1, offset, bytes.trim_end_matches('\n')));
                offset += bytes.len() as u64;
            }
        }
        let list = expand(&[folder.path().to_string_lossy().into_owned()], None).unwrap();
        for seed in [None, Some(0), Some(7)] {
            let mut order: Vec<usize> = (0..all.len()).collect();
            if let Some(seed) = seed {
                order.sort_by_key(|&number| (order_key(seed, number as u64), number));
            }
            let sought: Vec<Sought> = order
                .iter()
                .enumerate()
                .map(|(number, &at)| Sought { number: number as u64, bytes: all[at].3.into() })
                .collect();
            let found = find_lines(&list, &sought, seed, &Progress::default()).unwrap();
            for (&at, place) in order.iter().zip(found) {
                let place = place.unwrap();
                let name = place.path.file_name().unwrap().to_string_lossy().into_owned();
                assert_eq!(
                    (name, place.line, place.offset),
                    (format!("{}.txt", all[at].0), all[at].1, all[at].2)
                );
            }
        }
        let absent = [Sought { number: 0, bytes: b"x".into() }];
        assert_eq!(find_lines(&list, &absent, None, &Progress::default()).unwrap(), [None]);
    }

    #[test]
    fn the_last_newline_is_that_of_the_last_line() {
        for (content, ends) in [("a\nb", false), ("a\n", true), ("", true), ("a", false), ("\n", true)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.txt");
            std::fs::write(&path, content).unwrap();
            let list = expand(&[path.to_string_lossy().into_owned()], None).unwrap();
            assert_eq!(ends_with_newline(&list, &Progress::default()).unwrap(), ends, "{content:?}");
        }
    }
}
