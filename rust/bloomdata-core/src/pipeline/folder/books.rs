//! The ledger, the quarantine and the place in the inputs, settled record by record in input order.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::counts::{ChatCounts, InputCounts, is_zero};
use super::limits::Limits;
use super::manifest::{IndexedInputs, OutputEntry, input_entry};
use super::outcome::{Fate, Outcome};
use crate::document::{BYTE_ORDER_MARK, BadRecord, Position, RecordPlace};
use crate::error::{Error, Result};
use crate::io::atomic::{AtomicFile, remove_if_present, temporary_path};
use crate::ledger::Ledger;
use crate::sources::folders::changed;
use crate::sources::{Format, Input};
use crate::unread_keys::KeySet;

/// Name of the file of bad records.
pub const QUARANTINE_NAME: &str = "quarantine.jsonl";

/// What to do with a record that cannot become a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadRecord {
    /// Stop with an error that names the place.
    Raise,
    /// Keep its bytes in `quarantine.jsonl`, count it, go on.
    Quarantine,
}

/// State of the books between two records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where the next record is.
    pub position: Position,
    /// Everything before it.
    pub ledger: Ledger,
    /// Bytes of the quarantine so far.
    pub quarantine_bytes: u64,
    /// Documents kept and their tokens, of the input that is being read.
    pub input: InputCounts,
    /// Records of that input that are no blank lines.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// Articles by length: entry i counts those of 2^i to 2^(i+1) - 1 tokens.
    pub histogram: Vec<u64>,
}

/// The open books of a run.
#[derive(Debug)]
pub struct Books<'run> {
    inputs: &'run [Input],
    folder: &'run Path,
    on_bad_record: OnBadRecord,
    quarantine: Option<AtomicFile>,
    unsynced: bool,
    state: Snapshot,
    finished: IndexedInputs,
    has_chats: bool,
    limits: Limits,
    keeps_bad: bool,
}

impl<'run> Books<'run> {
    /// Opens the books at `state`.
    ///
    /// # Errors
    /// A quarantine file that is gone or too short.
    pub fn open(
        inputs: &'run [Input],
        folder: &'run Path,
        on_bad_record: OnBadRecord,
        state: Snapshot,
    ) -> Result<Self> {
        let path = folder.join(QUARANTINE_NAME);
        let quarantine = if state.quarantine_bytes > 0 {
            Some(AtomicFile::resume(&path, state.quarantine_bytes)?)
        } else {
            remove_if_present(&temporary_path(&path))?;
            None
        };
        Ok(Self {
            inputs,
            folder,
            on_bad_record,
            quarantine,
            unsynced: false,
            state,
            finished: Vec::new(),
            has_chats: false,
            limits: Limits::default(),
            keeps_bad: true,
        })
    }

    /// The state now.
    pub fn snapshot(&self) -> &Snapshot {
        &self.state
    }

    /// The ledger, for counts that are not of records.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.state.ledger
    }

    /// Counts the articles of a kept record.
    pub fn count_articles(&mut self, lengths: &[u32]) {
        let tokens: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        self.state.ledger.tokens_in += tokens;
        self.state.input.tokens += tokens;
        for bucket in lengths.iter().filter_map(|length| length.checked_ilog2()) {
            count_bucket(&mut self.state.histogram, bucket as usize);
            if self.has_chats {
                count_bucket(&mut self.state.input.length_histogram, bucket as usize);
            }
        }
    }

    /// Says that documents are conversations, whose lengths are counted for each input, too.
    #[must_use]
    pub fn of_chats(self, has_chats: bool) -> Self {
        Self { has_chats, ..self }
    }

    /// Sets how many records may be bad.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Says that bad records are counted, and not kept.
    #[must_use]
    pub fn without_quarantine(self) -> Self {
        Self { keeps_bad: false, ..self }
    }

    /// Inputs that ended since the last call.
    pub fn take_finished(&mut self) -> IndexedInputs {
        std::mem::take(&mut self.finished)
    }

    /// Those before input `file`; the others stay.
    pub fn take_finished_before(&mut self, file: usize) -> IndexedInputs {
        let count = self.finished.partition_point(|(at, _)| *at < file);
        self.finished.drain(..count).collect()
    }

    /// Settles one record of input `file`.
    ///
    /// # Errors
    /// A bad record, when bad records are errors.
    pub fn settle(&mut self, file: usize, outcome: &Outcome) -> Result<()> {
        if self.state.position.file != file {
            return Err(Error::Internal("records of an input that is not open".into()));
        }
        self.state.position.line += outcome.records;
        self.state.position.offset = outcome.next_offset;
        self.state.ledger.documents_in += outcome.records;
        self.state.rows += if outcome.is_row() { outcome.records } else { 0 };
        match &outcome.fate {
            Fate::Kept { text_bytes, chats, unread, .. } => {
                self.state.ledger.unread_keys.add(unread);
                self.state.ledger.documents_kept += 1;
                self.state.input.documents_kept += 1;
                self.state.input.chats.add(*chats);
                self.state.ledger.text_bytes += text_bytes;
            }
            Fate::Dropped(reason) => self.state.ledger.drop_documents(reason, outcome.records),
            Fate::Bad(reason, offset, raw) => self.set_aside(file, reason, *offset, raw)?,
            Fate::Node { .. } => return Err(Error::Internal("a message that is in no tree".into())),
        }
        Ok(())
    }

    /// Keeps a record of the open input that was dropped for `reason`.
    pub fn keep_after_all(
        &mut self,
        reason: &'static str,
        text_bytes: u64,
        chats: ChatCounts,
        unread: &KeySet,
    ) {
        self.state.ledger.unread_keys.add(unread);
        self.state.ledger.take_back_dropped(reason);
        self.state.ledger.documents_kept += 1;
        self.state.ledger.text_bytes += text_bytes;
        self.state.input.documents_kept += 1;
        self.state.input.chats.add(chats);
    }

    /// Drops a record that was kept: of the open input, or of one that has ended and was not taken.
    pub fn drop_after_all(
        &mut self,
        file: usize,
        reason: &str,
        text_bytes: u64,
        chats: ChatCounts,
        unread: &KeySet,
    ) {
        self.state.ledger.unread_keys.take_back(unread);
        self.state.ledger.documents_kept -= 1;
        self.state.ledger.text_bytes -= text_bytes;
        self.state.ledger.drop_documents(reason, 1);
        if let Some(input) = self.counts(file) {
            input.documents_kept -= 1;
            input.chats.take_back(chats);
        }
    }

    /// Takes back tokens of a kept record that were counted as trained on.
    pub fn untrain(&mut self, file: usize, tokens: u64) {
        if let Some(input) = self.counts(file) {
            input.chats.tokens_trained -= tokens;
        }
    }

    fn counts(&mut self, file: usize) -> Option<&mut InputCounts> {
        if self.state.position.file == file {
            return Some(&mut self.state.input);
        }
        let at = self.finished.binary_search_by_key(&file, |(at, _)| *at).ok()?;
        Some(&mut self.finished[at].1.counts)
    }

    fn set_aside(&mut self, file: usize, reason: &BadRecord, offset: u64, raw: &[u8]) -> Result<()> {
        let path = &self.inputs[file].path;
        // In a share of a file, only its start is known in lines.
        let is_counted = self.inputs[file].first_offset() == 0;
        let line = is_counted.then_some(self.state.position.line);
        let told = reason.told(RecordPlace { offset, is_line: self.inputs[file].format.is_lines() });
        if self.on_bad_record == OnBadRecord::Raise {
            return Err(Error::BadRecord { path: path.clone(), line, offset, reason: told });
        }
        self.state.ledger.quarantine_document(reason.name());
        if !self.keeps_bad {
            return self.limits.check_so_far(&self.state.ledger);
        }
        let mut entry = json!({
            "file": path, "line": line, "offset": offset, "reason": reason.name(), "detail": told,
        });
        match std::str::from_utf8(raw) {
            Ok(text) => entry["raw"] = text.into(),
            Err(_) => entry["raw_hex"] = hex(raw).into(),
        }
        let quarantine = match &mut self.quarantine {
            Some(quarantine) => quarantine,
            none => none.insert(AtomicFile::create(&self.folder.join(QUARANTINE_NAME))?),
        };
        quarantine.write(format!("{entry}\n").as_bytes())?;
        self.unsynced = true;
        self.state.quarantine_bytes = quarantine.size();
        self.limits.check_so_far(&self.state.ledger)
    }

    /// Closes an input. Every byte of it must have been a record's, its line end's, or a byte order mark's.
    ///
    /// # Errors
    /// Bytes that are not accounted for: a defect.
    pub fn end_input(&mut self, file: usize, hash: String, content_bytes: u64) -> Result<()> {
        let input = &self.inputs[file];
        let seen = self.state.position.offset;
        if seen > content_bytes && input.range().is_none() {
            let what =
                format!("{}: bytes of content (changed since an earlier attempt)", input.path.display());
            return Err(Error::mismatch(what, format!("at least {seen}"), content_bytes));
        }
        let complete = match (input.format, input.range()) {
            // Its last line may end behind it.
            (_, Some(range)) if !input.format.is_lines() => {
                seen == range.content[1] || range.content[0] == range.content[1]
            }
            (_, Some(range)) => {
                seen == 0
                    || seen > range.content[1]
                    || (range.is_last(input.size) && seen == range.content[1])
            }
            (Format::Json, _) => seen <= content_bytes,
            _ => seen == content_bytes || (seen == 0 && content_bytes == BYTE_ORDER_MARK.len() as u64),
        };
        if !complete {
            let reason = format!("{}: {content_bytes} bytes in, {seen} in records", input.path.display());
            return Err(Error::Ledger { reason });
        }
        if let Some(promised) = &input.promised_hash
            && **promised != *hash
        {
            return Err(changed(&input.path, "content", promised, &hash));
        }
        self.state.ledger.bytes_in += content_bytes;
        self.finished
            .push((file, input_entry(input, hash, content_bytes, std::mem::take(&mut self.state.input))));
        self.state.position = Position { file: file + 1, ..Position::default() };
        self.state.rows = 0;
        Ok(())
    }

    /// Makes the quarantine so far survive a crash.
    ///
    /// # Errors
    /// The system's reason.
    pub fn sync(&mut self) -> Result<()> {
        if std::mem::take(&mut self.unsynced) {
            self.quarantine.as_ref().map_or(Ok(()), AtomicFile::sync)
        } else {
            Ok(())
        }
    }

    /// Seals the quarantine, if there is one.
    ///
    /// # Errors
    /// The system's reason.
    pub fn finish(mut self) -> Result<(Ledger, Option<OutputEntry>, IndexedInputs)> {
        self.state.ledger.unread_keys = self.state.ledger.unread_keys.found();
        let records = self.state.ledger.quarantined();
        let entry = match self.quarantine {
            None => None,
            Some(file) => {
                let sealed = file.seal()?;
                let details = Map::from_iter([("records".to_owned(), records.into())]);
                Some(OutputEntry {
                    path: QUARANTINE_NAME.into(),
                    size: sealed.size,
                    hash: sealed.hash,
                    details,
                })
            }
        };
        Ok((self.state.ledger, entry, self.finished))
    }
}

fn count_bucket(histogram: &mut Vec<u64>, bucket: usize) {
    if histogram.len() <= bucket {
        histogram.resize(bucket + 1, 0);
    }
    histogram[bucket] += 1;
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
