//! Whether filling in a plan is all that a template does: then it need not be run for each conversation.
//!
//! That its text is made of fixed parts and of what messages say is known from its syntax. Which parts these are is
//! known from two conversations of marks: any two ways of cutting both into such parts are the same way.

use std::sync::Arc;

use super::chat::messages_of;
use super::jinja::opaque::Conditions;
use super::jinja::{FUEL, JinjaInput, JinjaTemplate};
use super::markers::padded;
use super::plan::Plan;

/// Characters of the second kind of marks. No template holds these either; if one does, nothing is proven.
const SECOND: [char; 2] = ['\u{fdd5}', '\u{fdd6}'];
/// How often a second mark closes: it is longer than a first one by three bytes for each but one.
const TIMES: usize = 25;
/// By how much a second mark, with white space of other lengths around it, is longer than a first one, at least.
const LONGER_BYTES: u64 = 69;
/// What one unit of fuel is made of: the interpreter counts bytes, and tells units.
const FUEL_BYTES: u64 = 64;

/// Under which conditions a conversation is its plan, filled in.
#[derive(Debug)]
pub(super) struct Proof {
    conditions: Arc<Conditions>,
    /// The longest text that surely needs no more fuel than there is.
    max_bytes: u64,
}

impl Proof {
    /// Of the plan of these roles, with what stands beside messages. Nothing if the plan is not what is written.
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
            (conditions.hold(&texts) && plan.fill(&texts).text == text).then_some((text, fuel))
        };
        let first: Vec<String> = (0..roles.len()).map(padded).collect();
        let (text, fuel) = render(&first)?;
        // Lengths of white space that are none of the first ones, nor sums of them, and differ: each tells its place.
        let second: Vec<String> = (0..roles.len())
            .map(|message| {
                format!("\u{c}{}{message}{}\u{c}\u{c}", SECOND[0], SECOND[1].to_string().repeat(TIMES))
            })
            .collect();
        let (_, more) = render(&second)?;
        if text.contains(SECOND) {
            return None;
        }
        // Fuel grows with the length of texts, so many bytes of it for each of theirs at most. A quarter of all is
        // far more than any template takes, and leaves room for what is not counted but only asked for.
        let per_byte = (more.saturating_sub(fuel) + 2) * FUEL_BYTES / LONGER_BYTES + 1;
        let left = (FUEL / 4).saturating_sub(fuel + 1) * FUEL_BYTES;
        Some(Self { conditions, max_bytes: left / per_byte })
    }

    /// Whether the conversation that says this is the plan, filled in.
    pub(super) fn holds(&self, texts: &[&str]) -> bool {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        u64::try_from(longest).is_ok_and(|longest| longest <= self.max_bytes) && self.conditions.hold(texts)
    }
}
