//! Tests that the analysis accepts and refuses the right templates, and that accepted ones are opaque.

mod random;
mod refused;
mod same;
mod table;

use super::super::JinjaTemplate;
use super::{Assumptions, Conditions};

/// Proves a template for users, assistants and a system.
fn prove(source: &str) -> Result<Conditions, String> {
    let roles = ["system", "user", "assistant"].map(str::to_owned).into();
    let given = Assumptions { roles, tools: false, documents: false };
    JinjaTemplate::new(source, Vec::new(), None)?.prove(&given)
}
