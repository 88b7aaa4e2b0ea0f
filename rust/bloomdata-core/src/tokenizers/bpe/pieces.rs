//! The model of a SentencePiece-like BPE tokenizer: symbols are characters, and bytes of those that it does not have.

#![allow(clippy::disallowed_types, reason = "maps are looked up, their order is never seen")]

use std::collections::HashMap;

use super::chars::Chars;
use super::file::read;
use super::merges::{Merger, NO_ID};
use super::model::Model;
use super::pairs::MAX_SYMBOLS;

impl Model {
    /// Parses the `model` of a `tokenizer.json` whose symbols are characters.
    ///
    /// # Errors
    /// Why it cannot be done here.
    pub(super) fn parse_pieces(json: &str) -> Result<Self, String> {
        let file = read(json)?;
        if !file.byte_fallback || file.ignore_merges {
            return Err("it has unknown characters, or ignores merges".into());
        }
        // Bytes of ASCII stand for the character itself, where the vocabulary has it.
        let mut symbols: HashMap<String, u32> = HashMap::new();
        let mut ids = vec![NO_ID; 256];
        for byte in 0..=u8::MAX {
            let (name, letter) = (format!("<{byte:#04X}>"), char::from(byte).to_string());
            let Some(&id) = file.vocab.get(&name) else { return Err(format!("it lacks the token {name}")) };
            let own = file.vocab.get(&letter).filter(|_| byte.is_ascii());
            ids[usize::from(byte)] = own.copied().unwrap_or(id);
            if own.is_some() {
                symbols.insert(letter, byte.into());
            }
        }
        let is_letter = |token: &&String| token.chars().count() == 1 && !token.is_ascii();
        let mut letters: Vec<&String> = file.vocab.keys().filter(is_letter).collect();
        letters.sort_unstable();
        for letter in &letters {
            symbols.insert((*letter).clone(), crate::token::narrow(ids.len()));
            ids.push(file.vocab[*letter]);
        }
        let first = ids.len();
        if first + file.merges.len() > MAX_SYMBOLS {
            return Err(format!("it has more than {MAX_SYMBOLS} characters and merges"));
        }
        let known = |letter: char| symbols.get(letter.encode_utf8(&mut [0; 4]) as &str).copied();
        let known: Vec<(char, u32)> = letters
            .iter()
            .flat_map(|letter| letter.chars())
            .filter_map(|letter| Some((letter, known(letter)?)))
            .collect();
        let mut made = symbols;
        for (symbol, merge) in (first..).zip(&file.merges) {
            let (left, right) = merge.pair()?;
            let name = [left, right].concat();
            let is_byte = |token: &str| token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
            if [left, right, &name]
                .iter()
                .any(|token| token.is_empty() || is_byte(token) || !file.vocab.contains_key(*token))
            {
                return Err(format!("merge {} has a part that is not in its vocabulary", symbol - first));
            }
            ids.push(file.vocab[&name]);
            made.insert(name, crate::token::narrow(symbol));
        }
        let merges: Vec<_> = file
            .merges
            .iter()
            .map(|merge| {
                let (left, right) = merge.pair().ok()?;
                Some((*made.get(left)?, *made.get(right)?, *made.get(&[left, right].concat())?))
            })
            .collect();
        let chars = Chars::of_letters(&known, made.keys());
        Ok(Self::new(Merger::new(ids, first, &merges, chars)))
    }
}
