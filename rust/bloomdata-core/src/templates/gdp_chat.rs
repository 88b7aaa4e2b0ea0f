//! Chat templates around pairs, as in `generative_data_prep` with `--apply_chat_template`.
//!
//! The template is rendered once with markers in place of prompts and completions. The text before the
//! first prompt is the prefix of prompts. A turn ends where the text after a completion ends with that
//! prefix.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::chat::messages_of;
use super::jinja::{JinjaInput, JinjaTemplate};
use super::markers::marker;

/// A part of a rendered text: literal text, or the content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Content(usize),
}

/// A prompt and a completion, as parts.
type Turn = [Vec<Part>; 2];

/// The turns for a number of pairs, or why the template cannot be used.
type Cut = Arc<Result<Vec<Turn>, String>>;

/// A chat template for pairs.
#[derive(Debug)]
pub struct GdpChat {
    template: JinjaTemplate,
    turns: Mutex<BTreeMap<usize, Cut>>,
}

impl GdpChat {
    /// Wraps a compiled template.
    pub fn new(template: JinjaTemplate) -> Self {
        Self { template, turns: Mutex::default() }
    }

    /// Applies the template to pairs; returns prompt and completion of each turn.
    ///
    /// # Errors
    /// An error of the template; a template that starts with a prompt, so that turns end nowhere.
    pub fn apply(&self, pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let turns = self.turns(pairs.len());
        let turns = turns.as_ref().as_ref().map_err(Clone::clone)?;
        let content = |number: usize| {
            let (prompt, completion) = pairs[number / 2];
            if number.is_multiple_of(2) { prompt } else { completion }
        };
        let text = |parts: &[Part]| -> String {
            let of = |part| match part {
                &Part::Content(number) => content(number),
                Part::Text(text) => text.as_str(),
            };
            parts.iter().map(of).collect()
        };
        Ok(turns.iter().map(|[prompt, completion]| (text(prompt), text(completion))).collect())
    }

    fn turns(&self, count: usize) -> Cut {
        let lock = || self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = lock().get(&count) {
            return Arc::clone(turns);
        }
        let turns = Arc::new(self.cut(count));
        lock().insert(count, Arc::clone(&turns));
        turns
    }

    fn cut(&self, count: usize) -> Result<Vec<Turn>, String> {
        let markers: Vec<String> = (0..2 * count).map(marker).collect();
        let roles = ["user", "assistant"].into_iter().cycle();
        let messages = messages_of(roles.zip(markers.iter().map(String::as_str)));
        let text = self.template.render(&JinjaInput { messages, tools: None, documents: None }, false)?;
        let prefix = markers
            .first()
            .and_then(|first| text.split_once(first.as_str()))
            .map_or("", |(before, _)| before);
        if prefix.is_empty() {
            return Err("the template puts nothing before the first prompt, so that turns end nowhere".into());
        }
        let mut turns: Vec<Turn> = vec![<[_; 2]>::default()];
        let mut in_completion = false;
        for part in parts(&text, &markers) {
            let Some(turn) = turns.last_mut() else { break };
            match part {
                Part::Text(text) if in_completion && text.ends_with(prefix) => {
                    turn[1].push(Part::Text(text[..text.len() - prefix.len()].to_owned()));
                    turns.push([vec![Part::Text(prefix.to_owned())], Vec::new()]);
                    in_completion = false;
                }
                Part::Content(number) if number % 2 == 1 => {
                    in_completion = true;
                    turn[1].push(part);
                }
                part => turn[usize::from(in_completion)].push(part),
            }
        }
        Ok(turns)
    }
}

/// Cuts a text at its markers.
fn parts(text: &str, markers: &[String]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((at, number)) = markers
        .iter()
        .enumerate()
        .filter_map(|(number, marker)| Some((rest.find(marker.as_str())?, number)))
        .min()
    {
        if at > 0 {
            parts.push(Part::Text(rest[..at].to_owned()));
        }
        parts.push(Part::Content(number));
        rest = &rest[at + markers[number].len()..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    parts
}
