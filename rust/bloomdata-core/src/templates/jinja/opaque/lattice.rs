//! What is known of a value: how it may differ between two conversations of the same roles.

use std::ops::{BitOr, BitOrAssign};

/// A set of kinds, one of which a value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Class(u16);

impl Class {
    /// No value at all: nothing that ends up here is ever run.
    pub(super) const BOTTOM: Self = Self(0);
    /// Not there.
    pub(super) const UNDEFINED: Self = Self(1);
    /// `none`.
    pub(super) const NONE: Self = Self(1 << 1);
    /// The role of a message.
    pub(super) const ROLE: Self = Self(1 << 2);
    /// Anything that is the same in both.
    pub(super) const PLAIN: Self = Self(1 << 3);
    /// What one message says, perhaps stripped.
    pub(super) const CONTENT: Self = Self(1 << 4);
    /// Texts one behind the other, at least one of which is what a message says.
    pub(super) const TEXT: Self = Self(1 << 5);
    /// A message.
    pub(super) const MESSAGE: Self = Self(1 << 6);
    /// A list of messages.
    pub(super) const MESSAGES: Self = Self(1 << 7);
    /// A list of nothing but what one message says, as `split` gives it.
    pub(super) const PIECES: Self = Self(1 << 8);
    /// A namespace, whose attributes may be any of these.
    pub(super) const NAMESPACE: Self = Self(1 << 9);
    /// Of what is written: nothing.
    pub(super) const NOTHING: Self = Self(1 << 10);

    /// All that is the same whatever messages say.
    pub(super) const FREE: Self = Self(Self::UNDEFINED.0 | Self::NONE.0 | Self::ROLE.0 | Self::PLAIN.0);
    /// Text of messages.
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

    /// This text and then the other one, of what is written.
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

    /// What is written as a value: text, if only an empty one.
    pub(super) fn captured(self) -> Self {
        if self.has(Self::NOTHING) { self.without(Self::NOTHING) | Self::PLAIN } else { self }
    }

    /// Whether a value of this one kind is true; `None` if that may be so or so. Texts are taken not to be blank.
    fn is_true(self) -> Option<bool> {
        match self {
            Self::UNDEFINED | Self::NONE => Some(false),
            Self::CONTENT | Self::TEXT | Self::MESSAGE | Self::PIECES => Some(true),
            _ => None,
        }
    }

    /// What a test of its type says of a value of this one kind; `None` if that may be so or so.
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

    /// Without the kinds for which a test of the type would have another result.
    pub(super) fn passing(self, name: &str, result: bool) -> Self {
        self.kinds().filter(|kind| kind.passes(name) != Some(!result)).fold(Self::BOTTOM, BitOr::bitor)
    }

    /// Without the kinds that would not be as true.
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

/// Whether a test of the type of a value, which texts of all kinds pass alike.
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

/// What a condition may come out as.
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
