//! OASST1: a record is a message, which other records complete to a tree (BC-01).

use serde::{Deserialize, Serialize};

use crate::conversation::Role;
use crate::document::BadRecord;
use crate::json_fields::{FieldPath, text_of};
use crate::key_log::KeyLog;
use crate::stages::fields::{integer, or_none, raw, switch};
use crate::stages::lists::{elements, inside, strings};
use crate::stages::trees::{EndOn, TreeNode};
use crate::stages::{Read, RecordReader, Verdict};

/// Options of OASST1. The defaults do what the script of `BLOOMChat` does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oasst1Options {
    /// Which reply a path takes.
    pub best: Best,
    /// Languages of the roots whose trees are wanted; none named wants all.
    pub lang: Vec<String>,
    /// Where a path may end.
    pub end_on: EndOn,
    /// Whether paths pass by deleted messages.
    pub skip_deleted: bool,
}

/// Which reply a path takes; the first of equals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Best {
    /// The one with the greatest number of `+1` less `-1`.
    #[default]
    Emoji,
    /// The one with the lowest rank; those without a rank come last.
    Rank,
}

/// The fields that paths need, besides the names of a message and its parent.
pub const KEYS: [&str; 6] = ["role", "text", "lang", "deleted", "rank", "emojis"];

/// Reads messages. A field that no option needs is not looked at.
#[derive(Debug)]
pub struct Oasst1Reader {
    nodes: NodeReader,
    fields: [FieldPath; 8],
}

impl Oasst1Reader {
    /// A reader with these options.
    pub fn new(options: Oasst1Options) -> Self {
        let [role, text, lang, deleted, rank, emojis] = KEYS;
        let fields = ["message_id", "parent_id", role, text, lang, deleted, rank, emojis];
        Self { nodes: NodeReader::new(options), fields: fields.map(FieldPath::of_key) }
    }

    /// The node of a message.
    ///
    /// # Errors
    /// The record is no message.
    pub fn node(&self, record: &str, log: &mut KeyLog<'_>) -> Result<TreeNode, BadRecord> {
        let [id, parent, rest @ ..] = raw(record, &self.fields, Some(log))?;
        let id = text_of(&self.fields[0], id)?.into_owned();
        let parent = or_none(text_of(&self.fields[1], parent))?.map(Into::into);
        self.nodes.node(id, parent, rest)
    }
}

impl RecordReader for Oasst1Reader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        self.node(record, log).map(Verdict::Node)
    }
}

/// Makes nodes of the fields of messages.
#[derive(Debug)]
pub struct NodeReader {
    options: Oasst1Options,
    fields: [FieldPath; 6],
    emojis: [FieldPath; 4],
}

impl NodeReader {
    /// A reader with these options.
    pub fn new(options: Oasst1Options) -> Self {
        let emojis = ["name", "count", "+1", "-1"].map(FieldPath::of_key);
        Self { options, fields: KEYS.map(FieldPath::of_key), emojis }
    }

    /// The node of a message, whose fields are in the order of [`KEYS`].
    ///
    /// # Errors
    /// A field holds something else than it should.
    pub fn node(
        &self,
        id: String,
        parent: Option<String>,
        [role, text, lang, deleted, rank, emojis]: [Option<&str>; 6],
    ) -> Result<TreeNode, BadRecord> {
        let role = match &*text_of(&self.fields[0], role)? {
            "prompter" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let told = format!("field \"role\" holds {other:?}, not prompter or assistant");
                return Err(BadRecord::WrongForm(told));
            }
        };
        let text = text_of(&self.fields[1], text)?.into_owned();
        let preference = match self.options.best {
            Best::Emoji => self.score(emojis)?,
            Best::Rank => integer("rank", rank)?.map_or(i64::MIN, i64::saturating_neg),
        };
        let is_deleted = self.options.skip_deleted && switch("deleted", deleted)?;
        let is_language_left_out = if self.options.lang.is_empty() || parent.is_some() {
            false
        } else {
            let lang = text_of(&self.fields[2], lang)?;
            !self.options.lang.iter().any(|wanted| *wanted == lang)
        };
        Ok(TreeNode { id, parent, role, text, preference, is_deleted, is_language_left_out })
    }

    /// Times `+1` less times `-1`. Tables have lists of names and counts, in which the first of equal names counts; the
    /// files of trees have an object with a count for each name.
    fn score(&self, emojis: Option<&str>) -> Result<i64, BadRecord> {
        let Some(emojis) = emojis.filter(|&emojis| emojis != "null") else { return Ok(0) };
        let within = |bad| inside("emojis", bad);
        let [names, counts, liked, disliked] = raw(emojis, &self.emojis, None).map_err(within)?;
        let count_of: [i64; 2] = if names.is_some_and(|names| names.starts_with('[')) {
            let names = strings("name", names).map_err(within)?;
            let counts = elements("count", counts).map_err(within)?;
            if names.len() != counts.len() {
                let told = format!("field \"emojis\" has {} names, but {} counts", names.len(), counts.len());
                return Err(BadRecord::WrongForm(told));
            }
            let count = |wanted| match names.iter().position(|name| name == wanted) {
                Some(at) => integer("count", Some(counts[at])).map_err(within),
                None => Ok(None),
            };
            [count("+1")?, count("-1")?].map(Option::unwrap_or_default)
        } else {
            let liked = integer("+1", liked).map_err(within)?;
            let disliked = integer("-1", disliked).map_err(within)?;
            [liked, disliked].map(Option::unwrap_or_default)
        };
        Ok(count_of[0].saturating_sub(count_of[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preference(options: &str, rest: &str) -> Result<i64, String> {
        let reader = Oasst1Reader::new(serde_json::from_str(options).unwrap());
        let record = format!(r#"{{"message_id":"a","parent_id":"b","role":"assistant","text":"",{rest}}}"#);
        reader
            .node(&record, &mut KeyLog::default())
            .map(|node| node.preference)
            .map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_score_is_likes_less_dislikes() {
        let score = |emojis: &str| preference("{}", &format!(r#""emojis":{emojis}"#));
        assert_eq!(score("null"), Ok(0));
        assert_eq!(score(r#"{"name":["x","+1","-1","+1"],"count":[7,3,5,9]}"#), Ok(-2));
        assert_eq!(score(r#"{"name":[],"count":[]}"#), Ok(0));
        assert_eq!(score(r#"{"+1":3,"_skip_reply":1}"#), Ok(3));
        assert_eq!(score("{}"), Ok(0));
        let lengths = "field \"emojis\" has 1 names, but 0 counts";
        assert_eq!(score(r#"{"name":["+1"],"count":[]}"#), Err(lengths.into()));
        assert_eq!(score("[]"), Err("emojis is not a JSON object".into()));
        let count = "emojis: field \"count\" holds a string, not a whole number";
        assert_eq!(score(r#"{"name":["+1"],"count":["3"]}"#), Err(count.into()));
        assert_eq!(preference("{}", r#""x":1"#), Ok(0));
    }

    #[test]
    fn low_ranks_are_preferred_and_none_comes_last() {
        let rank = |rank: &str| preference(r#"{"best":"rank"}"#, &format!(r#""rank":{rank},"emojis":7"#));
        assert_eq!(rank("0"), Ok(0));
        assert_eq!(rank("2.0"), Ok(-2));
        assert_eq!(rank("null"), Ok(i64::MIN));
        assert_eq!(rank("\"0\""), Err("field \"rank\" holds a string, not a whole number".into()));
    }

    #[test]
    fn other_roles_are_refused_by_name() {
        let reader = Oasst1Reader::new(Oasst1Options::default());
        let told = reader.read(r#"{"message_id":"a","role":"system","text":""}"#).unwrap_err().to_string();
        assert_eq!(told, "field \"role\" holds \"system\", not prompter or assistant");
    }
}
