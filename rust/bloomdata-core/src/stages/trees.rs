//! Trees of messages (OASST1): one path from each root (BC-01).
//!
//! At each message the path follows the preferred reply, the first of equals; it ends where there is no reply. All is
//! done with loops over the nodes, each walked over once: chains may be as long as memory holds, and parents may stand
//! behind their children.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::conversation::{Conversation, Message, Role};
use crate::document::BadRecord;

/// Why messages are left out.
pub const NOT_BEST: &str = "not on the best path";
/// The root has another language than those wanted.
pub const LANGUAGE: &str = "language left out";
/// The message is marked as deleted.
pub const DELETED: &str = "deleted";
/// A question at the end without an answer.
pub const UNANSWERED: &str = "question without an answer";
/// No root is above it, since a message above it is bad.
pub const BELOW_BAD: &str = "below a bad message";

/// One message, and no more of it than paths need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeNode {
    /// Its name.
    pub id: String,
    /// The name of the message that it replies to; a root has none.
    pub parent: Option<String>,
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
    /// The path takes the reply with the greatest.
    pub preference: i64,
    /// Whether the path passes by it.
    pub is_deleted: bool,
    /// Whether, as a root, it drops its tree.
    pub is_language_left_out: bool,
}

/// Where a path may end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndOn {
    /// Anywhere, as in the script.
    #[default]
    Any,
    /// Behind an answer; questions at the end are cut.
    Assistant,
}

/// What hangs where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// On nothing.
    Root,
    /// On the node with this index.
    Reply(usize),
    /// Nowhere: why.
    Bad(BadRecord),
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A root, where the conversation stands: indices of its messages, this one first. See [`conversation`].
    Path(Vec<usize>),
    /// It is part of its root's conversation.
    Joined,
    /// Left out, and counted under this reason.
    Dropped(&'static str),
    /// It fits into no tree.
    Bad(BadRecord),
}

/// What becomes of each message, in order.
pub fn fates(nodes: &[TreeNode], end_on: EndOn) -> Vec<Fate> {
    fates_of_linked(nodes, &link(nodes), end_on)
}

/// As [`fates`], of nodes that are linked already. A link must be to a node of the list.
pub fn fates_of_linked(nodes: &[TreeNode], links: &[Link], end_on: EndOn) -> Vec<Fate> {
    let mut best: Vec<Option<usize>> = vec![None; nodes.len()];
    for (at, link) in links.iter().enumerate() {
        if let Link::Reply(parent) = *link
            && !nodes[at].is_deleted
            && best[parent].is_none_or(|other| nodes[at].preference > nodes[other].preference)
        {
            best[parent] = Some(at);
        }
    }
    let places = places(links);
    let mut fates: Vec<Fate> = (0..nodes.len()).map(|at| off_path(nodes, links, &places, at)).collect();
    for root in (0..nodes.len()).filter(|&at| links[at] == Link::Root) {
        if matches!(fates[root], Fate::Dropped(LANGUAGE | DELETED)) {
            continue;
        }
        let mut path: Vec<usize> = std::iter::successors(Some(root), |&at| best[at]).collect();
        while end_on == EndOn::Assistant
            && let Some(&last) = path.last()
            && nodes[last].role == Role::User
        {
            fates[last] = Fate::Dropped(UNANSWERED);
            path.pop();
        }
        for &at in &path {
            fates[at] = Fate::Joined;
        }
        if !path.is_empty() {
            fates[root] = Fate::Path(path);
        }
    }
    fates
}

/// The conversation of a path. The script strips the whole of what it renders.
pub fn conversation(nodes: &[TreeNode], path: &[usize]) -> Conversation {
    let message = |&at: &usize| Message::new(nodes[at].role, nodes[at].text.as_str());
    Conversation { messages: path.iter().map(message).collect(), strip: true }
}

/// What each node hangs on. Of equal names the first counts.
fn link(nodes: &[TreeNode]) -> Vec<Link> {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        named.entry(&node.id).or_insert(at);
    }
    let wrong = |told: String| Link::Bad(BadRecord::WrongForm(told));
    let link = |(at, node): (usize, &TreeNode)| match &node.parent {
        _ if named.get(&*node.id) != Some(&at) => wrong(format!("message_id {:?} occurs before", node.id)),
        None => Link::Root,
        Some(parent) => match named.get(&**parent) {
            Some(&parent) => Link::Reply(parent),
            None => wrong(format!("parent_id: expected a message of the inputs, got {parent:?}")),
        },
    };
    nodes.iter().enumerate().map(link).collect()
}

/// Where a node is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nobody looked yet.
    Unknown,
    /// On the walk towards the root that is going on.
    Walked,
    /// Under this root, or the root itself.
    Under(usize),
    /// Under no root.
    Lost,
    /// On a cycle.
    Cycle,
}

/// Walks up from every node until a place is known; each node is walked over once.
fn places(links: &[Link]) -> Vec<Place> {
    let mut places = vec![Place::Unknown; links.len()];
    let mut walk = Vec::new();
    for start in 0..links.len() {
        let mut at = start;
        let found = loop {
            match (places[at], &links[at]) {
                (Place::Unknown, Link::Reply(parent)) => {
                    places[at] = Place::Walked;
                    walk.push(at);
                    at = *parent;
                }
                (Place::Unknown, Link::Root) => break Place::Under(at),
                (Place::Walked, _) => {
                    while let Some(last) = walk.pop() {
                        places[last] = Place::Cycle;
                        if last == at {
                            break;
                        }
                    }
                    break Place::Lost;
                }
                (Place::Unknown, Link::Bad(_)) | (Place::Cycle | Place::Lost, _) => break Place::Lost,
                (Place::Under(root), _) => break Place::Under(root),
            }
        };
        if places[at] == Place::Unknown {
            places[at] = found;
        }
        for at in walk.drain(..) {
            places[at] = found;
        }
    }
    places
}

/// The fate of a node that no path takes.
fn off_path(nodes: &[TreeNode], links: &[Link], places: &[Place], at: usize) -> Fate {
    match (&links[at], places[at]) {
        (Link::Bad(bad), _) => Fate::Bad(bad.clone()),
        (_, Place::Cycle) => {
            let told = format!("message {:?} is above itself", nodes[at].id);
            Fate::Bad(BadRecord::WrongForm(told))
        }
        (_, Place::Under(root)) if nodes[root].is_language_left_out => Fate::Dropped(LANGUAGE),
        (_, Place::Under(_)) if nodes[at].is_deleted => Fate::Dropped(DELETED),
        (_, Place::Under(_)) => Fate::Dropped(NOT_BEST),
        _ => Fate::Dropped(BELOW_BAD),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(id: usize, parent: Option<usize>, preference: i64) -> TreeNode {
        TreeNode {
            id: id.to_string(),
            parent: parent.map(|parent| parent.to_string()),
            role: if id.is_multiple_of(2) { Role::User } else { Role::Assistant },
            text: String::new(),
            preference,
            is_deleted: false,
            is_language_left_out: false,
        }
    }

    fn dropped(reason: &'static str) -> Fate {
        Fate::Dropped(reason)
    }

    #[test]
    fn the_first_of_the_preferred_replies_is_taken() {
        let nodes = [
            node(0, None, 0),
            node(1, Some(0), -1),
            node(2, Some(0), 1),
            node(3, Some(0), 1),
            node(4, Some(2), 0),
        ];
        let none = || dropped(NOT_BEST);
        let expected = [Fate::Path(vec![0, 2, 4]), none(), Fate::Joined, none(), Fate::Joined];
        assert_eq!(fates(&nodes, EndOn::Any), expected);
    }

    #[test]
    fn questions_at_the_end_are_cut() {
        let nodes = [node(0, None, 0), node(1, Some(0), 0), node(2, Some(1), 0), node(4, None, 0)];
        let unanswered = || dropped(UNANSWERED);
        let expected = [Fate::Path(vec![0, 1]), Fate::Joined, unanswered(), unanswered()];
        assert_eq!(fates(&nodes, EndOn::Assistant), expected);
    }

    #[test]
    fn deleted_replies_are_passed_by_and_languages_drop_whole_trees() {
        let mut nodes = [node(0, None, 0), node(1, Some(0), 9), node(2, Some(0), 0), node(3, Some(1), 0)];
        nodes[1].is_deleted = true;
        let expected = [Fate::Path(vec![0, 2]), dropped(DELETED), Fate::Joined, dropped(NOT_BEST)];
        assert_eq!(fates(&nodes, EndOn::Any), expected);
        nodes[0].is_language_left_out = true;
        assert_eq!(fates(&nodes, EndOn::Any), vec![dropped(LANGUAGE); 4]);
    }

    #[test]
    fn every_message_that_fits_into_no_tree_is_told_why() {
        let nodes = [
            node(0, Some(9), 0),
            node(1, Some(0), 0),
            node(2, Some(3), 0),
            node(3, Some(2), 0),
            node(4, Some(3), 0),
            node(5, Some(5), 0),
            node(6, None, 0),
            node(6, Some(6), 0),
        ];
        let told: Vec<String> = fates(&nodes, EndOn::Any)
            .into_iter()
            .map(|fate| match fate {
                Fate::Bad(bad) => bad.to_string(),
                other => format!("{other:?}"),
            })
            .collect();
        let expected = [
            "parent_id: expected a message of the inputs, got \"9\"",
            "Dropped(\"below a bad message\")",
            "message \"2\" is above itself",
            "message \"3\" is above itself",
            "Dropped(\"below a bad message\")",
            "message \"5\" is above itself",
            "Path([6])",
            "message_id \"6\" occurs before",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn long_chains_and_long_cycles_take_one_pass() {
        let length = 300_000;
        let chain: Vec<_> = (0..length).map(|at| node(at, at.checked_sub(1), 0)).collect();
        assert!(matches!(&fates(&chain, EndOn::Any)[0], Fate::Path(path) if path.len() == length));
        let reversed: Vec<_> = chain.into_iter().rev().collect();
        let last = fates(&reversed, EndOn::Any).pop();
        assert!(matches!(last, Some(Fate::Path(path)) if path.len() == length));
        let cycle: Vec<_> = (0..length).map(|at| node(at, Some((at + 1) % length), 0)).collect();
        assert!(fates(&cycle, EndOn::Any).iter().all(|fate| matches!(fate, Fate::Bad(_))));
    }

    proptest! {
        #[test]
        fn every_message_of_a_path_is_joined_once_and_no_other(
            parents in prop::collection::vec((prop::option::of(0..20_usize), -2..3_i64, any::<bool>()), 0..20)
        ) {
            let node = |(at, (parent, preference, is_deleted))| TreeNode {
                is_deleted, ..node(at, parent, preference)
            };
            let nodes: Vec<TreeNode> = parents.into_iter().enumerate().map(node).collect();
            let fates = fates(&nodes, EndOn::Any);
            let mut times = vec![0; nodes.len()];
            for (at, fate) in fates.iter().enumerate() {
                if let Fate::Path(path) = fate {
                    prop_assert_eq!(path[0], at);
                    for &at in path {
                        times[at] += 1;
                    }
                }
            }
            for (fate, times) in fates.iter().zip(times) {
                prop_assert_eq!(times, usize::from(matches!(fate, Fate::Path(_) | Fate::Joined)));
            }
        }
    }
}
