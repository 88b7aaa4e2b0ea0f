//! What the last pass is to do with records, from what was decided; and the list of duplicates for people.

use std::path::Path;

use serde_json::{Value, json};

use super::corpus::{Corpus, Lookup, Place};
use super::decisions::{Decision, Why, read_decisions};
use super::records::RecordReader;
use super::signature_file::SignatureFile;
use super::signing::signature_path;
use super::verdict_file::{Verdict, VerdictWriter};
use crate::error::{Error, Result};
use crate::io::atomic::AtomicFile;

/// What was dropped of each input: documents and bytes of their records, by reason.
pub type Dropped = Vec<[(u64, u64); 2]>;

/// Writes the verdicts on all records of the inputs, without those that are only compared with, and the list of
/// duplicates if one is wanted. `first_input` is the index in the corpus of the first input, whose files are in `folder`.
///
/// # Errors
/// The system's reason.
pub fn write_verdicts(
    corpus: &Corpus,
    (decisions, marked): (&Path, Option<&Path>),
    folder: &Path,
    first_input: usize,
    mut list: Option<&mut AtomicFile>,
) -> Result<Dropped> {
    let num_inputs = corpus.inputs.len() - first_input;
    let mut dropped = vec![[(0, 0); 2]; num_inputs];
    let mut lookup = Lookup::new(corpus);
    let mut decisions = read_decisions(decisions)?.peekable();
    let marked = marked.map(RecordReader::<4>::open).transpose()?;
    let mut marked = marked.into_iter().flatten().peekable();
    let mut file = VerdictWriter::create(folder)?;
    let mut lines = Vec::new();
    for (number, signed) in corpus.inputs[first_input..].iter().enumerate() {
        file.start_input()?;
        let bad = SignatureFile::open(&signature_path(folder, number))?.bad()?;
        let mut bad = bad.into_iter().peekable();
        let end = signed.first + signed.header.documents;
        loop {
            let of_decision = match decisions.peek() {
                Some(Ok(decision)) => Some(decision.document),
                Some(Err(_)) => Some(0),
                None => None,
            };
            let of_marked = match marked.peek() {
                Some(Ok([document, ..])) => Some(*document),
                Some(Err(_)) => Some(0),
                None => None,
            };
            let Some(next) = of_decision.into_iter().chain(of_marked).min().filter(|next| *next < end) else {
                break;
            };
            let (place, verdict) = if of_decision == Some(next) {
                let Some(decision) = decisions.next().transpose()? else { break };
                let place = lookup.place(decision.document)?;
                let (documents, bytes) = &mut dropped[number][usize::from(decision.why == Why::Near)];
                *documents += 1;
                *bytes += place.bytes;
                if list.is_some() {
                    let kept = decision.kept.map(|kept| lookup.place(kept)).transpose()?;
                    let via = decision.via.map(|via| lookup.place(via)).transpose()?;
                    write_line(corpus, (&place, kept.as_ref(), via.as_ref()), &decision, &mut lines)?;
                }
                (place, Verdict::Drop(decision.why))
            } else {
                let Some([document, first, count, is_dropped]) = marked.next().transpose()? else { break };
                let edit = Verdict::Edit { first, count };
                (lookup.place(document)?, if is_dropped == 1 { Verdict::DropRepeated } else { edit })
            };
            // Bad records before it.
            while let Some(bad) = bad.next_if(|bad| *bad < place.offset) {
                file.push(bad, Verdict::Bad)?;
            }
            file.push(place.offset, verdict)?;
            if let Some(list) = list.as_deref_mut().filter(|_| lines.len() >= 1 << 16) {
                list.write(&lines)?;
                lines.clear();
            }
        }
        for offset in bad {
            file.push(offset, Verdict::Bad)?;
        }
    }
    if let Some(list) = list {
        list.write(&lines)?;
    }
    file.seal()?;
    Ok(dropped)
}

fn write_line(
    corpus: &Corpus,
    (dropped, kept, via): (&Place, Option<&Place>, Option<&Place>),
    decision: &Decision,
    out: &mut Vec<u8>,
) -> Result<()> {
    let place = |place: &Place| -> Value {
        json!({"file": corpus.inputs[place.input].name, "line": place.line, "offset": place.offset})
    };
    let mut line = json!({
        "dropped": place(dropped), "kept": kept.map(place),
        "similarity": kept.map(|_| decision.similarity), "reason": decision.why.name(),
    });
    if let Some(via) = via {
        line["via"] = place(via);
    }
    serde_json::to_writer(&mut *out, &line).map_err(|error| Error::Internal(error.to_string()))?;
    out.push(b'\n');
    Ok(())
}
