//! The merges of a SentencePiece-like BPE model. Symbols are characters, and bytes where a character is not
//! in the vocabulary.

use super::file::{File, NO_ID};
use super::merges::Merger;
use super::pairs::{MAX_SYMBOLS, NONE};
use super::ranks::Merge;
use super::split_points::SplitPoints;
use crate::token::narrow;

/// From the `model` of a `tokenizer.json` whose symbols are characters.
///
/// # Errors
/// Why it is not supported here.
pub(super) fn merger(file: &File) -> Result<Merger, String> {
    if !file.byte_fallback || file.ignore_merges {
        return Err("it lacks byte fallback for unknown characters, or ignores merges".into());
    }
    let names = file.names();
    // Symbols of tokens that are a character or the result of a merge.
    let mut symbols = vec![NONE; names.len()];
    // ASCII bytes stand for the character itself if it is in the vocabulary.
    let mut ids = vec![NO_ID; 256];
    for byte in 0..=u8::MAX {
        let name = format!("<{byte:#04X}>");
        let Some(&id) = file.vocab.get(name.as_str()) else {
            return Err(format!("it lacks the token {name}"));
        };
        let letter = char::from(byte);
        let own = file.vocab.get(letter.encode_utf8(&mut [0; 4]) as &str).filter(|_| byte.is_ascii());
        ids[usize::from(byte)] = own.copied().unwrap_or(id);
        if let Some(&own) = own {
            symbols[own as usize] = byte.into();
        }
    }
    let mut known = Vec::new();
    for (id, name) in names.iter().enumerate() {
        let mut letters = name.unwrap_or_default().chars();
        if let (Some(letter), None) = (letters.next(), letters.next())
            && !letter.is_ascii()
        {
            symbols[id] = narrow(ids.len());
            known.push((letter, symbols[id]));
            ids.push(narrow(id));
        }
    }
    let first = ids.len();
    if first + file.merges.len() > MAX_SYMBOLS {
        return Err(format!("it has more than {MAX_SYMBOLS} characters and merges"));
    }
    let mut merges = Vec::with_capacity(file.merges.len());
    let mut name = String::new();
    for (rank, merge) in file.merges.iter().enumerate() {
        let (left, right) = merge.pair()?;
        name.clear();
        name.extend([left, right]);
        let is_byte = |token: &str| token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        let id = |token: &str| file.vocab.get(token).filter(|_| !token.is_empty() && !is_byte(token));
        let (Some(&left), Some(&right), Some(&made)) = (id(left), id(right), id(&name)) else {
            return Err(format!("merge {rank} has a part that is not in its vocabulary"));
        };
        symbols[made as usize] = narrow(first + rank);
        ids.push(made);
        merges.push([left, right, made]);
    }
    let merges: Vec<Merge> = merges
        .into_iter()
        .map(|merge| {
            let [left, right, made] = merge.map(|id| symbols[id as usize]);
            (left != NONE && right != NONE).then_some((left, right, made))
        })
        .collect();
    let tokens = names.iter().zip(&symbols).filter(|&(_, &symbol)| symbol != NONE);
    let split_points = SplitPoints::of_letters(&known, tokens.filter_map(|(name, _)| *name));
    Ok(Merger::new(ids, first, &merges, split_points))
}
