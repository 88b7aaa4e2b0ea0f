//! OASST1 as whole trees: a record holds the root as `prompt`, and every message its `replies` (BC-01).

use crate::conversation::Document;
use crate::document::BadRecord;
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::fields::{raw, wrong_kind};
use crate::stages::lists::inside;
use crate::stages::oasst1::{KEYS, NodeReader, Oasst1Options};
use crate::stages::replies::unfold;
use crate::stages::trees::{EndOn, Fate, Link, conversation, fates_of_linked};
use crate::stages::{Read, RecordReader, Verdict};

/// Reads whole trees.
#[derive(Debug)]
pub struct Oasst1TreesReader {
    end_on: EndOn,
    nodes: NodeReader,
    prompt: [FieldPath; 1],
    fields: [FieldPath; 6],
}

impl Oasst1TreesReader {
    /// A reader with these options.
    pub fn new(options: Oasst1Options) -> Self {
        Self {
            end_on: options.end_on,
            nodes: NodeReader::new(options),
            prompt: [FieldPath::of_key("prompt")],
            fields: KEYS.map(FieldPath::of_key),
        }
    }
}

impl RecordReader for Oasst1TreesReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [prompt] = raw(record, &self.prompt, Some(log))?;
        let root = match prompt {
            None => return Err(BadRecord::MissingField("prompt".into())),
            Some(root) if root.starts_with('{') => root,
            Some(other) => return Err(wrong_kind("prompt", other, "an object")),
        };
        let nested = unfold(root, &self.fields)?;
        for message in &nested {
            message.note_others(log);
        }
        let mut links = Vec::with_capacity(nested.len());
        let mut nodes = Vec::with_capacity(nested.len());
        for (at, message) in nested.into_iter().enumerate() {
            // Replies have a parent; what it is called is of no matter here.
            let parent = message.parent.map(|_| String::new());
            let node = self.nodes.node(String::new(), parent, message.fields);
            nodes.push(node.map_err(|bad| inside(&format!("message {} of the tree", at + 1), bad))?);
            links.push(message.parent.map_or(Link::Root, Link::Reply));
        }
        Ok(match fates_of_linked(&nodes, &links, self.end_on).swap_remove(0) {
            Fate::Path(path) => Verdict::one(Document::Chat(conversation(&nodes, &path))),
            Fate::Dropped(reason) => Verdict::Drop(reason),
            Fate::Bad(bad) => return Err(bad),
            Fate::Joined => return Err(BadRecord::WrongForm("the tree has no root".into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Conversation, Message, Role};

    fn read(options: &str, record: &str) -> Read {
        Oasst1TreesReader::new(serde_json::from_str(options).unwrap()).read(record)
    }

    #[test]
    fn a_tree_becomes_its_best_path() {
        let record = r#"{"prompt":{"role":"prompter","text":"q","lang":"en","replies":[
            {"role":"assistant","text":"a","rank":1,"emojis":{"+1":2}},
            {"role":"assistant","text":"b","rank":0,"deleted":true,"replies":[{"role":"prompter","text":"c"}]}]}}"#;
        let chat = |texts: &[&str]| {
            let role = |at: usize| if at.is_multiple_of(2) { Role::User } else { Role::Assistant };
            let message = |(at, text): (usize, &&str)| Message::new(role(at), *text);
            let messages = texts.iter().enumerate().map(message).collect();
            Ok(Verdict::one(Document::Chat(Conversation { messages, strip: true })))
        };
        assert_eq!(read("{}", record), chat(&["q", "a"]));
        assert_eq!(read(r#"{"best":"rank"}"#, record), chat(&["q", "b", "c"]));
        assert_eq!(read(r#"{"best":"rank","end_on":"assistant"}"#, record), chat(&["q", "b"]));
        assert_eq!(read(r#"{"best":"rank","skip_deleted":true}"#, record), chat(&["q", "a"]));
        assert_eq!(read(r#"{"lang":["de"]}"#, record), Ok(Verdict::Drop("language left out")));
        let told = read("{}", &record.replace(r#""text":"b""#, r#""text":1"#)).unwrap_err().to_string();
        assert_eq!(told, "field \"message 3 of the tree.text\" is not a string");
    }

    #[test]
    fn a_tree_of_one_question_is_dropped_where_paths_end_on_answers() {
        let record = r#"{"prompt":{"role":"prompter","text":"q"}}"#;
        assert_eq!(
            read(r#"{"end_on":"assistant"}"#, record),
            Ok(Verdict::Drop("question without an answer"))
        );
    }
}
