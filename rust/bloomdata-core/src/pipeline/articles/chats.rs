//! Conversations become articles: rendered by a template, and each token is trained on or not.

use std::ops::Range;

use super::encoder::Encoder;
use super::options::ChatOptions;
use super::packed::{Articles, Packed};
use crate::conversation::Document;
use crate::document::{BadRecord, Block, is_blank};
use crate::error::{Error, Result};
use crate::json_fields::{FieldPath, invalid_utf8};
use crate::key_log::KeyLog;
use crate::ledger::BLANK;
use crate::packing::types::{COMPLETION, PROMPT};
use crate::pipeline::feed::Item;
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::{Fate, Outcome};
use crate::sources::Format;
use crate::stages::{RecordReader, RecordSource, Verdict};
use crate::templates::Rendered;
use crate::templates::chat::{Chat, ChatKeys};
use crate::templates::chat_template::ChatTemplate;
use crate::tokenizers::Tokenizer;

/// Reads conversations and renders them.
pub(in crate::pipeline) struct ChatReader {
    template: ChatTemplate,
    keys: ChatKeys,
    reader: Option<Box<dyn RecordReader>>,
    /// One for each input.
    formats: Vec<Format>,
}

impl ChatReader {
    /// A reader for this tokenizer.
    pub(in crate::pipeline) fn new(
        options: &ChatOptions,
        tokenizer: &dyn Tokenizer,
        formats: Vec<Format>,
    ) -> Result<Self> {
        let mut template = options.template.clone();
        let special = tokenizer.special()?;
        for (name, id) in [("eos_token", Some(special.eos)), ("bos_token", special.bos)] {
            // Without a definition, no text is a special token.
            let name_of =
                |id| if tokenizer.definition().is_some() { tokenizer.token(id) } else { Some(String::new()) };
            if let Some(token) = id.and_then(name_of) {
                template.template_variables.entry(name.into()).or_insert_with(|| token.into());
            }
        }
        let reader = options.source.as_ref().map(source_reader).transpose()?;
        Ok(Self {
            template: ChatTemplate::new(&template, tokenizer.added_tokens())?,
            keys: ChatKeys::new(FieldPath::parse(&options.messages_keyword)?, options.keys.keys()?)
                .ignoring(&options.ignore_fields)
                .giving(options.template.tool_arguments),
            reader,
            formats,
        })
    }

    /// What becomes of a block.
    pub(in crate::pipeline) fn pack(
        &self,
        encoder: &Encoder<'_>,
        articles: &mut Articles,
        block: &Block,
    ) -> Result<Item<Packed>> {
        if self.formats[block.file] == Format::Text {
            return Err(Error::config("record", "lines of text hold no messages"));
        }
        let is_read = |key: &str| self.reader.is_none() && self.template.is_read(key, &self.keys);
        let (mut outcomes, mut log) = (Vec::new(), KeyLog::except(&is_read));
        articles.ids.reserve(block.len());
        block.for_each(|record| {
            let fate = if is_blank(record.bytes) {
                Fate::Dropped(BLANK)
            } else {
                log.begin();
                match simdutf8::basic::from_utf8(record.bytes) {
                    Err(_) => encoder.bad(invalid_utf8(record.bytes), record),
                    Ok(text) => match self.chat(encoder, text, articles, &mut log)? {
                        Ok(fate) => fate,
                        Err(reason) => encoder.bad(reason, record),
                    },
                }
            };
            Outcome::push(&mut outcomes, record.next_offset, fate);
            Ok::<(), Error>(())
        })?;
        encoder.finish(block, outcomes, articles)
    }

    /// The articles of one record, or why it cannot become any.
    fn chat(
        &self,
        encoder: &Encoder<'_>,
        record: &str,
        articles: &mut Articles,
        log: &mut KeyLog<'_>,
    ) -> Result<std::result::Result<Fate, BadRecord>> {
        let rendered = match &self.reader {
            None => Chat::parse(record, &self.keys, log).and_then(|mut chat| {
                self.template.accept(&mut chat)?;
                Ok(vec![self.rendered_chat(encoder, chat)?])
            }),
            Some(reader) => match reader.read_noting(record, log) {
                Ok(Verdict::Drop(reason)) => return Ok(Ok(Fate::Dropped(reason))),
                Ok(Verdict::Node(_)) => Err(BadRecord::WrongForm("a message of a tree".into())),
                Ok(Verdict::Keep(documents)) => {
                    if let [Document::Preference(preference)] = &documents[..] {
                        return self.preference(encoder, preference, articles, log);
                    }
                    documents.iter().map(|document| self.rendered(encoder, document)).collect()
                }
                Err(reason) => Err(reason),
            },
        };
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(reason) => return Ok(Err(reason)),
        };
        let (mut chats, mut text_bytes, mut count) = (ChatCounts::default(), 0, 0);
        let before_record = articles.place();
        let is_switched_off = !rendered.is_empty() && rendered.iter().all(|(texts, _)| texts.is_empty());
        for (_, counts) in &rendered {
            chats.add(*counts);
        }
        for rendered in rendered.into_iter().flat_map(|(texts, _)| texts) {
            text_bytes += rendered.text.len() as u64;
            let before = articles.ids.len();
            let Some((trained, left)) = self.article(encoder, &rendered, articles)? else {
                articles.take_back(before_record);
                return Ok(Err(untold_special_token()));
            };
            let tokens = ChatCounts {
                tokens_trained: trained,
                tokens_after_last_answer: left,
                ..ChatCounts::default()
            };
            chats.add(tokens);
            count += u64::from(articles.ids.len() > before);
            articles.mark_separator();
            articles.close()?;
        }
        Ok(Ok(match count {
            0 if is_switched_off => Fate::Dropped("switched off"),
            0 => Fate::Dropped("no tokens"),
            articles => Fate::Kept { text_bytes, articles, chats, unread: log.unread() },
        }))
    }

    /// Appends the tokens of one text up to the end of its last answer; how many are trained on, and left out. `None` if
    /// the tokenizer cannot tell special tokens that are text from others.
    pub(super) fn article(
        &self,
        encoder: &Encoder<'_>,
        rendered: &Rendered,
        articles: &mut Articles,
    ) -> Result<Option<(u64, u64)>> {
        let Rendered { text, trained, quoted } = rendered;
        let Articles { ids, types, ends, .. } = articles;
        let first = ids.len();
        ends.clear();
        if quoted.is_empty() {
            encoder.tokenizer.encode_ends(text, ids, ends)?;
        } else if !encoder.tokenizer.encode_ends_quoted(text, quoted, ids, ends)? {
            return Ok(None);
        }
        let mut count = 0;
        for span in trained {
            let tokens = tokens_of(span, ends);
            // One token may hold the end of a part and the start of the next.
            let start = types.len().max(first + tokens.start);
            let end = types.len().max(first + tokens.end);
            count += end - start;
            types.resize(start, PROMPT);
            types.resize(end, COMPLETION);
        }
        // A document ends where its last answer does: its last token is trained on by all who read these files.
        let left = ids.len() - types.len();
        ids.truncate(types.len());
        let ends_itself = trained.last().is_some_and(|span| self.template.is_ended(&text[..span.end]));
        if encoder.append_eos && count > 0 && !ends_itself {
            ids.push(encoder.tokenizer.special()?.eos);
            types.push(COMPLETION);
            count += 1;
        }
        Ok(Some((count as u64, left as u64)))
    }

    /// Texts of a document.
    fn rendered(
        &self,
        encoder: &Encoder<'_>,
        document: &Document,
    ) -> std::result::Result<RenderedDocument, BadRecord> {
        match document {
            Document::Text(text) => {
                let special = &encoder.special;
                let counts = ChatCounts::of_special_tokens(special.count(text)?);
                let quoting = special.quoting(counts.special_tokens_in_text);
                let quoted = quoting.map(|finder| finder.find(text)).unwrap_or_default();
                let trained = std::iter::once(0..text.len()).collect();
                Ok((vec![Rendered { text: text.clone(), trained, quoted }], counts))
            }
            Document::Chat(conversation) => self.rendered_chat(encoder, Chat::of(conversation)),
            Document::Preference(_) => {
                Err(BadRecord::WrongForm("judged answers among other documents".into()))
            }
        }
    }

    /// Texts of a conversation.
    pub(super) fn rendered_chat(
        &self,
        encoder: &Encoder<'_>,
        chat: Chat<'_>,
    ) -> std::result::Result<RenderedDocument, BadRecord> {
        let special = &encoder.special;
        let found = special.finder.as_ref().map_or(Ok(0), |finder| finder.count_in(&chat))?;
        let counts = ChatCounts {
            turns: chat.roles.iter().filter(|role| *role == "assistant").count() as u64,
            turns_switched_off: chat.num_switched_off() as u64,
            ..ChatCounts::of_special_tokens(special.allow(found)?)
        };
        Ok((self.template.render_texts(chat, special.quoting(found))?, counts))
    }
}

/// The reader of a source whose records are whole documents.
fn source_reader(source: &RecordSource) -> Result<Box<dyn RecordReader>> {
    if source.trees().is_some() {
        let reason = "its records are messages of trees, which only `prepare` puts together";
        return Err(Error::config("source", reason));
    }
    Ok(source.reader())
}

/// The texts of a document, none if switches leave out all of it; and how many answers it holds.
type RenderedDocument = (Vec<Rendered>, ChatCounts);

pub(super) fn untold_special_token() -> BadRecord {
    let reason = "a text holds a special token, which this tokenizer cannot tell from those of the template";
    BadRecord::Template(reason.into())
}

/// The tokens that hold any byte of a part of the text, by where each ends. Those that end together are parts of one
/// character.
fn tokens_of(span: &Range<usize>, ends: &[usize]) -> Range<usize> {
    let start = ends.partition_point(|&end| end <= span.start);
    if span.is_empty() {
        return start..start;
    }
    let last = ends.partition_point(|&end| end < span.end);
    let rest = ends.get(last..).unwrap_or_default();
    let end = last + rest.iter().take_while(|&&end| Some(end) == rest.first().copied()).count();
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Token for token: each starts where the last that ended before it did.
    fn slow(span: &Range<usize>, ends: &[usize]) -> Vec<usize> {
        let start =
            |token: usize| ends[..token].iter().rfind(|&&end| end < ends[token]).copied().unwrap_or(0);
        let holds = |token: &usize| span.clone().any(|at| (start(*token)..ends[*token]).contains(&at));
        (0..ends.len()).filter(holds).collect()
    }

    #[test]
    fn a_token_counts_if_any_of_it_does() {
        assert_eq!(tokens_of(&(3..6), &[2, 4, 6, 8]), 1..3);
        assert_eq!(tokens_of(&(7..8), &[2, 4, 6, 8]), 3..4);
        assert_eq!(tokens_of(&(4..8), &[4, 4, 8]), 2..3);
        assert_eq!(tokens_of(&(3..4), &[4, 4, 8]), 0..2);
        assert_eq!(tokens_of(&(3..3), &[4, 4, 8]), 0..0);
    }

    #[test]
    fn tokens_of_all_parts_of_all_small_texts_are_those_that_hold_any_of_them() {
        // What each of six tokens adds to where the one before it ended: nothing, or one or two bytes.
        for code in 0..3_usize.pow(6) {
            let mut end = 0;
            let ends: Vec<usize> = (0..6)
                .map(|token| {
                    end += code / 3_usize.pow(token) % 3;
                    end
                })
                .collect();
            for span in (0..=end + 1).flat_map(|start| (start..=end + 1).map(move |end| start..end)) {
                assert_eq!(
                    tokens_of(&span, &ends).collect::<Vec<_>>(),
                    slow(&span, &ends),
                    "{span:?} {ends:?}"
                );
            }
        }
    }
}
