//! Caches the plans of a template, and decides when a plan replaces running the template.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::chat::{Chat, messages_of};
use super::jinja::opaque::{Assumptions, Conditions};
use super::jinja::{JinjaInput, JinjaTemplate};
use super::plan::{Plan, Rendered};
use super::proof::Proof;
use super::spans::TrainOn;

/// Maximum number of cached plans: most conversations share their roles with many others.
const MAX_PLANS: usize = 4096;
/// Maximum number of messages of a conversation whose plan is cached: making a plan takes quadratic time.
const MAX_PLANNED: usize = 256;
/// Maximum number of cached results of the static analysis, by set of roles.
const MAX_PROOFS: usize = 256;

/// A template and its cached plans.
#[derive(Debug)]
pub(super) struct Planner {
    pub(super) jinja: JinjaTemplate,
    pub(super) is_builtin: bool,
    pub(super) end_tokens: Vec<String>,
    pub(super) train_on: TrainOn,
    kept: Mutex<BTreeMap<Vec<u8>, Arc<Planned>>>,
    /// Hashes of the keys of conversations that occurred once.
    met: Mutex<BTreeSet<u64>>,
    proofs: Mutex<BTreeMap<Assumptions, Option<Arc<Conditions>>>>,
}

/// The plan of all conversations with the same roles, tools and documents.
#[derive(Debug)]
pub(super) struct Planned {
    /// With the parts that are trained on, or why they cannot be located.
    pub(super) plan: Result<Plan, String>,
    /// Without them, if they cannot be located.
    untrained: Option<Plan>,
    /// When filling in the plan equals running the template; `None` if unknown.
    proof: Option<Proof>,
}

impl Planned {
    fn none(reason: &str) -> Self {
        Self { plan: Err(reason.to_owned()), untrained: None, proof: None }
    }
}

impl Planner {
    /// Without any cached plans.
    pub(super) fn new(
        jinja: JinjaTemplate,
        is_builtin: bool,
        end_tokens: Vec<String>,
        train_on: TrainOn,
    ) -> Self {
        let (kept, met, proofs) = Default::default();
        Self { jinja, is_builtin, end_tokens, train_on, kept, met, proofs }
    }

    /// Renders a conversation from its plan, if that is known to equal running the template.
    pub(super) fn filled(&self, chat: &Chat<'_>) -> Option<Rendered> {
        self.filled_with(chat, |planned| planned.plan.as_ref().ok())
    }

    /// The same for the text alone.
    pub(super) fn filled_text(&self, chat: &Chat<'_>) -> Option<String> {
        let filled =
            self.filled_with(chat, |planned| planned.plan.as_ref().ok().or(planned.untrained.as_ref()));
        filled.map(|filled| filled.text)
    }

    fn filled_with(&self, chat: &Chat<'_>, plan_of: fn(&Planned) -> Option<&Plan>) -> Option<Rendered> {
        let is_known = self.is_builtin || (chat.has_plain_messages() && !self.jinja.has_generation());
        if !is_known || chat.roles.len() > MAX_PLANNED {
            return None;
        }
        let texts = chat.texts()?;
        let planned = self.known_plan(chat)?;
        let plan = plan_of(&planned)?;
        let is_all = self.is_builtin || planned.proof.as_ref().is_some_and(|proof| proof.holds(&texts));
        is_all.then(|| plan.fill(&texts, chat.mask()))
    }

    /// A cached plan, or a new one if it pays off: the roles or tools of a conversation may be unique.
    fn known_plan(&self, chat: &Chat<'_>) -> Option<Arc<Planned>> {
        let key = self.key(chat);
        let is_full = {
            let plans = self.kept();
            if let Some(planned) = plans.get(&key) {
                return Some(Arc::clone(planned));
            }
            plans.len() >= MAX_PLANS
        };
        let is_worth_it = self.is_builtin || (!is_full && self.was_met(&key));
        is_worth_it.then(|| self.plan(chat))
    }

    /// The plan of a conversation.
    pub(super) fn plan(&self, chat: &Chat<'_>) -> Arc<Planned> {
        let key = self.key(chat);
        if let Some(planned) = self.kept().get(&key) {
            return Arc::clone(planned);
        }
        let planned = Arc::new(self.make_plan(chat));
        let mut plans = self.kept();
        if plans.len() < MAX_PLANS && chat.roles.len() <= MAX_PLANNED {
            plans.insert(key, Arc::clone(&planned));
        }
        planned
    }

    fn make_plan(&self, chat: &Chat<'_>) -> Planned {
        let mut beside = JinjaInput { messages: ().into(), tools: None, documents: None };
        let mut conditions = None;
        // Built-in templates ignore tools and documents.
        if !self.is_builtin {
            match chat.beside() {
                Ok((tools, documents)) => (beside.tools, beside.documents) = (tools, documents),
                Err(_) => return Planned::none("tools or documents cannot be parsed"),
            }
            if chat.has_plain_messages() && !self.jinja.has_generation() {
                conditions = self.conditions(chat);
            }
        }
        if !self.is_builtin && !chat.is_plain() && conditions.is_none() {
            return Planned::none("no proof for tools, documents or further fields of messages");
        }
        let roles: Vec<&str> = chat.roles.iter().map(AsRef::as_ref).collect();
        let render = |messages: &[(&str, &str)], asking: bool| {
            let messages = messages_of(messages.iter().copied());
            self.jinja.render(&JinjaInput { messages, ..beside.clone() }, asking)
        };
        let plan = Plan::new(&roles, &render, &self.end_tokens, self.train_on);
        let untrained = match (&plan, &conditions) {
            (Err(_), Some(_)) => Plan::untrained(&roles, &render).ok(),
            _ => None,
        };
        let known = plan.as_ref().ok().or(untrained.as_ref()).zip(conditions);
        let proof = known.and_then(|(plan, known)| Proof::new(&self.jinja, &roles, &beside, plan, known));
        Planned { plan, untrained, proof }
    }

    /// The conditions under which the template is opaque to message contents; `None` if unknown.
    fn conditions(&self, chat: &Chat<'_>) -> Option<Arc<Conditions>> {
        let (tools, documents) = chat.raw_beside();
        let roles = chat.roles.iter().map(|role| role.clone().into_owned()).collect();
        let assumptions = Assumptions { roles, tools: tools.is_some(), documents: documents.is_some() };
        let num_known = {
            let proofs = self.proofs();
            if let Some(known) = proofs.get(&assumptions) {
                return known.clone();
            }
            proofs.len()
        };
        let known =
            if num_known < MAX_PROOFS { self.jinja.prove(&assumptions).ok().map(Arc::new) } else { None };
        if num_known < MAX_PROOFS {
            self.proofs().insert(assumptions, known.clone());
        }
        known
    }

    /// The cache key of a conversation: its roles, tools and documents, encoded unambiguously.
    fn key(&self, chat: &Chat<'_>) -> Vec<u8> {
        let mut key = Vec::with_capacity(chat.roles.iter().map(|role| 8 + role.len()).sum());
        // Each role is preceded by its length.
        for role in &chat.roles {
            key.extend_from_slice(&(role.len() as u64).to_le_bytes());
            key.extend_from_slice(role.as_bytes());
        }
        let (tools, documents) = if self.is_builtin { (None, None) } else { chat.raw_beside() };
        for (name, raw) in [("tools", tools), ("documents", documents)] {
            if let Some(raw) = raw {
                // No role has this length.
                key.extend_from_slice(&u64::MAX.to_le_bytes());
                key.extend_from_slice(name.as_bytes());
                key.extend_from_slice(&(raw.len() as u64).to_le_bytes());
                key.extend_from_slice(raw.as_bytes());
            }
        }
        key
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Arc<Planned>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proofs(&self) -> MutexGuard<'_, BTreeMap<Assumptions, Option<Arc<Conditions>>>> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a conversation with this key occurred before.
    fn was_met(&self, key: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.contains(&hasher.finish()) || (met.len() < MAX_PLANS && !met.insert(hasher.finish()))
    }
}
