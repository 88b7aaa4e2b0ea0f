//! What a source makes of records, as JSON: for tests and for a look at data, not for long inputs.

use bloomdata_core::conversation::{Document, Judged, Message, Preference};
use bloomdata_core::stages::RecordSource;
use bloomdata_core::stages::read_all::{Outcome, read_all};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::errors::config_error;

/// For each record `documents`, `joined`, `dropped` (a reason), or `bad` (a reason) with `detail`.
#[pyfunction]
pub(crate) fn read_records(py: Python<'_>, source: &str, records: Vec<String>) -> PyResult<String> {
    let source: RecordSource = serde_json::from_str(source).map_err(|error| config_error(&error))?;
    let told = py.detach(|| {
        let outcomes = read_all(&source, records.iter().map(String::as_str));
        outcomes.iter().map(outcome).collect::<Value>()
    });
    Ok(told.to_string())
}

/// Whether the records of a source are texts without roles.
#[pyfunction]
pub(crate) fn is_text_source(source: &str) -> PyResult<bool> {
    let source: RecordSource = serde_json::from_str(source).map_err(|error| config_error(&error))?;
    Ok(source.is_text())
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Documents(documents) => {
            json!({"documents": documents.iter().map(document).collect::<Value>()})
        }
        Outcome::Joined => json!({"joined": true}),
        Outcome::Dropped(reason) => json!({"dropped": reason}),
        Outcome::Bad(bad) => json!({"bad": bad.name(), "detail": bad.to_string()}),
    }
}

fn document(document: &Document) -> Value {
    match document {
        Document::Text(text) => json!({"text": text}),
        Document::Chat(chat) => json!({"messages": messages(&chat.messages), "strip": chat.strip}),
        Document::Preference(Preference { prompt, judged }) => match judged {
            Judged::Compared { chosen, rejected } => {
                json!({"prompt": messages(prompt), "chosen": messages(chosen), "rejected": messages(rejected)})
            }
            Judged::Labelled { completion, label } => {
                json!({"prompt": messages(prompt), "completion": messages(completion), "label": label})
            }
        },
    }
}

fn messages(messages: &[Message]) -> Value {
    let told = |message: &Message| {
        let mut told = json!({"role": message.role, "content": message.content});
        if !message.trains {
            told["weight"] = 0.into();
        }
        told
    };
    messages.iter().map(told).collect()
}
