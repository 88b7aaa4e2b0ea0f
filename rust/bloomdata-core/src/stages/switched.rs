//! Switches of messages and records (see [`crate::switches`]), as readers of message lists find them.

use crate::conversation::{Message, Role};
use crate::document::BadRecord;
use crate::json_fields::FieldPath;
use crate::switches::{KEYS, join, mask, parse};

/// How many keys are switches, or settings like one.
pub const NUM_SWITCHES: usize = KEYS.len();

/// The fields that are looked for: these keys, then the switches.
pub fn with_switches<const N: usize, const M: usize>(keys: [&str; N]) -> [FieldPath; M] {
    let key = |at: usize| keys.get(at).or_else(|| KEYS.get(at - N)).copied().unwrap_or_default();
    std::array::from_fn(|at| FieldPath::of_key(key(at)))
}

/// What the switches of a message say together; one JSON value for each key.
///
/// # Errors
/// A value that is not understood, or a contradiction.
pub fn switch_of(found: [Option<&str>; NUM_SWITCHES]) -> Result<Option<bool>, String> {
    given(found).into_iter().try_fold(None, |before, (key, raw)| join(before, parse(key, raw)?))
}

/// The switches that are there, and their JSON.
pub fn given(found: [Option<&str>; NUM_SWITCHES]) -> Vec<(&'static str, &str)> {
    KEYS.into_iter()
        .zip(found)
        .filter_map(|(key, raw)| Some((key, raw.filter(|raw| *raw != "null")?)))
        .collect()
}

/// Lets switches decide which messages may be trained on: what each message says, and those of the record.
///
/// # Errors
/// A value that is not understood, a contradiction, or a message that is no answer and is switched on.
pub fn obey_switches(
    messages: &mut [Message],
    states: Vec<Option<bool>>,
    record: &[(&str, &str)],
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
