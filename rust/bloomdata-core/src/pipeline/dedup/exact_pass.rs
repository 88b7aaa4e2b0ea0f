//! Equal documents for a verb that reads its inputs once more: who is dropped is left under `.dedup/` of its output.

use std::path::Path;

use super::corpus::{Corpus, Part};
use super::decisions::{Decided, Why};
use super::equal::{decide_equal, find_equal};
use super::sign::{Notes, sign};
use super::signature_file::Column;
use super::signing::Signing;
use super::sorter::Room;
use super::verdict_file::Verdicts;
use super::verdicts::write_verdicts;
use crate::dedup::exact_key::TextForm;
use crate::dedup::keep::DocumentSet;
use crate::error::Result;
use crate::json_fields::FieldPath;
use crate::pipeline::feed::Reading;
use crate::pipeline::folder::books::OnBadRecord;
use crate::pipeline::folder::limits::Limits;
use crate::pipeline::scratch::create_scratch;

/// Bytes of memory of a sorter, of which two may be full at once; what does not fit goes to the disk.
const TABLE_BYTES: u64 = 256 << 20;

/// A pass over the inputs before the one that writes.
#[derive(Debug)]
pub struct ExactPass<'run> {
    /// The fields that hold text; documents are equal if all of them are.
    pub fields: &'run [FieldPath],
    /// What makes two texts equal.
    pub form: TextForm,
    /// What to do with a record that is no document.
    pub on_bad_record: OnBadRecord,
    /// Where to leave what is found.
    pub folder: &'run Path,
}

/// What the pass found.
#[derive(Debug)]
pub struct Distinct {
    /// The inputs as they were read.
    pub corpus: Corpus,
    /// Which records are dropped.
    pub verdicts: Verdicts,
}

impl ExactPass<'_> {
    /// Finds the documents that repeat an earlier one. Inputs that an earlier attempt has read are not read again.
    ///
    /// # Errors
    /// What can be wrong with an input; a bad record, unless those are set aside; the system's reason.
    pub fn run(&self, reading: Reading<'_>, notes: &mut impl Notes) -> Result<Distinct> {
        let Reading { inputs, num_threads, progress, .. } = reading;
        let parts = [Part { folder: self.folder.join("inputs"), first: 0, inputs }];
        let folder = &*parts[0].folder;
        create_scratch(self.folder, folder)?;
        let room = Room { folder, bytes: TABLE_BYTES, num_threads, progress };
        let signing = Signing::of_equal_texts(self.fields.to_vec(), self.form);
        // The last pass counts them.
        let bad = (self.on_bad_record, Limits::default());
        sign(&signing, reading, bad, room, None, notes)?;
        let corpus = Corpus::open(&parts, 0, &signing)?;
        if !Verdicts::is_written(folder) {
            self.decide(&corpus, Room { folder: self.folder, ..room }, folder)?;
        }
        Ok(Distinct { verdicts: Verdicts::open(folder, inputs, 0)?, corpus })
    }

    fn decide(&self, corpus: &Corpus, room: Room<'_>, folder: &Path) -> Result<()> {
        let (equal, decisions) = (self.folder.join("equal-texts"), self.folder.join("decisions"));
        find_equal(corpus, Column::Exact, &mut DocumentSet::new(corpus.documents), room, &equal)?;
        let mut decided = Decided::new(room);
        let earlier = std::iter::empty();
        decide_equal(&equal, Why::Exact, 0, earlier, |decision| decided.push(decision))?;
        decided.write(&decisions)?;
        write_verdicts(corpus, (&decisions, None), folder, 0, None).map(|_| ())
    }
}
