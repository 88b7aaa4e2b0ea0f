//! Judged answers become articles: the prompt with each answer, of which the answer alone is trained on.
//!
//! Two answers that are compared become two articles, one behind the other. Both have the same prompt, also if it has to
//! be cut: then both lose the same tokens at its start, so that each answer has room in a row.

use super::chats::{ChatReader, untold_special_token};
use super::encoder::Encoder;
use super::packed::Articles;
use crate::conversation::{Judged, Preference};
use crate::document::BadRecord;
use crate::error::Result;
use crate::key_log::KeyLog;
use crate::packing::types::PROMPT;
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::Fate;
use crate::templates::Rendered;
use crate::templates::chat::Chat;
use crate::token::index;

impl ChatReader {
    /// The articles of one record, or why it cannot become any.
    pub(super) fn preference(
        &self,
        encoder: &Encoder<'_>,
        preference: &Preference,
        articles: &mut Articles,
        log: &mut KeyLog<'_>,
    ) -> Result<std::result::Result<Fate, BadRecord>> {
        let (rendered, mut chats) = match self.answers(encoder, preference) {
            Ok(answers) => answers,
            Err(reason) => return Ok(Err(reason)),
        };
        let before = articles.place();
        let mut prompts = Vec::new();
        for rendered in &rendered {
            let first = articles.ids.len();
            let Some((trained, left)) = self.article(encoder, rendered, articles)? else {
                articles.take_back(before);
                return Ok(Err(untold_special_token()));
            };
            chats.tokens_trained += trained;
            chats.tokens_after_last_answer += left;
            let prompt = articles.types[first..].iter().take_while(|&&kind| kind == PROMPT).count();
            prompts.push((first, prompt));
            articles.mark_separator();
            articles.close()?;
        }
        if let Some(row_tokens) = encoder.row_tokens {
            let ends = prompts.iter().skip(1).map(|(first, _)| *first).chain([articles.ids.len()]);
            let longest = prompts.iter().zip(ends).map(|((first, prompt), end)| end - first - prompt).max();
            // The first token of an answer is predicted from what is in front of it.
            let room = index(row_tokens).saturating_sub(longest.unwrap_or(0));
            if room == 0 {
                articles.take_back(before);
                return Ok(Ok(Fate::Dropped("no room for the answer")));
            }
            // From the last to the first, since those behind move.
            for (number, &(first, prompt)) in prompts.iter().enumerate().rev() {
                let cut = prompt.saturating_sub(room);
                articles.cut(before.0 + number, first..first + cut)?;
                chats.prompt_tokens_cut += cut as u64;
            }
        }
        if let Judged::Labelled { label, .. } = preference.judged {
            articles.categories.resize(articles.ids.len(), u32::from(label));
        }
        let text_bytes = rendered.iter().map(|rendered| rendered.text.len() as u64).sum();
        let (articles, unread) = (rendered.len() as u64, log.unread());
        Ok(Ok(Fate::Kept { text_bytes, articles, chats, unread }))
    }

    /// The text of each answer with its prompt.
    fn answers(
        &self,
        encoder: &Encoder<'_>,
        preference: &Preference,
    ) -> std::result::Result<(Vec<Rendered>, ChatCounts), BadRecord> {
        let (mut all, mut chats) = (Vec::new(), ChatCounts::default());
        for conversation in &preference.conversations() {
            let (texts, counts) = self.rendered_chat(encoder, Chat::of(conversation))?;
            chats.add(counts);
            all.extend(texts);
        }
        chats.documents_with_special_tokens = u64::from(chats.special_tokens_in_text > 0);
        // Answers of the prompt are context here: no switch left them out.
        chats.turns -= chats.turns_switched_off;
        chats.turns_switched_off = 0;
        let prompt = |rendered: &Rendered| {
            let end = rendered.trained.first().map_or(0, |first| first.start);
            rendered.text[..end].to_owned()
        };
        if all.windows(2).any(|two| prompt(&two[0]) != prompt(&two[1])) {
            let reason = "the template does not render the prompt of both answers in the same way";
            return Err(BadRecord::Template(reason.into()));
        }
        Ok((all, chats))
    }
}
