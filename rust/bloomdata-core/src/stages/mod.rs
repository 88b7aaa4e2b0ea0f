//! Records of known sources become documents, one file per source. Each is a pure function of one record; where a record
//! is one message of a tree, [`trees`] puts them together.
//!
//! - `BLOOMChat`: [`oasst1`], [`oasst1_trees`], [`dolly`], [`bloomchat`] (both), [`oig`].
//! - Open-Llama: [`wudao`], [`pile`], [`self_instruct`], [`belle`], [`belle_multiturn`], [`sharegpt`],
//!   [`instruct_to_code`], [`xp3`], [`camel`], [`grade_school_math`], [`open_llama`] (any of its instruction data).
//! - Alpaca and its like: [`alpaca`], [`gpteacher`], [`self_instruct_seed_tasks`], [`multiturn_chinese_vicuna`].
//! - Any data: [`messages`], [`prompt_completion`], [`preference`].
//! - Megatron lineage: [`general_instruction`], [`alpaca_pretrain`], [`moss`], [`leetcode_python`],
//!   [`stack_overflow_python`].
//! - `OpenChatKit`: moderation is read as [`pile`] is; its other data is that of [`oig`].
//! - What they share: [`fields`] and [`lists`] of a record, [`switched`] off answers, [`context`] beside messages, [`pairs`] and [`turns`] of a chat, [`tagged`] text,
//!   [`trees`] and their nested [`replies`]; [`read_all`] reads a short list.

pub mod alpaca;
pub mod alpaca_pretrain;
pub mod belle;
pub mod belle_multiturn;
pub mod bloomchat;
pub mod camel;
pub mod context;
pub mod dolly;
pub mod fields;
pub mod general_instruction;
pub mod gpteacher;
pub mod grade_school_math;
pub mod instruct_to_code;
pub mod leetcode_python;
pub mod lists;
pub mod messages;
pub mod moss;
pub mod multiturn_chinese_vicuna;
pub mod oasst1;
pub mod oasst1_trees;
pub mod oig;
pub mod open_llama;
pub mod pairs;
pub mod pile;
pub mod preference;
pub mod prompt_completion;
pub mod read_all;
pub mod replies;
pub mod self_instruct;
pub mod self_instruct_seed_tasks;
pub mod sharegpt;
pub mod stack_overflow_python;
pub mod switched;
pub mod tagged;
pub mod trees;
pub mod turns;
pub mod wudao;
pub mod xp3;

use serde::{Deserialize, Serialize};

use crate::conversation::Document;
use crate::document::BadRecord;
use crate::key_log::KeyLog;

/// What a reader makes of a record.
pub type Read = std::result::Result<Verdict, BadRecord>;

/// What becomes of a record that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// One or several documents.
    Keep(Vec<Document>),
    /// A message of a tree that other records complete; only sources with [`RecordSource::trees`] have such.
    Node(trees::TreeNode),
    /// Left out, and counted under this reason.
    Drop(&'static str),
}

impl Verdict {
    /// One document.
    pub fn one(document: Document) -> Self {
        Self::Keep(vec![document])
    }
}

/// Reads records of one source.
pub trait RecordReader: Send + Sync {
    /// The documents of one record: JSON text as it stands in the input. The keys of it that are not read are noted.
    ///
    /// # Errors
    /// Why the record is not of the source's form.
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read;

    /// The documents of one record.
    ///
    /// # Errors
    /// As [`Self::read_noting`].
    fn read(&self, record: &str) -> Read {
        self.read_noting(record, &mut KeyLog::default())
    }
}

/// The source that records come from, with its options. Same names as in Python and on the command line.
///
/// Sources without options have braces, since serde lets unknown keys pass beside a bare name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum RecordSource {
    /// OASST1, a message a record (BC-01).
    Oasst1(oasst1::Oasst1Options),
    /// OASST1, a tree a record (BC-01).
    Oasst1Trees(oasst1::Oasst1Options),
    /// databricks-dolly-15k (BC-03).
    Dolly {},
    /// OASST1 and Dolly (BC-04).
    Bloomchat(oasst1::Oasst1Options),
    /// A file of OIG (BC-05, BC-06).
    Oig(oig::OigOptions),
    /// OIG-moderation (OC-06).
    Moderation {},
    /// `WuDao` (OL-05).
    Wudao {},
    /// The Pile (OL-05).
    Pile {},
    /// `self_instruct` (OL-06).
    SelfInstruct {},
    /// BELLE (OL-07).
    Belle {},
    /// BELLE's multi-turn chats (OL-08, AS-05).
    BelleMultiturn(belle_multiturn::BelleMultiturnOptions),
    /// `ShareGPT` (OL-09).
    Sharegpt(turns::TurnsOptions),
    /// Instruct-to-Code (OL-10).
    InstructToCode {},
    /// xP3mt (OL-11).
    Xp3 {},
    /// camel-ai (OL-11).
    Camel {},
    /// grade-school-math-instructions (OL-11).
    GradeSchoolMath {},
    /// Any instruction data of Open-Llama (OL-06 to OL-11).
    OpenLlama(turns::TurnsOptions),
    /// Alpaca (MF-01, MF-02).
    Alpaca(alpaca::AlpacaOptions),
    /// `GPTeacher`.
    Gpteacher(alpaca::AlpacaOptions),
    /// Self-Instruct's seed tasks.
    SelfInstructSeedTasks {},
    /// Chinese-Vicuna's chats.
    MultiturnChineseVicuna(turns::TurnsOptions),
    /// Messages with roles (GD-26).
    Messages(messages::MessagesOptions),
    /// Prompt and completion (GD-02).
    PromptCompletion(prompt_completion::PromptCompletionOptions),
    /// Judged answers.
    Preference(preference::PreferenceOptions),
    /// Instruction, input and output (AS-05).
    GeneralInstruction {},
    /// Alpaca as text (AS-05).
    AlpacaPretrain {},
    /// MOSS (AS-05).
    Moss {},
    /// `LeetCode` solutions (AS-05).
    LeetcodePython {},
    /// Stack Overflow's questions (AS-05).
    StackOverflowPython {},
}

impl RecordSource {
    /// The reader of its records.
    pub fn reader(&self) -> Box<dyn RecordReader> {
        let pair = |keys, turn| Box::new(pairs::PairReader::new(keys, turn));
        match self.clone() {
            Self::Oasst1(options) => Box::new(oasst1::Oasst1Reader::new(options)),
            Self::Oasst1Trees(options) => Box::new(oasst1_trees::Oasst1TreesReader::new(options)),
            Self::Dolly {} => Box::new(dolly::DollyReader::new()),
            Self::Bloomchat(options) => Box::new(bloomchat::BloomchatReader::new(options)),
            Self::Oig(options) => Box::new(oig::OigReader::new(options)),
            Self::Wudao {} => Box::new(wudao::WudaoReader::new()),
            // Both are the field `text` as it is.
            Self::Moderation {} | Self::Pile {} => Box::new(pile::PileReader::new()),
            Self::SelfInstruct {} => pair(self_instruct::KEYS, self_instruct::turn),
            Self::Belle {} => pair(belle::KEYS, belle::turn),
            Self::BelleMultiturn(options) => Box::new(belle_multiturn::BelleMultiturnReader::new(options)),
            Self::Sharegpt(options) => Box::new(sharegpt::SharegptReader::new(options)),
            Self::InstructToCode {} => pair(instruct_to_code::KEYS, instruct_to_code::turn),
            Self::Xp3 {} => pair(xp3::KEYS, xp3::turn),
            Self::Camel {} => pair(camel::KEYS, camel::turn),
            Self::GradeSchoolMath {} => pair(grade_school_math::KEYS, grade_school_math::turn),
            Self::OpenLlama(options) => Box::new(open_llama::OpenLlamaReader::new(options)),
            Self::Alpaca(options) => Box::new(alpaca::AlpacaReader::new(options, alpaca::OUTPUT)),
            Self::Gpteacher(options) => Box::new(alpaca::AlpacaReader::new(options, gpteacher::OUTPUT)),
            Self::SelfInstructSeedTasks {} => Box::new(self_instruct_seed_tasks::SeedTasksReader::new()),
            Self::MultiturnChineseVicuna(options) => {
                Box::new(multiturn_chinese_vicuna::VicunaReader::new(options))
            }
            Self::Messages(options) => Box::new(messages::MessagesReader::new(options)),
            Self::PromptCompletion(options) => {
                Box::new(prompt_completion::PromptCompletionReader::new(&options))
            }
            Self::Preference(options) => Box::new(preference::PreferenceReader::new(options)),
            Self::GeneralInstruction {} => Box::new(general_instruction::GeneralInstructionReader::new()),
            Self::AlpacaPretrain {} => Box::new(alpaca_pretrain::AlpacaPretrainReader::new()),
            Self::Moss {} => Box::new(moss::MossReader::new()),
            Self::LeetcodePython {} => Box::new(leetcode_python::LeetcodeReader::new()),
            Self::StackOverflowPython {} => Box::new(stack_overflow_python::StackOverflowReader::new()),
        }
    }

    /// Whether its records are texts without roles.
    pub fn is_text(&self) -> bool {
        match self {
            Self::Wudao {}
            | Self::Pile {}
            | Self::Moderation {}
            | Self::AlpacaPretrain {}
            | Self::StackOverflowPython {} => true,
            Self::Oig(options) => !options.parse,
            Self::Alpaca(options) | Self::Gpteacher(options) => options.compat.is_some(),
            _ => false,
        }
    }

    /// How answers are judged, where records are such.
    pub fn judgement(&self) -> Option<preference::Judgement> {
        match self {
            Self::Preference(options) => Some(options.judgement),
            _ => None,
        }
    }

    /// Where records are messages of trees: the options for [`trees::fates`] of all its nodes.
    pub fn trees(&self) -> Option<&oasst1::Oasst1Options> {
        match self {
            Self::Oasst1(options) | Self::Bloomchat(options) => Some(options),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: &[&str] = &[
        "oasst1",
        "oasst1_trees",
        "dolly",
        "bloomchat",
        "oig",
        "moderation",
        "wudao",
        "pile",
        "self_instruct",
        "belle",
        "belle_multiturn",
        "sharegpt",
        "instruct_to_code",
        "xp3",
        "camel",
        "grade_school_math",
        "open_llama",
        "alpaca",
        "gpteacher",
        "self_instruct_seed_tasks",
        "multiturn_chinese_vicuna",
        "messages",
        "prompt_completion",
        "preference",
        "general_instruction",
        "alpaca_pretrain",
        "moss",
        "leetcode_python",
        "stack_overflow_python",
    ];

    fn named(name: &str) -> RecordSource {
        serde_json::from_str(&format!(r#"{{"source":"{name}"}}"#)).unwrap()
    }

    #[test]
    fn every_source_is_known_by_its_name_alone_and_refuses_unknown_options() {
        for name in KNOWN {
            let source = named(name);
            assert!(source.reader().read("[1").is_err(), "{name}");
            let again = serde_json::to_string(&source).unwrap();
            assert_eq!(serde_json::from_str::<RecordSource>(&again).unwrap(), source);
            let unknown = format!(r#"{{"source":"{name}","sauce":1}}"#);
            assert!(serde_json::from_str::<RecordSource>(&unknown).is_err(), "{name}");
        }
        assert!(serde_json::from_str::<RecordSource>(r#"{"source":"dollies"}"#).is_err());
    }

    /// JSON of any form, or what may have been JSON before it was cut.
    fn any_record() -> impl Strategy<Value = String> {
        let words = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "null",
            "1.0",
            "\"\\ud800\"",
            "\"replies\":[{",
            "\"prompt\":{",
            "\"text\":",
            "\"role\":\"prompter\"",
            "\"chat\":{\"turn_1\":{",
            "\"Human\":",
            "\"MOSS\":",
            "\"conversations\":[{",
            "\"from\":",
            "\"human\"",
            "\"\u{2028}\"",
            "\"messages\":",
            "\"emojis\":{\"name\":[",
            "\"count\":[",
        ];
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..14).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn no_record_stops_a_reader(record in any_record(), name in prop::sample::select(KNOWN.to_vec())) {
            let read = named(name).reader().read(&record);
            if serde_json::from_str::<serde::de::IgnoredAny>(&record).is_err() {
                prop_assert!(read.is_err());
            }
        }

        #[test]
        fn no_text_stops_the_scan_of_replies(record in any_record()) {
            let _ = replies::unfold(&record, &[crate::json_fields::FieldPath::of_key("text")]);
        }
    }
}
