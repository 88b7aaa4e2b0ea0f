//! Switches of messages and records that say what is trained on: `weight` as in the format of hosted fine-tuning,
//! `train` and `training` as in axolotl, `loss_mask` as in verl, `loss` as in ms-swift, and `trainable`.
//!
//! A switch is on (`true`, `1`), off (`false`, `0`), or not set (`null`). No other value is understood: a loss weight of
//! 0.5, or ranges of letters as in axolotl's `train_detail`, cannot be stored in a mask of tokens.

use serde_json::value::RawValue;

use crate::json_fields::{Given, name_of};

/// Names of switches; the last three are of finer settings, which are not understood.
pub const KEYS: [&str; 9] = [
    "weight",
    "train",
    "training",
    "trainable",
    "loss",
    "loss_mask",
    "train_detail",
    "training_detail",
    "loss_scale",
];
const NUM_DETAILS: usize = 3;

/// Whether a key of a message is a switch, or a setting like one.
pub fn is_switch(key: &str) -> bool {
    KEYS.contains(&key)
}

/// The name of a key that is one.
pub fn named(key: &[u8]) -> Option<&'static str> {
    name_of(key, KEYS)
}

/// What a record says beside its messages, parted: its switches, and the rest.
pub fn parted(given: Vec<Given<'_>>) -> (Vec<Given<'_>>, Vec<Given<'_>>) {
    given.into_iter().partition(|(key, _)| is_switch(key))
}

fn is_detail(key: &str) -> bool {
    KEYS[KEYS.len() - NUM_DETAILS..].contains(&key)
}

/// What a switch says; `None` if it is not set. `raw` is its JSON.
///
/// # Errors
/// What was expected, and found.
pub fn parse(key: &str, raw: &str) -> Result<Option<bool>, String> {
    let is_detail = is_detail(key);
    match raw {
        "null" => Ok(None),
        "[]" if is_detail => Ok(None),
        "true" | "1" | "1.0" if !is_detail => Ok(Some(true)),
        "false" | "0" | "0.0" if !is_detail => Ok(Some(false)),
        _ => {
            let expected = if is_detail { "null" } else { "0 or 1, false or true, or null" };
            let shown: String = raw.chars().take(40).collect();
            Err(format!("{key}: expected {expected}, found {shown}"))
        }
    }
}

/// What two switches say together.
///
/// # Errors
/// They contradict each other.
pub fn join(one: Option<bool>, other: Option<bool>) -> Result<Option<bool>, String> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err("its switches contradict each other".into()),
        _ => Ok(one.or(other)),
    }
}

/// Which messages are trained on, if any answer is switched off.
///
/// Args: whether each message is an answer, what its own switches say, and the switches of the record: one for all
/// answers, or a list with one for each message.
///
/// # Errors
/// A value that is not understood, a contradiction, or a message that is no answer and is switched on.
pub fn mask(
    is_answer: &[bool],
    mut states: Vec<Option<bool>>,
    record: &[(&str, &str)],
) -> Result<Option<Vec<bool>>, String> {
    for &(key, raw) in record {
        if raw.starts_with('[') {
            let list: Vec<&RawValue> =
                serde_json::from_str(raw).map_err(|error| format!("{key}: {error}"))?;
            if list.len() != states.len() {
                let (expected, found) = (states.len(), list.len());
                return Err(format!(
                    "{key}: expected {expected} values, one for each message, found {found}"
                ));
            }
            for (number, (state, value)) in states.iter_mut().zip(list).enumerate() {
                let told = |reason: String| format!("message {number}: {reason}");
                *state = join(*state, parse(key, value.get()).map_err(told)?).map_err(told)?;
            }
        } else if parse(key, raw)? == Some(false) {
            for (number, state) in states.iter_mut().enumerate().filter(|(number, _)| is_answer[*number]) {
                *state = join(*state, Some(false)).map_err(|reason| format!("message {number}: {reason}"))?;
            }
        }
    }
    if let Some(number) = (0..states.len()).find(|&number| states[number] == Some(true) && !is_answer[number])
    {
        return Err(format!(
            "message {number} is switched on: expected a message of the assistant, since no other can be trained on"
        ));
    }
    let is_off = |(state, is_answer): (&Option<bool>, &bool)| *is_answer && *state == Some(false);
    let has_off = states.iter().zip(is_answer).any(is_off);
    Ok(has_off.then(|| states.iter().zip(is_answer).map(|both| *both.1 && !is_off(both)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_off_or_not_set_and_nothing_else() {
        for key in KEYS.into_iter().filter(|key| !is_detail(key)) {
            for raw in ["true", "1", "1.0"] {
                assert_eq!(parse(key, raw), Ok(Some(true)));
            }
            for raw in ["false", "0", "0.0"] {
                assert_eq!(parse(key, raw), Ok(Some(false)));
            }
            assert_eq!(parse(key, "null"), Ok(None));
            for raw in ["0.5", "2", "-1", "\"1\"", "[]", "{}"] {
                assert_eq!(
                    parse(key, raw),
                    Err(format!("{key}: expected 0 or 1, false or true, or null, found {raw}"))
                );
            }
        }
        assert_eq!(parse("train_detail", "[]"), Ok(None));
        assert!(parse("train_detail", "1").is_err());
    }

    #[test]
    fn switches_may_repeat_but_not_contradict_each_other() {
        assert_eq!(join(None, Some(false)), Ok(Some(false)));
        assert_eq!(join(Some(true), Some(true)), Ok(Some(true)));
        assert!(join(Some(true), Some(false)).is_err());
    }

    #[test]
    fn a_mask_is_what_messages_and_record_say_together() {
        let answers = [false, true, false, true];
        let none = || vec![None; 4];
        let of = |states, record: &[(&str, &str)]| mask(&answers, states, record);
        assert_eq!(of(none(), &[]), Ok(None));
        assert_eq!(of(none(), &[("weight", "1"), ("loss_mask", "[0,1,null,true]")]), Ok(None));
        let second = Ok(Some(vec![false, false, false, true]));
        assert_eq!(of(vec![None, Some(false), None, None], &[]), second);
        assert_eq!(of(none(), &[("loss_mask", "[0,0,0,1]")]), second);
        assert_eq!(of(none(), &[("train", "false")]), Ok(Some(vec![false; 4])));
        assert!(of(none(), &[("loss_mask", "[0,1]")]).unwrap_err().contains("expected 4 values"));
        assert!(
            of(none(), &[("loss_mask", "[1,1,1,1]")]).unwrap_err().starts_with("message 0 is switched on")
        );
        assert!(of(none(), &[("loss_mask", "[0,0.5,0,1]")]).unwrap_err().starts_with("message 1: loss_mask"));
        let contradicting = of(vec![None, Some(true), None, None], &[("weight", "0")]);
        assert_eq!(contradicting, Err("message 1: its switches contradict each other".into()));
    }
}
