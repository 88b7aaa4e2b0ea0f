//! What is proven and what is refused, and that what is proven is so.

mod random;
mod refused;
mod same;
mod table;

use super::super::JinjaTemplate;
use super::{Assumptions, Conditions};

/// Under which conditions a template is proven for users, assistants and a system.
fn prove(source: &str) -> Result<Conditions, String> {
    let roles = ["system", "user", "assistant"].map(str::to_owned).into();
    let given = Assumptions { roles, tools: false, documents: false };
    JinjaTemplate::new(source, Vec::new(), None)?.prove(&given)
}
