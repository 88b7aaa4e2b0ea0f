//! One pass over an object: the JSON of the values that paths lead to; other keys are wanted besides, noted, or skipped.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::key_log::KeyLog;

/// The name of a key that is wanted besides fields; none for others.
pub type Wanted = fn(&[u8]) -> Option<&'static str>;

/// A key and its JSON.
pub type Given<'record> = (&'static str, &'record str);

/// Keys that are wanted besides, and where they go.
pub(crate) type Besides<'run, 'record> = Option<(Wanted, &'run mut Vec<Given<'record>>)>;

/// Where keys are noted that are not read, if anywhere.
pub type Notes<'run, 'log> = Option<&'run mut KeyLog<'log>>;

/// Whether a JSON value holds nothing: null, or an empty list, object or string.
pub fn is_empty(raw: &str) -> bool {
    let inner = |raw: &str| raw.get(1..raw.len() - 1).is_some_and(|inner| inner.trim().is_empty());
    raw == "null" || raw == "\"\"" || (raw.starts_with(['[', '{']) && inner(raw))
}

/// Whether a JSON value may hold text: a string, a list or an object that is not empty. Numbers, true and false say
/// nothing that a language model could be trained on.
pub fn holds_something(raw: &str) -> bool {
    raw.starts_with(['"', '[', '{']) && !is_empty(raw)
}

/// Whether a text begins as an object does.
pub(crate) fn is_object(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{')
}

/// Keys still to go, and the slot of the value that they lead to.
pub(crate) type Path<'run> = (usize, &'run [String]);

/// Fills the slots with the raw values that the paths lead to in an object; the whole of it is validated.
pub(crate) fn search<'record>(
    object: &'record str,
    paths: &[Path<'_>],
    found: &mut [Option<&'record str>],
    besides: Besides<'_, 'record>,
    notes: Notes<'_, '_>,
) -> serde_json::Result<()> {
    let mut parser = serde_json::Deserializer::from_str(object);
    let has_escaped_key = parser.deserialize_map(Fields { paths, found, besides, notes })?;
    parser.end()?;
    // Keys are read as bytes, which lets raw control characters pass beside escapes.
    if has_escaped_key { serde_json::from_str::<IgnoredAny>(object).map(|_| ()) } else { Ok(()) }
}

struct Fields<'run, 'record, 'log> {
    paths: &'run [Path<'run>],
    found: &'run mut [Option<&'record str>],
    besides: Besides<'run, 'record>,
    notes: Notes<'run, 'log>,
}

impl<'record> Visitor<'record> for Fields<'_, 'record, '_> {
    /// Whether a key had an escape.
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'record>>(mut self, mut map: A) -> std::result::Result<bool, A::Error> {
        let mut has_escaped_key = false;
        // Keys that lead further, each with its last value.
        let mut ways: Vec<(Cow<'_, [u8]>, &str)> = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            has_escaped_key |= matches!(key, Cow::Owned(_));
            let mut paths = behind(&key, self.paths);
            if let Some(first) = paths.next() {
                let raw = map.next_value::<&'record RawValue>()?.get();
                let mut leads_further = false;
                for (slot, keys) in std::iter::once(first).chain(paths) {
                    self.found[slot] = keys.is_empty().then_some(raw);
                    leads_further |= !keys.is_empty();
                }
                if leads_further {
                    ways.retain(|(known, _)| *known != key);
                    ways.push((key, raw));
                }
            } else if let Some((wanted, given)) = &mut self.besides
                && let Some(name) = wanted(&key)
            {
                let raw = map.next_value::<&'record RawValue>()?.get();
                given.retain(|(known, _)| *known != name);
                given.push((name, raw));
            } else if let Some(log) = &mut self.notes {
                log.note(&key, holds_something(map.next_value::<&'record RawValue>()?.get()));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        for (key, raw) in ways.into_iter().filter(|(_, raw)| is_object(raw)) {
            let paths: Vec<Path<'_>> =
                behind(&key, self.paths).filter(|(_, keys)| !keys.is_empty()).collect();
            let found = &mut *self.found;
            let searched = match &mut self.notes {
                None => search(raw, &paths, found, None, None),
                Some(log) => log.inside(&key, |log| {
                    log.open();
                    search(raw, &paths, found, None, Some(log))
                }),
            };
            searched.map_err(A::Error::custom)?;
        }
        Ok(has_escaped_key)
    }
}

/// What is behind a key: the paths that begin with it.
fn behind<'run>(key: &[u8], paths: &'run [Path<'run>]) -> impl Iterator<Item = Path<'run>> {
    paths.iter().filter_map(move |(slot, keys)| match keys.split_first() {
        Some((first, rest)) if first.as_bytes() == key => Some((*slot, rest)),
        _ => None,
    })
}

/// A key that stands in quotes; `None` for something else.
pub fn key_of(raw: &str) -> Option<Cow<'_, [u8]>> {
    serde_json::Deserializer::from_str(raw).deserialize_bytes(LoneKey).ok()
}

/// As [`Key`], but not the same type: with a second user, reading keys is no longer inlined into a pass over an object,
/// which costs that pass 1 % of a run of `prepare`.
struct LoneKey;

impl<'record> Visitor<'record> for LoneKey {
    type Value = Cow<'record, [u8]>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Key.expecting(out)
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(
        self,
        bytes: &'record [u8],
    ) -> std::result::Result<Self::Value, E> {
        Key.visit_borrowed_bytes(bytes)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> std::result::Result<Self::Value, E> {
        Key.visit_bytes(bytes)
    }
}

/// An object's key as bytes, since an escape may spell half a surrogate pair; borrowed where it has no escapes.
struct Key;

impl<'record> DeserializeSeed<'record> for Key {
    type Value = Cow<'record, [u8]>;

    fn deserialize<D: Deserializer<'record>>(self, parser: D) -> std::result::Result<Self::Value, D::Error> {
        parser.deserialize_bytes(self)
    }
}

impl<'record> Visitor<'record> for Key {
    type Value = Cow<'record, [u8]>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(
        self,
        bytes: &'record [u8],
    ) -> std::result::Result<Self::Value, E> {
        if bytes.iter().any(|&byte| byte < b' ') {
            return Err(E::custom("control character in a key"));
        }
        Ok(Cow::Borrowed(bytes))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Self::Value, E> {
        Ok(Cow::Owned(bytes.to_owned()))
    }
}
