//! All records of a source at once, trees put together: for short lists, and to see what a source makes of them.

use crate::conversation::Document;
use crate::document::BadRecord;
use crate::stages::trees::{Fate, conversation, fates};
use crate::stages::{RecordSource, Verdict};

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Documents.
    Documents(Vec<Document>),
    /// It is part of the conversation at its root's place.
    Joined,
    /// Left out for this reason.
    Dropped(&'static str),
    /// Not of the source's form.
    Bad(BadRecord),
}

/// What becomes of each record, in order.
pub fn read_all<'record>(
    source: &RecordSource,
    records: impl IntoIterator<Item = &'record str>,
) -> Vec<Outcome> {
    let reader = source.reader();
    let (mut nodes, mut places) = (Vec::new(), Vec::new());
    let mut outcomes: Vec<Outcome> = Vec::new();
    for record in records {
        outcomes.push(match reader.read(record) {
            Ok(Verdict::Keep(documents)) => Outcome::Documents(documents),
            Ok(Verdict::Drop(reason)) => Outcome::Dropped(reason),
            Ok(Verdict::Node(node)) => {
                nodes.push(node);
                places.push(outcomes.len());
                Outcome::Joined
            }
            Err(bad) => Outcome::Bad(bad),
        });
    }
    let end_on = source.trees().map(|options| options.end_on).unwrap_or_default();
    for (fate, place) in fates(&nodes, end_on).into_iter().zip(places) {
        outcomes[place] = match fate {
            Fate::Path(path) => Outcome::Documents(vec![Document::Chat(conversation(&nodes, &path))]),
            Fate::Joined => Outcome::Joined,
            Fate::Dropped(reason) => Outcome::Dropped(reason),
            Fate::Bad(bad) => Outcome::Bad(bad),
        };
    }
    outcomes
}
