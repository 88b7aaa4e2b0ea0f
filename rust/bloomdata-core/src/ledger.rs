//! The books: every document and token that came in is accounted for, or the run fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::unread_keys::UnreadKeys;

/// Counts by reason, in a stable order.
pub type Reasons = BTreeMap<String, u64>;

/// Why a blank line is dropped; alone of all records it is no row.
pub const BLANK: &str = "blank line";

/// Where every document and token went.
///
/// `documents_in` is counted where records are cut out of the input, the other document counts where each record's
/// fate is decided, `tokens_out` from what was written: an equation between them can fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Records found in the inputs (lines, array elements, rows; blank lines too).
    pub documents_in: u64,
    /// Documents written.
    pub documents_kept: u64,
    /// Records left out on purpose, by reason.
    pub documents_dropped: Reasons,
    /// Records set aside as bad, by reason.
    pub documents_quarantined: Reasons,
    /// Decompressed bytes of the inputs.
    pub bytes_in: u64,
    /// UTF-8 bytes of the kept documents' text; of whole lines where nothing looks inside them (`shard`).
    pub text_bytes: u64,
    /// Tokens of the documents, end-of-document tokens included, before packing drops or cuts any.
    pub tokens_in: u64,
    /// Tokens written, padding included.
    pub tokens_out: u64,
    /// Padding tokens written.
    pub tokens_padding: u64,
    /// Tokens cut off documents that were too long.
    pub tokens_truncated: u64,
    /// Tokens of documents or sequences that were left out whole.
    pub tokens_dropped: u64,
    /// Keys of kept records that were not read although they hold something, and in how many records. Not in manifests
    /// of before, and not where everything was read.
    #[serde(default, skip_serializing_if = "UnreadKeys::is_empty")]
    pub unread_keys: UnreadKeys,
}

impl Ledger {
    /// Counts records that are left out on purpose.
    pub fn drop_documents(&mut self, reason: &str, records: u64) {
        *self.documents_dropped.entry(reason.to_owned()).or_default() += records;
    }

    /// One record less is dropped for a reason.
    pub fn take_back_dropped(&mut self, reason: &str) {
        if let Some(count) = self.documents_dropped.get_mut(reason) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.documents_dropped.remove(reason);
            }
        }
    }

    /// Counts a record that is set aside as bad.
    pub fn quarantine_document(&mut self, reason: &str) {
        *self.documents_quarantined.entry(reason.to_owned()).or_default() += 1;
    }

    /// Sum of the bad records.
    pub fn quarantined(&self) -> u64 {
        self.documents_quarantined.values().sum()
    }

    /// Adds another run's books, for merges.
    pub fn add(&mut self, other: &Self) {
        self.documents_in += other.documents_in;
        self.documents_kept += other.documents_kept;
        self.bytes_in += other.bytes_in;
        self.text_bytes += other.text_bytes;
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
        self.tokens_padding += other.tokens_padding;
        self.tokens_truncated += other.tokens_truncated;
        self.tokens_dropped += other.tokens_dropped;
        self.unread_keys.add_all(&other.unread_keys);
        for (reason, count) in &other.documents_dropped {
            *self.documents_dropped.entry(reason.clone()).or_default() += count;
        }
        for (reason, count) in &other.documents_quarantined {
            *self.documents_quarantined.entry(reason.clone()).or_default() += count;
        }
    }

    /// What was added since these books stood at `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let reasons = |now: &Reasons, then: &Reasons| -> Reasons {
            let added = now.iter().map(|(reason, count)| {
                (reason.clone(), count - then.get(reason).copied().unwrap_or_default().min(*count))
            });
            added.filter(|(_, count)| *count > 0).collect()
        };
        Self {
            documents_in: self.documents_in.saturating_sub(earlier.documents_in),
            documents_kept: self.documents_kept.saturating_sub(earlier.documents_kept),
            documents_dropped: reasons(&self.documents_dropped, &earlier.documents_dropped),
            documents_quarantined: reasons(&self.documents_quarantined, &earlier.documents_quarantined),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
            text_bytes: self.text_bytes.saturating_sub(earlier.text_bytes),
            tokens_in: self.tokens_in.saturating_sub(earlier.tokens_in),
            tokens_out: self.tokens_out.saturating_sub(earlier.tokens_out),
            tokens_padding: self.tokens_padding.saturating_sub(earlier.tokens_padding),
            tokens_truncated: self.tokens_truncated.saturating_sub(earlier.tokens_truncated),
            tokens_dropped: self.tokens_dropped.saturating_sub(earlier.tokens_dropped),
            unread_keys: self.unread_keys.since(&earlier.unread_keys),
        }
    }

    /// Checks both equations.
    ///
    /// # Errors
    /// [`Error::Ledger`] names the sum that is off.
    pub fn balance(&self) -> Result<()> {
        let dropped: u64 = self.documents_dropped.values().sum();
        let fates = self.documents_kept + dropped + self.quarantined();
        if self.documents_in != fates {
            return Err(Error::Ledger {
                reason: format!(
                    "{} documents in, but {} kept + {dropped} dropped + {} quarantined",
                    self.documents_in,
                    self.documents_kept,
                    self.quarantined()
                ),
            });
        }
        let lost = self.tokens_truncated + self.tokens_dropped;
        if self.tokens_in + self.tokens_padding != self.tokens_out + lost {
            return Err(Error::Ledger {
                reason: format!(
                    "{} tokens in + {} padding, but {} out + {lost} truncated or dropped",
                    self.tokens_in, self.tokens_padding, self.tokens_out
                ),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_document_is_noticed() {
        let mut ledger = Ledger { documents_in: 3, documents_kept: 1, ..Ledger::default() };
        ledger.drop_documents("blank line", 1);
        assert!(ledger.balance().is_err());
        ledger.quarantine_document("malformed JSON");
        assert!(ledger.balance().is_ok());
    }

    #[test]
    fn what_was_added_since_is_what_must_be_added() {
        let mut earlier = Ledger { documents_in: 3, documents_kept: 2, bytes_in: 9, ..Ledger::default() };
        earlier.drop_documents("blank line", 1);
        let mut own = Ledger { documents_in: 4, documents_kept: 1, bytes_in: 5, ..Ledger::default() };
        own.drop_documents("blank line", 2);
        own.quarantine_document("malformed JSON");
        let mut now = earlier.clone();
        now.add(&own);
        assert_eq!(now.since(&earlier), own);
        assert_eq!(now.since(&now), Ledger::default());
    }

    #[test]
    fn a_lost_token_is_noticed() {
        let mut ledger = Ledger { tokens_in: 10, tokens_out: 12, ..Ledger::default() };
        assert!(ledger.balance().is_err());
        ledger.tokens_padding = 2;
        assert!(ledger.balance().is_ok());
    }
}
