//! What `prepare` makes of a record: documents of its source, written as lines of the form that was asked for.

use super::lines::{LineMaker, Lines, each_record};
use super::options::{PrepareConfig, Style};
use crate::conversation::{Conversation, Document, Judged, Message, Preference, Role, python_strip};
use crate::document::{BadRecord, Block, Record, is_blank};
use crate::error::{Error, Result};
use crate::json_fields::{invalid_utf8, placed};
use crate::json_text::json_string;
use crate::key_log::KeyLog;
use crate::ledger::BLANK;
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::Fate;
use crate::sources::Format;
use crate::stages::trees::TreeNode;
use crate::stages::{RecordReader, Verdict};
use crate::templates::chat::Chat;
use crate::templates::chat_template::ChatTemplate;

/// Makes lines of records.
pub struct Preparer {
    reader: Box<dyn RecordReader>,
    template: Option<ChatTemplate>,
    style: Style,
    ensure_ascii: bool,
}

/// What a record is.
enum Prepared {
    /// Lines, appended to the output.
    Settled(Fate),
    /// A message of a tree.
    Node(TreeNode),
}

impl Preparer {
    /// A preparer with these options.
    ///
    /// # Errors
    /// A style that needs a template without one; a template that cannot be used.
    pub fn new(config: &PrepareConfig) -> Result<Self> {
        let template =
            config.template.as_ref().map(|options| ChatTemplate::new(options, Vec::new())).transpose()?;
        if matches!(config.style, Style::Completion | Style::Text) == template.is_none() {
            let reason = "styles \"text\" and \"completion\" have one, others have none";
            return Err(Error::config("template", reason));
        }
        if config.source.trees().is_some() && config.max_rows_per_input.is_some() {
            let reason = "records are messages of trees here, and some of them make no conversations";
            return Err(Error::config("max_rows_per_input", reason));
        }
        let reader = config.source.reader();
        Ok(Self { reader, template, style: config.style, ensure_ascii: config.ensure_ascii })
    }

    /// Appends the lines of a record, each noted by its end.
    ///
    /// # Errors
    /// Why the record cannot become a document. What was appended does not count then.
    fn lines(
        &self,
        record: &str,
        (out, ends): (&mut Vec<u8>, &mut Vec<usize>),
        log: &mut KeyLog<'_>,
    ) -> std::result::Result<Prepared, BadRecord> {
        let documents = match self.reader.read_noting(record, log)? {
            Verdict::Drop(reason) => return Ok(Prepared::Settled(Fate::Dropped(reason))),
            Verdict::Node(node) => return Ok(Prepared::Node(node)),
            Verdict::Keep(documents) => documents,
        };
        if documents.is_empty() {
            return Ok(Prepared::Settled(Fate::Dropped("no documents")));
        }
        let (mut text_bytes, mut chats) = (0, ChatCounts::default());
        for document in &documents {
            let start = out.len();
            self.line(document, out)?;
            ends.push(out.len());
            text_bytes += (out.len() - start) as u64;
            chats.turns += turns(document);
        }
        let articles = documents.len() as u64;
        Ok(Prepared::Settled(Fate::Kept { text_bytes, articles, chats, unread: log.unread() }))
    }

    /// Appends the line of a document, without its newline.
    ///
    /// # Errors
    /// What the template objects to; a text where messages are asked for.
    pub(in crate::pipeline) fn line(
        &self,
        document: &Document,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), BadRecord> {
        if let (Style::Completion | Style::Text | Style::PromptCompletion, Document::Chat(conversation)) =
            (self.style, document)
            && let Some(number) = conversation.messages.iter().position(|message| !message.trains)
        {
            let reason =
                format!("message {number} is not to be trained on: only the style \"messages\" can say so");
            return Err(BadRecord::WrongForm(reason));
        }
        match (self.style, document) {
            (Style::Completion, Document::Text(_) | Document::Chat(_)) => {
                out.extend_from_slice(b"{\"prompt\": \"\", \"completion\": ");
                self.string(&self.rendered(document)?, out);
                out.push(b'}');
            }
            (Style::Text, Document::Text(_) | Document::Chat(_)) | (Style::Auto, Document::Text(_)) => {
                out.extend_from_slice(b"{\"text\": ");
                self.string(&self.rendered(document)?, out);
                out.push(b'}');
            }
            (_, Document::Text(_)) => {
                let reason = "text without roles: style \"text\" or \"completion\" takes it";
                return Err(BadRecord::WrongForm(reason.into()));
            }
            (Style::Auto | Style::Messages, Document::Chat(conversation)) => {
                out.extend_from_slice(b"{\"messages\": ");
                self.messages(&conversation.messages, out);
                out.push(b'}');
            }
            (Style::Auto, Document::Preference(preference)) => self.preference(preference, out),
            (_, Document::Preference(_)) => {
                let reason = "judged answers: only the style \"auto\" keeps them apart";
                return Err(BadRecord::WrongForm(reason.into()));
            }
            (Style::PromptCompletion, Document::Chat(conversation)) => self.pairs(conversation, out),
        }
        Ok(())
    }

    fn rendered<'text>(
        &self,
        document: &'text Document,
    ) -> std::result::Result<std::borrow::Cow<'text, str>, BadRecord> {
        let conversation = match document {
            Document::Text(text) => return Ok(text.into()),
            Document::Chat(conversation) => conversation,
            Document::Preference(_) => return Err(BadRecord::WrongForm("judged answers, not a text".into())),
        };
        let Some(template) = &self.template else {
            return Err(BadRecord::Template("there is no template".into()));
        };
        let text = template.render(&Chat::of(conversation), false)?;
        Ok(if conversation.strip { python_strip(&text).to_owned() } else { text }.into())
    }

    /// A prompt and its answers, as `pack` takes them.
    fn preference(&self, preference: &Preference, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"prompt\": ");
        self.messages(&preference.prompt, out);
        match &preference.judged {
            Judged::Compared { chosen, rejected } => {
                out.extend_from_slice(b", \"chosen\": ");
                self.messages(chosen, out);
                out.extend_from_slice(b", \"rejected\": ");
                self.messages(rejected, out);
            }
            Judged::Labelled { completion, label } => {
                out.extend_from_slice(b", \"completion\": ");
                self.messages(completion, out);
                out.extend_from_slice(b", \"label\": ");
                out.extend_from_slice(label.to_string().as_bytes());
            }
        }
        out.push(b'}');
    }

    fn messages(&self, messages: &[Message], out: &mut Vec<u8>) {
        out.push(b'[');
        for (number, Message { role, content, trains }) in messages.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(b"{\"role\": \"");
            out.extend_from_slice(role.name().as_bytes());
            out.extend_from_slice(b"\", \"content\": ");
            self.string(content, out);
            out.extend_from_slice(if *trains { b"}" } else { b", \"weight\": 0}" });
        }
        out.push(b']');
    }

    /// A pair for each answer: what was said since the one before, and the answer.
    fn pairs(&self, conversation: &Conversation, out: &mut Vec<u8>) {
        let mut pairs: Vec<(String, &str)> = Vec::new();
        let mut prompt: Option<String> = None;
        for Message { role, content, .. } in &conversation.messages {
            match (role, &mut prompt) {
                (Role::Assistant, _) => pairs.push((prompt.take().unwrap_or_default(), content)),
                (_, Some(prompt)) => {
                    prompt.push('\n');
                    prompt.push_str(content);
                }
                (_, None) => prompt = Some(content.clone()),
            }
        }
        // A question without an answer: `pack` says what becomes of it.
        pairs.extend(prompt.map(|prompt| (prompt, "")));
        let is_list = pairs.len() != 1;
        if is_list {
            out.push(b'[');
        }
        for (number, (prompt, completion)) in pairs.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(b"{\"prompt\": ");
            self.string(prompt, out);
            out.extend_from_slice(b", \"completion\": ");
            self.string(completion, out);
            out.push(b'}');
        }
        if is_list {
            out.push(b']');
        }
    }

    fn string(&self, text: &str, out: &mut Vec<u8>) {
        json_string(text, self.ensure_ascii, |part| out.extend_from_slice(part.as_bytes()));
    }

    /// Appends the lines of a record; what becomes of it.
    fn record(
        &self,
        format: Format,
        record: Record<'_>,
        keeps_raw: bool,
        (lines, log): (&mut Lines, &mut KeyLog<'_>),
    ) -> Fate {
        if is_blank(record.bytes) {
            return Fate::Dropped(BLANK);
        }
        let raw = |kept: bool| if kept { record.bytes.to_vec() } else { Vec::new() };
        let (bytes, ends) = (lines.bytes.len(), lines.ends.len());
        log.begin();
        let prepared = if format == Format::Text {
            Err(BadRecord::WrongForm("a line of text, not a record of this source".into()))
        } else {
            match simdutf8::basic::from_utf8(record.bytes) {
                Ok(text) => self.lines(text, (&mut lines.bytes, &mut lines.ends), log),
                Err(_) => Err(invalid_utf8(record.bytes)),
            }
        };
        match prepared {
            Ok(Prepared::Settled(fate)) => fate,
            Ok(Prepared::Node(node)) => {
                lines.nodes.push(node);
                Fate::Node { offset: record.offset, raw: raw(keeps_raw), unread: log.unread() }
            }
            Err(reason) => {
                lines.bytes.truncate(bytes);
                lines.ends.truncate(ends);
                Fate::Bad(placed(record.bytes, reason), record.offset, raw(keeps_raw))
            }
        }
    }
}

impl LineMaker for Preparer {
    fn verb(&self) -> &'static str {
        "prepare"
    }

    fn lines(&self, block: &Block, format: Format, keeps_raw: bool) -> Result<Lines> {
        let mut log = KeyLog::default();
        each_record(block, |record, lines| Ok(self.record(format, record, keeps_raw, (lines, &mut log))))
    }
}

/// Answers in a document.
pub(in crate::pipeline) fn turns(document: &Document) -> u64 {
    let count = |messages: &[Message]| {
        messages.iter().filter(|message| message.role == Role::Assistant).count() as u64
    };
    match document {
        Document::Text(_) => 0,
        Document::Chat(conversation) => count(&conversation.messages),
        Document::Preference(preference) => preference.judged.answers().into_iter().map(count).sum(),
    }
}
