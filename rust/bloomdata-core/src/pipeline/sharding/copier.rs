//! What `shard` makes of a record: its line, as it is.

use serde_json::Map;

use super::lines::{LineMaker, Lines, each_record};
use super::options::ShardConfig;
use crate::document::{BadRecord, Block, Record, is_blank};
use crate::error::Result;
use crate::json_fields::{invalid_utf8, validate};
use crate::json_nan::is_nan;
use crate::ledger::BLANK;
use crate::pipeline::folder::counts::ChatCounts;
use crate::pipeline::folder::outcome::Fate;
use crate::sources::Format;
use crate::unread_keys::KeySet;

/// Copies lines.
pub(in crate::pipeline) struct Copier<'run> {
    /// Key for the lines of `.txt` inputs; `None` copies lines as they are, blank ones too.
    text_field: Option<&'run str>,
    /// Whether every line must be a JSON object.
    validates: bool,
    /// Whether it may hold NaN and the like.
    allows_nan: bool,
}

impl<'run> Copier<'run> {
    /// A copier with these options.
    pub(in crate::pipeline) fn new(config: &'run ShardConfig) -> Self {
        let (validates, allows_nan) = (config.validate, config.allow_nan);
        Self { text_field: config.text_field.as_deref(), validates, allows_nan }
    }

    /// Appends the line as it will be stored; its size, or `None` for a blank one.
    fn line(
        &self,
        format: Format,
        record: Record<'_>,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Option<u64>, BadRecord> {
        let before = out.len();
        let Some(text_field) = self.text_field else {
            out.extend_from_slice(record.bytes);
            return Ok(Some(record.bytes.len() as u64));
        };
        if is_blank(record.bytes) {
            return Ok(None);
        }
        if format == Format::Text {
            let line = record.bytes.strip_suffix(b"\r").unwrap_or(record.bytes);
            let text = simdutf8::basic::from_utf8(line).map_err(|_| invalid_utf8(line))?;
            let object = Map::from_iter([(text_field.to_owned(), text.into())]);
            serde_json::to_writer(&mut *out, &object)
                .map_err(|error| BadRecord::MalformedJson((&error).into()))?;
        } else {
            // A newline inside an element of an array is malformed, and would become two lines.
            if self.validates || memchr::memchr(b'\n', record.bytes).is_some() {
                validate(record.bytes, self.allows_nan).map_err(told_way_out)?;
            }
            out.extend_from_slice(record.bytes);
        }
        Ok(Some((out.len() - before) as u64))
    }

    /// Appends the line of a record; what becomes of it.
    pub(in crate::pipeline) fn record(&self, format: Format, record: Record<'_>, lines: &mut Lines) -> Fate {
        match self.line(format, record, &mut lines.bytes) {
            Ok(Some(size)) => {
                lines.ends.push(lines.bytes.len());
                Fate::Kept {
                    text_bytes: size,
                    articles: 1,
                    chats: ChatCounts::default(),
                    unread: KeySet::default(),
                }
            }
            Ok(None) => Fate::Dropped(BLANK),
            Err(reason) => Fate::Bad(reason, record.offset, record.bytes.to_vec()),
        }
    }
}

/// NaN is refused, since a shard is read by others; who wants it copied can say so.
fn told_way_out(bad: BadRecord) -> BadRecord {
    match bad {
        BadRecord::MalformedJson(mut fault) if is_nan(&fault) => {
            fault.reason.push_str(" (allow_nan=True copies it as it is)");
            BadRecord::MalformedJson(fault)
        }
        bad => bad,
    }
}

impl LineMaker for Copier<'_> {
    fn verb(&self) -> &'static str {
        "shard"
    }

    fn lines(&self, block: &Block, format: Format, _keeps_raw: bool) -> Result<Lines> {
        each_record(block, |record, lines| Ok(self.record(format, record, lines)))
    }
}
