//! Switches of messages and records (see [`crate::switches`]), as readers of message lists find them.

use crate::conversation::{Message, Role};
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, Given, Wanted, extract_raw_and};
use crate::key_log::KeyLog;
use crate::switches::{join, mask, parse};

/// The JSON of each field, and what is wanted besides; other keys are noted.
///
/// # Errors
/// The record is no object.
pub fn raw_and<'record, const N: usize>(
    record: &'record str,
    fields: &[FieldPath; N],
    wanted: Wanted,
    log: &mut KeyLog<'_>,
) -> Result<([Option<&'record str>; N], Vec<Given<'record>>), BadRecord> {
    let (found, given) = extract_raw_and(record, fields, wanted, Some(log))?;
    Ok((found.try_into().map_err(|_| BadRecord::NotAnObject("something else"))?, given))
}

/// What the switches of a message say together.
///
/// # Errors
/// A value that is not understood, or a contradiction.
pub fn switch_of(given: Vec<Given<'_>>) -> Result<Option<bool>, BadRecord> {
    let said = given.into_iter().try_fold(None, |before, (key, raw)| join(before, parse(key, raw)?));
    said.map_err(BadRecord::WrongForm)
}

/// Lets switches decide which messages may be trained on: what each message says, and those of the record.
///
/// # Errors
/// A value that is not understood, a contradiction, or a message that is no answer and is switched on.
pub fn obey_switches(
    messages: &mut [Message],
    states: Vec<Option<bool>>,
    record: &[Given<'_>],
) -> Result<(), BadRecord> {
    if record.is_empty() && states.iter().all(Option::is_none) {
        return Ok(());
    }
    let is_answer: Vec<bool> = messages.iter().map(|message| message.role == Role::Assistant).collect();
    let mask = mask(&is_answer, states, record).map_err(BadRecord::WrongForm)?;
    for (message, trains) in messages.iter_mut().zip(mask.unwrap_or_default()) {
        message.trains = trains || message.role != Role::Assistant;
    }
    Ok(())
}
