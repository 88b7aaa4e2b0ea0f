//! The lattice of abstract values: how a value may differ between two conversations with the same roles.
//!
//! A class is a set of kinds, and the lattice is the powerset of the kinds: the order is inclusion, the
//! join is union, and bottom is the empty set. It is finite, so that every ascending chain ends.

use std::ops::{BitOr, BitOrAssign};

/// An abstract value: the set of kinds that a value may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Class(u16);

impl Class {
    /// Bottom: no value, as this code is never reached.
    pub(super) const BOTTOM: Self = Self(0);
    /// Undefined.
    pub(super) const UNDEFINED: Self = Self(1);
    /// `none`.
    pub(super) const NONE: Self = Self(1 << 1);
    /// The role of a message.
    pub(super) const ROLE: Self = Self(1 << 2);
    /// Any other value that is equal in both conversations.
    pub(super) const PLAIN: Self = Self(1 << 3);
    /// The content of one message, perhaps stripped.
    pub(super) const CONTENT: Self = Self(1 << 4);
    /// A concatenation of texts, at least one of which is a content.
    pub(super) const TEXT: Self = Self(1 << 5);
    /// A message.
    pub(super) const MESSAGE: Self = Self(1 << 6);
    /// A list of messages.
    pub(super) const MESSAGES: Self = Self(1 << 7);
    /// A list whose only item is a content, as from `split` by a text that no content contains.
    pub(super) const PIECES: Self = Self(1 << 8);
    /// A namespace, whose attributes may be of any kind.
    pub(super) const NAMESPACE: Self = Self(1 << 9);
    /// Only for output: nothing is written.
    pub(super) const NOTHING: Self = Self(1 << 10);

    /// Free of message text: equal in both conversations.
    pub(super) const FREE: Self = Self(Self::UNDEFINED.0 | Self::NONE.0 | Self::ROLE.0 | Self::PLAIN.0);
    /// Text that includes message contents.
    pub(super) const MESSAGE_TEXT: Self = Self(Self::CONTENT.0 | Self::TEXT.0);

    pub(super) const KINDS: [Self; 10] = [
        Self::UNDEFINED,
        Self::NONE,
        Self::ROLE,
        Self::PLAIN,
        Self::CONTENT,
        Self::TEXT,
        Self::MESSAGE,
        Self::MESSAGES,
        Self::PIECES,
        Self::NAMESPACE,
    ];

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn kinds(self) -> impl Iterator<Item = Self> {
        Self::KINDS.into_iter().filter(move |&kind| self.has(kind))
    }

    /// The class of this output followed by another one.
    pub(super) fn then(self, other: Self) -> Self {
        let (left, right) = (self.without(Self::NOTHING), other.without(Self::NOTHING));
        let mut both = Self::BOTTOM;
        if self.has(Self::NOTHING) {
            both |= other;
        }
        if other.has(Self::NOTHING) {
            both |= self;
        }
        if left.has(Self::PLAIN) && right.has(Self::PLAIN) {
            both |= Self::PLAIN;
        }
        if left != Self::BOTTOM && right != Self::BOTTOM && (left | right).has(Self::MESSAGE_TEXT) {
            both |= Self::TEXT;
        }
        both
    }

    /// The class of captured output: a text, which may be empty.
    pub(super) fn captured(self) -> Self {
        if self.has(Self::NOTHING) { self.without(Self::NOTHING) | Self::PLAIN } else { self }
    }

    /// Whether values of this one kind are true; `None` if unknown. Texts are assumed not to be blank.
    fn is_true(self) -> Option<bool> {
        match self {
            Self::UNDEFINED | Self::NONE => Some(false),
            Self::CONTENT | Self::TEXT | Self::MESSAGE | Self::PIECES => Some(true),
            _ => None,
        }
    }

    /// Whether values of this one kind pass a type test; `None` if unknown.
    fn passes(self, test: &str) -> Option<bool> {
        let is_text = match test {
            "string" | "sequence" | "iterable" | "defined" => true,
            "undefined" | "none" | "mapping" | "number" | "boolean" | "integer" | "float" | "true"
            | "false" => false,
            _ => return None,
        };
        match self {
            Self::ROLE | Self::CONTENT | Self::TEXT => Some(is_text),
            Self::UNDEFINED => match test {
                "sequence" | "iterable" => None,
                _ => Some(test == "undefined"),
            },
            Self::NONE => Some(matches!(test, "none" | "defined")),
            Self::MESSAGE => match test {
                "sequence" | "iterable" => None,
                _ => Some(matches!(test, "mapping" | "defined")),
            },
            Self::MESSAGES | Self::PIECES => match test {
                "sequence" | "iterable" => None,
                _ => Some(test == "defined"),
            },
            _ => None,
        }
    }

    pub(super) fn truth(self) -> Outcome {
        self.outcome(Self::is_true)
    }

    pub(super) fn test(self, name: &str) -> Outcome {
        self.outcome(|kind| kind.passes(name))
    }

    /// Removes kinds for which a type test is known to have another result.
    pub(super) fn passing(self, name: &str, result: bool) -> Self {
        self.kinds().filter(|kind| kind.passes(name) != Some(!result)).fold(Self::BOTTOM, BitOr::bitor)
    }

    /// Removes kinds that are known to have another truth value.
    pub(super) fn as_true(self, result: bool) -> Self {
        self.kinds().filter(|kind| kind.is_true() != Some(!result)).fold(Self::BOTTOM, BitOr::bitor)
    }

    fn outcome(self, of: impl Fn(Self) -> Option<bool>) -> Outcome {
        let mut all = Outcome { yes: false, no: false };
        for kind in self.kinds() {
            let one = of(kind);
            all.yes |= one != Some(false);
            all.no |= one != Some(true);
        }
        all
    }
}

/// Whether a test is about the type of a value only, so that all contents give the same result.
pub(super) fn is_type_test(name: &str) -> bool {
    Class::CONTENT.passes(name).is_some()
}

impl BitOr for Class {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Class {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The set of possible results of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) yes: bool,
    pub(super) no: bool,
}

impl Outcome {
    pub(super) const EITHER: Self = Self { yes: true, no: true };
    pub(super) const NO: Self = Self { yes: false, no: true };

    pub(super) fn not(self) -> Self {
        Self { yes: self.no, no: self.yes }
    }
}
