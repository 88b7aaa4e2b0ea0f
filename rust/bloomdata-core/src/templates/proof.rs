//! Decides when filling in a plan equals running the template.
//!
//! The static analysis shows that the text consists of fixed parts and contents. Which parts these are
//! follows from two conversations of different markers: there is only one way to cut both texts into the
//! same sequence of parts.

use std::sync::Arc;

use super::chat::messages_of;
use super::jinja::opaque::Conditions;
use super::jinja::{FUEL, JinjaInput, JinjaTemplate};
use super::markers::padded;
use super::plan::Plan;

/// Characters of the second kind of markers. If a template contains them as well, nothing is proven.
const SECOND: [char; 2] = ['\u{fdd5}', '\u{fdd6}'];
/// How often the closing character of a second marker is repeated: each repetition adds three bytes.
const TIMES: usize = 25;
/// A second marker, with its different white space, is longer than a first one by at least this.
const LONGER_BYTES: u64 = 69;
/// Bytes per unit of fuel: the interpreter counts bytes, but reports units.
const FUEL_BYTES: u64 = 64;

/// When a conversation equals its plan, filled in.
#[derive(Debug)]
pub(super) struct Proof {
    conditions: Arc<Conditions>,
    /// Longest content that is certain not to exhaust the fuel.
    max_bytes: u64,
}

impl Proof {
    /// Checks the plan of these roles, with given tools and documents; `None` if the template writes
    /// something else.
    pub(super) fn new(
        jinja: &JinjaTemplate,
        roles: &[&str],
        beside: &JinjaInput,
        plan: &Plan,
        conditions: Arc<Conditions>,
    ) -> Option<Self> {
        let render = |texts: &[String]| {
            let messages = messages_of(roles.iter().copied().zip(texts.iter().map(String::as_str)));
            let (text, fuel) = jinja.render_measured(&JinjaInput { messages, ..beside.clone() }).ok()?;
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            (conditions.hold(&texts) && plan.fill(&texts, None).text == text).then_some((text, fuel))
        };
        let first: Vec<String> = (0..roles.len()).map(padded).collect();
        let (text, fuel) = render(&first)?;
        // Runs of white space that differ from those of first markers and from their sums, so that each
        // reveals its place.
        let second: Vec<String> = (0..roles.len())
            .map(|message| {
                format!("\u{c}{}{message}{}\u{c}\u{c}", SECOND[0], SECOND[1].to_string().repeat(TIMES))
            })
            .collect();
        let (_, more) = render(&second)?;
        if text.contains(SECOND) {
            return None;
        }
        // Fuel grows at most linearly with the length of contents. A quarter of the total is far more than
        // any template uses, and leaves room for bytes that are only counted once they exist.
        let per_byte = (more.saturating_sub(fuel) + 2) * FUEL_BYTES / LONGER_BYTES + 1;
        let left = (FUEL / 4).saturating_sub(fuel + 1) * FUEL_BYTES;
        Some(Self { conditions, max_bytes: left / per_byte })
    }

    /// Whether the conversation with these contents equals the plan, filled in.
    pub(super) fn holds(&self, texts: &[&str]) -> bool {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        u64::try_from(longest).is_ok_and(|longest| longest <= self.max_bytes) && self.conditions.hold(texts)
    }
}
