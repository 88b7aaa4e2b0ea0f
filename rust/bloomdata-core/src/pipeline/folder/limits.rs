//! Limits of a run that never change what it writes: how many records may be bad, and whether nothing may be kept.

use crate::error::{Error, Result};
use crate::ledger::{BLANK, Ledger, Reasons};
use crate::token::double;

/// Records after which a share of bad ones says something about all of them.
const MIN_RECORDS: u64 = 100_000;

/// Bad records that a run puts up with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxBad {
    /// So many.
    Records(u64),
    /// A share of all records, 0 to 1.
    Share(f64),
}

/// What a run must not end with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Whether a run may keep no document.
    pub allow_empty: bool,
    /// Bad records beyond which it stops.
    pub max_bad: Option<MaxBad>,
}

impl Default for Limits {
    /// None.
    fn default() -> Self {
        Self { allow_empty: true, max_bad: None }
    }
}

impl Limits {
    /// Stops a run as soon as it has too many bad records; of a share, after the first 100,000 records.
    ///
    /// # Errors
    /// Too many of them.
    pub fn check_so_far(&self, ledger: &Ledger) -> Result<()> {
        match self.max_bad {
            Some(MaxBad::Share(_)) if ledger.documents_in < MIN_RECORDS => Ok(()),
            _ => self.check_bad(ledger),
        }
    }

    /// Checks the books of a run that has read everything.
    ///
    /// # Errors
    /// Too many bad records; or records of which none was kept. Inputs without records give outputs without.
    pub fn check(&self, ledger: &Ledger) -> Result<()> {
        self.check_bad(ledger)?;
        let blank = ledger.documents_dropped.get(BLANK).copied().unwrap_or_default();
        if ledger.documents_kept > 0 || ledger.documents_in == blank || self.allow_empty {
            return Ok(());
        }
        let counts = [("quarantined", &ledger.documents_quarantined), ("dropped", &ledger.documents_dropped)];
        let fates: String = counts.into_iter().map(|(fate, reasons)| listed(fate, reasons)).collect();
        let reason = format!(
            "of {} records, none was kept{fates} (allow_empty=True writes the empty output)",
            ledger.documents_in
        );
        Err(Error::config("allow_empty", reason))
    }

    fn check_bad(&self, ledger: &Ledger) -> Result<()> {
        let (bad, all) = (ledger.quarantined(), ledger.documents_in);
        let limit = match self.max_bad {
            None => return Ok(()),
            Some(MaxBad::Records(limit)) if bad <= limit => return Ok(()),
            Some(MaxBad::Share(share)) if double(bad) <= share * double(all) => return Ok(()),
            Some(MaxBad::Records(limit)) => limit.to_string(),
            Some(MaxBad::Share(share)) => format!("{}%", share * 100.0),
        };
        let fates = listed("", &ledger.documents_quarantined);
        Err(Error::TooManyBad {
            reason: format!("expected at most {limit} bad records, got {bad} of {all}{fates}"),
        })
    }
}

/// `: quarantined 3 (missing field 2, malformed JSON 1)`.
fn listed(fate: &str, reasons: &Reasons) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let each: Vec<String> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let colon = if fate.is_empty() { ": " } else { "; " };
    format!("{colon}{fate}{}{}", if fate.is_empty() { "" } else { ": " }, each.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(documents_in: u64, bad: u64) -> Ledger {
        let mut ledger = Ledger { documents_in, documents_kept: documents_in - bad, ..Ledger::default() };
        (0..bad).for_each(|_| ledger.quarantine_document("malformed JSON"));
        ledger
    }

    #[test]
    fn a_share_is_of_all_records_and_is_looked_at_early_only_after_many() {
        let limits = Limits { max_bad: Some(MaxBad::Share(0.001)), ..Limits::default() };
        assert!(limits.check(&ledger(1000, 1)).is_ok());
        assert!(limits.check(&ledger(999, 1)).is_err());
        assert!(limits.check_so_far(&ledger(99_999, 200)).is_ok());
        assert!(limits.check_so_far(&ledger(100_000, 100)).is_ok());
        assert!(limits.check_so_far(&ledger(100_000, 101)).is_err());
    }

    #[test]
    fn a_number_is_a_limit_from_the_start() {
        let limits = Limits { max_bad: Some(MaxBad::Records(2)), ..Limits::default() };
        assert!(limits.check_so_far(&ledger(2, 2)).is_ok());
        let error = limits.check_so_far(&ledger(3, 3)).unwrap_err().to_string();
        assert_eq!(error, "max_bad: expected at most 2 bad records, got 3 of 3: malformed JSON 3");
    }

    #[test]
    fn a_run_that_keeps_nothing_says_what_became_of_its_records() {
        let limits = Limits { allow_empty: false, max_bad: None };
        let mut books = ledger(2, 2);
        books.documents_in += 1;
        books.drop_documents("blank line", 1);
        let error = limits.check(&books).unwrap_err().to_string();
        let expected = "of 3 records, none was kept; quarantined: malformed JSON 2; dropped: blank line 1";
        assert!(error.contains(expected), "{error}");
        assert!(Limits::default().check(&books).is_ok());
        let mut blank = Ledger { documents_in: 1, ..Ledger::default() };
        blank.drop_documents(BLANK, 1);
        assert!(limits.check(&blank).is_ok());
    }
}
