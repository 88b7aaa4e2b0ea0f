//! The joint data of `BLOOMChat`: messages of OASST1 and records of Dolly (BC-04).
//!
//! What has a `message_id` is a message. Documents keep the order of the inputs, a tree at its root's place: with
//! OASST1 first, then Dolly: the order of the script.

use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::stages::dolly::DollyReader;
use crate::stages::fields::raw;
use crate::stages::oasst1::{Oasst1Options, Oasst1Reader};
use crate::stages::{Read, RecordReader};

/// Reads records of either kind.
#[derive(Debug)]
pub struct BloomchatReader {
    message_id: [FieldPath; 1],
    oasst1: Oasst1Reader,
    dolly: DollyReader,
}

impl BloomchatReader {
    /// A reader with these options, which are those of OASST1.
    pub fn new(options: Oasst1Options) -> Self {
        let message_id = [FieldPath::of_key("message_id")];
        Self { message_id, oasst1: Oasst1Reader::new(options), dolly: DollyReader::new() }
    }
}

impl RecordReader for BloomchatReader {
    fn read_noting(&self, record: &str, log: &mut KeyLog<'_>) -> Read {
        let [message_id] = raw(record, &self.message_id, None)?;
        if message_id.is_some() {
            self.oasst1.read_noting(record, log)
        } else {
            self.dolly.read_noting(record, log)
        }
    }
}
