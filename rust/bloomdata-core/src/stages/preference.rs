//! Answers that were judged: two of them compared (DPO and its like), or one with a label (KTO).
//!
//! A prompt is a text, messages, or what both lists of messages begin with; `instruction` and `input`, `question`; or
//! the transcript of HH-RLHF. The forms are those of the documentation of TRL and LLaMA-Factory.

use serde::{Deserialize, Serialize};

use crate::conversation::{
    Document, Judged, Message, Preference, Role, python_strip, unknown_role, usual_role,
};
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::context::{self, add_context, history};
use crate::stages::fields::{note_unused, or_none, wrong_kind};
use crate::stages::lists::{inside, parse_list};
use crate::stages::switched::{raw_and, switch_of};
use crate::stages::{Read, RecordReader, Verdict};
use crate::switches;

/// What answers were given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// `chosen` was preferred to `rejected`.
    #[default]
    Compared,
    /// `label` says whether `completion` is good.
    Labelled,
}

/// How answers are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreferenceOptions {
    /// Whether records compare two answers, or label one.
    pub judgement: Judgement,
}

const KEYS: [&str; 12] = [
    "prompt",
    "conversations",
    "messages",
    "instruction",
    "question",
    "input",
    "history",
    "chosen",
    "rejected",
    "completion",
    "label",
    "kto_tag",
];
const MESSAGE_KEYS: [&str; 6] = ["role", "content", "from", "value", "tool_calls", "function_call"];
/// How HH-RLHF says who speaks.
const SPEAKERS: [(&str, Role); 2] = [("\n\nHuman:", Role::User), ("\n\nAssistant:", Role::Assistant)];

/// Reads judged answers.
#[derive(Debug)]
pub struct PreferenceReader {
    options: PreferenceOptions,
    fields: [FieldPath; 12],
    message_fields: [FieldPath; 6],
}

impl PreferenceReader {
    /// A reader with these options.
    pub fn new(options: PreferenceOptions) -> Self {
        Self {
            options,
            fields: KEYS.map(FieldPath::of_key),
            message_fields: MESSAGE_KEYS.map(FieldPath::of_key),
        }
    }

    /// The messages of a value: a text of `role` or a transcript, one message, or a list of them.
    fn messages(
        &self,
        key: &str,
        raw: &str,
        role: Role,
        log: &mut KeyLog<'_>,
    ) -> Result<Vec<Message>, BadRecord> {
        match raw.as_bytes().first() {
            Some(b'[') => {
                let list = parse_list(raw)?.into_iter().enumerate();
                log.inside(format!("{key}[]"), |log| {
                    let message = |(at, raw)| {
                        self.message(raw, log).map_err(|bad: BadRecord| inside(&format!("{key}[{at}]"), bad))
                    };
                    list.map(message).collect()
                })
            }
            Some(b'{') => {
                let message = log.inside(key, |log| self.message(raw, log));
                Ok(vec![message.map_err(|bad| inside(key, bad))?])
            }
            Some(b'"') => {
                let text = text_of(&FieldPath::of_key(key), Some(raw))?;
                Ok(transcript(&text).unwrap_or_else(|| vec![Message::new(role, text)]))
            }
            _ => Err(wrong_kind(key, raw, "a text or messages")),
        }
    }

    fn message(&self, raw: &str, log: &mut KeyLog<'_>) -> Result<Message, BadRecord> {
        let ([role, content, from, value, tool_calls, function_call], given) =
            raw_and(raw, &self.message_fields, switches::named, log)?;
        for (field, call) in [("tool_calls", tool_calls), ("function_call", function_call)] {
            if !matches!(call, None | Some("null" | "[]" | "{}")) {
                let told = format!("field {field:?} holds calls of tools, which would be lost");
                return Err(BadRecord::WrongForm(told));
            }
        }
        let [role_key, content_key, from_key, value_key, ..] = &self.message_fields;
        let (role, content) = if role.is_some() || from.is_none() {
            note_unused(&[(from_key.name(), from), (value_key.name(), value)], log);
            (text_of(role_key, role)?, text_of(content_key, content)?)
        } else {
            note_unused(&[(content_key.name(), content)], log);
            (text_of(from_key, from)?, text_of(value_key, value)?)
        };
        let known = usual_role(&role).ok_or_else(|| BadRecord::WrongForm(unknown_role("role", &role)))?;
        if switch_of(given)? == Some(false) && known == Role::Assistant {
            let told = "an answer is switched off: expected answers that are compared as a whole";
            return Err(BadRecord::WrongForm(told.into()));
        }
        Ok(Message::new(known, content))
    }

    /// What the record asks beside its answers, and under which key.
    fn asked(
        &self,
        found: &[Option<&str>; 12],
        log: &mut KeyLog<'_>,
    ) -> Result<Option<(&'static str, Vec<Message>)>, BadRecord> {
        let [prompt, conversations, messages, instruction, question, input, earlier, ..] = *found;
        if instruction.or(question).is_none() {
            note_unused(&[(KEYS[5], input), (KEYS[6], earlier)], log);
        }
        let mut asked: Option<(&'static str, Vec<Message>)> = None;
        for (key, raw) in [("prompt", prompt), ("conversations", conversations), ("messages", messages)] {
            let Some(raw) = raw else { continue };
            match &asked {
                // Sets such as UltraFeedback repeat prompt and chosen answer under `messages`.
                Some(_) if key == "messages" => {}
                Some((other, _)) => return Err(two_prompts(other, key)),
                None => asked = Some((key, self.messages(key, raw, Role::User, log)?)),
            }
        }
        for (key, raw) in [("instruction", instruction), ("question", question)] {
            let Some(raw) = raw else { continue };
            if let Some((other, _)) = &asked {
                return Err(two_prompts(other, key));
            }
            let mut text = text_of(&FieldPath::of_key(key), Some(raw))?.into_owned();
            let more = or_none(text_of(&FieldPath::of_key("input"), input))?.unwrap_or_default();
            if !more.is_empty() {
                text = if text.is_empty() { more.into_owned() } else { format!("{text}\n{more}") };
            }
            let mut turns = history(earlier)?;
            turns.push(Message::new(Role::User, text));
            asked = Some((key, turns));
        }
        if let Some((_, turns)) = &mut asked {
            // A transcript of the prompt ends with the name of who is to speak.
            if turns.last().is_some_and(|last| last.role == Role::Assistant && last.content.is_empty()) {
                turns.pop();
            }
        }
        Ok(asked)
    }

    fn compared(&self, found: &[Option<&str>; 12], log: &mut KeyLog<'_>) -> Result<Preference, BadRecord> {
        (9..12).for_each(|at| note_unused(&[(KEYS[at], found[at])], log));
        let mut answer = |at: usize| {
            let raw = found[at].ok_or_else(|| BadRecord::MissingField(KEYS[at].to_owned()))?;
            self.messages(KEYS[at], raw, Role::Assistant, log)
        };
        let (mut chosen, mut rejected) = (answer(7)?, answer(8)?);
        let asked = self.asked(found, log)?;
        let mut prompt = asked.as_ref().map(|(_, messages)| messages.clone()).unwrap_or_default();
        let has_prompt =
            |answer: &[Message]| answer.first().is_some_and(|first| first.role != Role::Assistant);
        if has_prompt(&chosen) || has_prompt(&rejected) {
            let alike = chosen.iter().zip(&rejected).take_while(|(one, other)| one == other).count();
            let goes_on =
                |answer: &[Message]| answer.get(alike).is_none_or(|next| next.role == Role::Assistant);
            if alike == 0 || !goes_on(&chosen) || !goes_on(&rejected) {
                return Err(wrong("chosen and rejected answer different prompts"));
            }
            // Equal answers are no part of the prompt.
            let answers = chosen[..alike].iter().rev().take_while(|last| last.role == Role::Assistant);
            let count = alike - answers.count();
            let own = &chosen[..count];
            if let Some((key, asked)) = &asked
                && asked != own
                && !matches!(&asked[..], [one] if own.contains(one))
            {
                return Err(wrong(&format!("{key} is another prompt than the one in chosen and rejected")));
            }
            prompt = own.to_vec();
            chosen.drain(..count);
            rejected.drain(..count);
        }
        Ok(Preference { prompt, judged: Judged::Compared { chosen, rejected } })
    }

    fn labelled(&self, found: &[Option<&str>; 12], log: &mut KeyLog<'_>) -> Result<Preference, BadRecord> {
        (7..9).for_each(|at| note_unused(&[(KEYS[at], found[at])], log));
        let [.., completion, label, kto_tag] = *found;
        let label = match (label, kto_tag) {
            (None, None) => return Err(BadRecord::MissingField("label".into())),
            (Some(_), Some(_)) => {
                return Err(wrong("label and kto_tag say the same thing: expected one of them"));
            }
            (Some(raw), None) | (None, Some(raw)) => match raw {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(wrong(&format!("label: expected true or false, found {raw}"))),
            },
        };
        let mut prompt = self.asked(found, log)?.map(|(_, messages)| messages).unwrap_or_default();
        let completion = if let Some(raw) = completion {
            self.messages("completion", raw, Role::Assistant, log)?
        } else {
            // Messages that end with the answer.
            let answers = prompt.iter().rev().take_while(|last| last.role == Role::Assistant).count();
            prompt.split_off(prompt.len() - answers)
        };
        Ok(Preference { prompt, judged: Judged::Labelled { completion, label } })
    }
}

impl RecordReader for PreferenceReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let (found, given) = raw_and(record, &self.fields, context::named, log)?;
        let found = found.map(|raw| raw.filter(|raw| *raw != "null"));
        let (switches, context) = switches::parted(given);
        if switch_of(switches)? == Some(false) {
            return Ok(Verdict::Drop("switched off"));
        }
        let mut preference = match self.options.judgement {
            Judgement::Compared => self.compared(&found, log)?,
            Judgement::Labelled => self.labelled(&found, log)?,
        };
        if let (Some(raw), true) = (found[2], found[0].or(found[1]).is_some()) {
            let said = self.messages(KEYS[2], raw, Role::User, log)?;
            let whole =
                preference.judged.answers().first().map(|answer| [&preference.prompt[..], answer].concat());
            if said != preference.prompt && Some(said) != whole {
                return Err(wrong("messages say something else than the prompt and the first answer"));
            }
        }
        add_context(&mut preference.prompt, &context)?;
        match preference.prompt.last().map(|last| last.role) {
            None | Some(Role::System) => {
                return Err(wrong(
                    "there is no prompt: expected one under \"prompt\", or messages in front of the answers",
                ));
            }
            Some(Role::Assistant) => return Err(wrong("the prompt ends with an answer")),
            Some(Role::User | Role::Tool) => {}
        }
        for answer in preference.judged.answers() {
            let says = |message: &Message| {
                message.role == Role::Assistant && !python_strip(&message.content).is_empty()
            };
            if !answer.iter().any(says) {
                return Ok(Verdict::Drop("empty answer"));
            }
            let ends = [answer.first(), answer.last()].into_iter().flatten();
            if let Some(other) = ends.into_iter().find(|message| message.role != Role::Assistant) {
                let found = other.role.name();
                return Err(wrong(&format!(
                    "expected answers that begin and end with a message of the assistant, found one of the {found}"
                )));
            }
        }
        if let Judged::Compared { chosen, rejected } = &preference.judged
            && chosen == rejected
        {
            return Ok(Verdict::Drop("chosen equals rejected"));
        }
        Ok(Verdict::one(Document::Preference(preference)))
    }
}

/// The turns of a text in the form of HH-RLHF, if it is one.
fn transcript(text: &str) -> Option<Vec<Message>> {
    let (first, role) = SPEAKERS[0];
    let mut rest = text.strip_prefix(first).or_else(|| text.strip_prefix(first.trim_start()))?;
    let (mut turns, mut speaker) = (Vec::new(), role);
    loop {
        let next = SPEAKERS
            .into_iter()
            .filter_map(|(name, role)| Some((rest.find(name)?, name, role)))
            .min_by_key(|found| found.0);
        let end = next.map_or(rest.len(), |(at, _, _)| at);
        turns.push(Message::new(speaker, python_strip(&rest[..end])));
        let Some((at, name, role)) = next else { return Some(turns) };
        (rest, speaker) = (&rest[at + name.len()..], role);
    }
}

fn two_prompts(one: &str, other: &str) -> BadRecord {
    wrong(&format!("{one} and {other} are both prompts: expected one of them"))
}

fn wrong(reason: &str) -> BadRecord {
    BadRecord::WrongForm(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(judgement: Judgement, record: &str) -> String {
        let told = |messages: &[Message]| {
            let one = |message: &Message| format!("{}={}", message.role.name(), message.content);
            messages.iter().map(one).collect::<Vec<_>>().join(" ")
        };
        match PreferenceReader::new(PreferenceOptions { judgement }).read(record) {
            Ok(Verdict::Keep(documents)) => match &documents[..] {
                [Document::Preference(preference)] => {
                    let label = match &preference.judged {
                        Judged::Labelled { label, .. } => format!(" {label}"),
                        Judged::Compared { .. } => String::new(),
                    };
                    let answers: Vec<String> = preference.judged.answers().into_iter().map(told).collect();
                    format!("{} | {}{label}", told(&preference.prompt), answers.join(" | "))
                }
                other => unreachable!("{other:?}"),
            },
            Ok(other) => format!("{other:?}"),
            Err(bad) => bad.to_string(),
        }
    }

    #[test]
    fn two_answers_have_one_prompt_whatever_the_form() {
        let expected = "user=q | assistant=a | assistant=b";
        for record in [
            r#"{"prompt":"q","chosen":"a","rejected":"b"}"#,
            r#"{"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}"#,
            r#"{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}"#,
            r#"{"prompt":"q","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}"#,
            r#"{"conversations":[{"from":"human","value":"q"}],"chosen":{"from":"gpt","value":"a"},"rejected":{"from":"gpt","value":"b"}}"#,
            r#"{"instruction":"q","input":"","chosen":"a","rejected":"b"}"#,
            r#"{"question":"q","chosen":"a","rejected":"b"}"#,
            r#"{"chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: q\n\nAssistant: b"}"#,
            r#"{"prompt":"\n\nHuman: q\n\nAssistant:","chosen":"a","rejected":"b"}"#,
        ] {
            assert_eq!(read(Judgement::Compared, record), expected, "{record}");
        }
        assert_eq!(
            read(
                Judgement::Compared,
                r#"{"system":"s","instruction":"q","input":"i","history":[["x","y"]],"chosen":"a","rejected":"b"}"#
            ),
            "system=s user=x assistant=y user=q\ni | assistant=a | assistant=b"
        );
    }

    #[test]
    fn what_is_no_pair_is_dropped_or_refused_with_its_reason() {
        for (record, told) in [
            (r#"{"prompt":"q","chosen":"a","rejected":"a"}"#, "Drop(\"chosen equals rejected\")"),
            (r#"{"prompt":"q","chosen":"a","rejected":" "}"#, "Drop(\"empty answer\")"),
            (r#"{"prompt":"q","chosen":"a"}"#, "no field \"rejected\""),
            (
                r#"{"chosen":"a","rejected":"b"}"#,
                "there is no prompt: expected one under \"prompt\", or messages in front of the answers",
            ),
            (
                r#"{"chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: r\n\nAssistant: b"}"#,
                "chosen and rejected answer different prompts",
            ),
            (
                r#"{"prompt":"other","chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: q\n\nAssistant: b"}"#,
                "prompt is another prompt than the one in chosen and rejected",
            ),
            (
                r#"{"prompt":"q","question":"q","chosen":"a","rejected":"b"}"#,
                "prompt and question are both prompts: expected one of them",
            ),
            (
                r#"{"prompt":"q","chosen":1,"rejected":"b"}"#,
                "field \"chosen\" holds a number, not a text or messages",
            ),
        ] {
            assert_eq!(read(Judgement::Compared, record), told, "{record}");
        }
    }

    #[test]
    fn one_answer_has_a_label() {
        for record in [
            r#"{"prompt":"q","completion":"a","label":true}"#,
            r#"{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}],"label":1}"#,
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"kto_tag":true}"#,
        ] {
            assert_eq!(read(Judgement::Labelled, record), "user=q | assistant=a true", "{record}");
        }
        assert_eq!(
            read(Judgement::Labelled, r#"{"prompt":"q","completion":"a","label":"yes"}"#),
            "label: expected true or false, found \"yes\""
        );
        assert_eq!(read(Judgement::Labelled, r#"{"prompt":"q","completion":"a"}"#), "no field \"label\"");
    }
}
