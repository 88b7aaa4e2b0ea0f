//! Calls of tools: whether a template writes them. Names and arguments are replaced by markers, as contents are when
//! spans are located, and each marker has to be in the text.

use serde_json::Value;

use super::markers::marker;

/// A message whose calls are markers.
#[derive(Debug)]
pub(super) struct MarkedCalls {
    /// The message as JSON.
    pub(super) json: String,
    /// Each marker, and what it stands for.
    pub(super) marks: Vec<(String, String)>,
}

/// Replaces the names and arguments of all calls of a message; `first` is the number of the first marker.
///
/// # Errors
/// A call without a name, with its place.
pub(super) fn mark(message: &str, first: usize) -> Result<MarkedCalls, String> {
    let mut message: Value = serde_json::from_str(message).map_err(|error| error.to_string())?;
    let mut marks = Vec::new();
    let mut next = |told: String| {
        let mark = marker(first + marks.len());
        marks.push((mark.clone(), told));
        Value::String(mark)
    };
    if let Some(calls) = message.get_mut("tool_calls").filter(|calls| !is_empty(calls)) {
        let Some(calls) = calls.as_array_mut() else {
            return Err(format!("tool_calls: expected a list, found {calls}"));
        };
        for (at, call) in calls.iter_mut().enumerate() {
            let place = format!("tool_calls[{at}]");
            let function = if call.get("function").is_some() { &mut call["function"] } else { call };
            mark_call(function, &place, &mut next)?;
        }
    }
    if let Some(call) = message.get_mut("function_call").filter(|call| !is_empty(call)) {
        mark_call(call, "function_call", &mut next)?;
    }
    Ok(MarkedCalls { json: message.to_string(), marks })
}

fn mark_call(call: &mut Value, place: &str, next: &mut dyn FnMut(String) -> Value) -> Result<(), String> {
    let Some(name) = call.get("name").and_then(Value::as_str).map(str::to_owned) else {
        return Err(format!("{place}: expected a call with a name, found {call}"));
    };
    call["name"] = next(format!("{place}, which calls {name:?}"));
    if let Some(arguments) = call.get_mut("arguments").filter(|arguments| !is_empty(arguments)) {
        let mark = next(format!("the arguments of {place}"));
        // Templates write objects as JSON, or key by key.
        *arguments = match (&*arguments, mark) {
            (Value::Object(_), Value::String(mark)) => [(mark, Value::from(1))].into_iter().collect(),
            (_, mark) => mark,
        };
    }
    Ok(())
}

/// Whether a text holds a marker, be it written as JSON in ASCII.
pub(super) fn holds(text: &str, mark: &str) -> bool {
    text.contains(mark)
        || text.contains(mark.replace('\u{fdd3}', "\\ufdd3").replace('\u{fdd4}', "\\ufdd4").as_str())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arguments_are_markers_in_every_form_of_a_call() {
        let marked = mark(
            r#"{"tool_calls":[{"id":"x","function":{"name":"f","arguments":{"a":1}}},{"name":"g","arguments":"{}"},{"name":"h"}],
                "function_call":{"name":"i","arguments":{}}}"#,
            3,
        )
        .unwrap();
        let told: Vec<&str> = marked.marks.iter().map(|(_, told)| told.as_str()).collect();
        assert_eq!(
            told,
            [
                "tool_calls[0], which calls \"f\"",
                "the arguments of tool_calls[0]",
                "tool_calls[1], which calls \"g\"",
                "the arguments of tool_calls[1]",
                "tool_calls[2], which calls \"h\"",
                "function_call, which calls \"i\"",
            ]
        );
        for (number, (mark, _)) in marked.marks.iter().enumerate() {
            assert_eq!(*mark, marker(number + 3));
            assert!(holds(&marked.json, mark));
        }
        assert!(holds("\\ufdd30\\ufdd4", &marker(0)) && !holds("0", &marker(0)));
    }

    #[test]
    fn a_call_without_a_name_is_told_with_its_place() {
        assert_eq!(
            mark(r#"{"tool_calls":[{"function":{"x":1}}]}"#, 0).unwrap_err(),
            "tool_calls[0]: expected a call with a name, found {\"x\":1}"
        );
        assert_eq!(mark(r#"{"tool_calls":"x"}"#, 0).unwrap_err(), "tool_calls: expected a list, found \"x\"");
        assert!(mark(r#"{"tool_calls":[],"function_call":null}"#, 0).unwrap().marks.is_empty());
    }
}
