//! Keys of records that were not read although they hold something, and in how many records each was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Keys that are counted by name. Data whose keys are ids has as many as records; the books must not grow with them.
pub const MAX_KEYS: usize = 1_000;
/// Bytes of a key that is counted by name.
pub const MAX_KEY_BYTES: usize = 256;
/// Under which name records are counted that hold keys beyond these limits.
pub const OTHER_KEYS: &str = "(other keys)";

/// The keys of one record that were not read: sorted, each once. Records with the same ones share the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeySet(Option<Arc<[Box<str>]>>);

impl KeySet {
    /// The set of these keys.
    pub fn new(mut keys: Vec<Box<str>>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self(if keys.is_empty() { None } else { Some(keys.into()) })
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The keys.
    pub fn keys(&self) -> &[Box<str>] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether it is the very list that another one has; equal lists need not be the same.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

/// In how many records each key was not read. As JSON an object, sorted by key.
///
/// The first [`MAX_KEYS`] keys are counted by name, in the order of records and, within one, of the alphabet. A key keeps
/// its place even if its count falls to zero, so that what is taken back is what was added.
#[derive(Debug, Clone, Default)]
pub struct UnreadKeys {
    places: BTreeMap<Box<str>, usize>,
    counts: Vec<u64>,
    /// Places of the sets that were added last.
    recent: Vec<(KeySet, Box<[usize]>)>,
}

/// Sets whose places are remembered.
const MAX_RECENT: usize = 8;

impl UnreadKeys {
    /// Counts a record.
    pub fn add(&mut self, set: &KeySet) {
        if set.is_empty() {
            return;
        }
        let known = self.recent.iter().position(|(known, _)| known.is_same(set));
        let at = known.unwrap_or_else(|| {
            let places = self.places_of(set);
            if self.recent.len() == MAX_RECENT {
                self.recent.remove(0);
            }
            self.recent.push((set.clone(), places));
            self.recent.len() - 1
        });
        for &place in &self.recent[at].1 {
            self.counts[place] += 1;
        }
    }

    /// Takes back a record that was counted.
    pub fn take_back(&mut self, set: &KeySet) {
        for place in self.places_of(set) {
            self.counts[place] = self.counts[place].saturating_sub(1);
        }
    }

    /// Adds the counts of another run.
    pub fn add_all(&mut self, other: &Self) {
        for (key, count) in other.iter() {
            let place = self.place_of(key);
            self.counts[place] += count;
        }
    }

    /// What was added since these counts stood at `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |key: &str| earlier.places.get(key).map_or(0, |&place| earlier.counts[place]);
        self.iter().map(|(key, count)| (key.into(), count.saturating_sub(before(key)))).collect()
    }

    /// Without the keys that are in no record any more.
    #[must_use]
    pub fn found(&self) -> Self {
        self.iter().filter(|(_, count)| *count > 0).map(|(key, count)| (key.into(), count)).collect()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Each key and its records, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.places.iter().map(|(key, &place)| (&**key, self.counts[place]))
    }

    fn places_of(&mut self, set: &KeySet) -> Box<[usize]> {
        let mut places: Vec<usize> = set.keys().iter().map(|key| self.place_of(key)).collect();
        // Several keys may be among the others.
        places.sort_unstable();
        places.dedup();
        places.into()
    }

    fn place_of(&mut self, key: &str) -> usize {
        if let Some(&place) = self.places.get(key) {
            return place;
        }
        let num_named = self.places.len() - usize::from(self.places.contains_key(OTHER_KEYS));
        let is_named = num_named < MAX_KEYS && key.len() <= MAX_KEY_BYTES;
        let counts = &mut self.counts;
        *self.places.entry(if is_named { key } else { OTHER_KEYS }.into()).or_insert_with(|| {
            counts.push(0);
            counts.len() - 1
        })
    }
}

impl FromIterator<(Box<str>, u64)> for UnreadKeys {
    fn from_iter<I: IntoIterator<Item = (Box<str>, u64)>>(counts: I) -> Self {
        let counts: BTreeMap<Box<str>, u64> = counts.into_iter().collect();
        let places = counts.keys().cloned().zip(0..).collect();
        Self { places, counts: counts.into_values().collect(), recent: Vec::new() }
    }
}

impl PartialEq for UnreadKeys {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UnreadKeys {}

impl Serialize for UnreadKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for UnreadKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<Box<str>, u64>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(keys: &[&str]) -> KeySet {
        KeySet::new(keys.iter().map(|key| Box::from(*key)).collect())
    }

    fn counts(unread: &UnreadKeys) -> Vec<(&str, u64)> {
        unread.iter().collect()
    }

    #[test]
    fn keys_beyond_the_limits_are_counted_once_for_each_record() {
        let mut unread = UnreadKeys::default();
        let long = "x".repeat(MAX_KEY_BYTES + 1);
        unread.add(&set(&["b", &long]));
        for number in 1..MAX_KEYS {
            unread.add(&set(&[&format!("key {number}")]));
        }
        unread.add(&set(&["new", "newer", "b"]));
        assert_eq!(unread.iter().count(), MAX_KEYS + 1);
        let of = |key: &str| unread.iter().find(|(known, _)| *known == key).map(|(_, count)| count);
        assert_eq!((of("b"), of(OTHER_KEYS), of("new"), of(&long)), (Some(2), Some(2), None, None));
    }

    #[test]
    fn what_was_added_since_is_what_must_be_added() {
        let mut earlier = UnreadKeys::default();
        earlier.add(&set(&["a", "b"]));
        let mut now = earlier.clone();
        now.add(&set(&["b", "c"]));
        let added = now.since(&earlier).found();
        assert_eq!(counts(&added), [("b", 1), ("c", 1)]);
        earlier.add_all(&added);
        assert_eq!(earlier, now);
    }

    proptest! {
        /// A run that goes on from what it wrote down counts as one that was never stopped.
        #[test]
        fn counts_go_on_from_their_json(
            records in prop::collection::vec(prop::collection::vec(0..1_400_u32, 0..60), 1..80),
            stop in 0..80_usize,
            taken_back in 0..80_usize,
        ) {
            let sets: Vec<KeySet> = records
                .iter()
                .map(|keys| KeySet::new(keys.iter().map(|key| format!("k{key}").into()).collect()))
                .collect();
            let (mut whole, mut parts) = (UnreadKeys::default(), UnreadKeys::default());
            for (number, set) in sets.iter().enumerate() {
                if number == stop {
                    parts = serde_json::from_str(&serde_json::to_string(&parts).unwrap()).unwrap();
                }
                whole.add(set);
                parts.add(set);
                if number == taken_back {
                    whole.take_back(set);
                    parts.take_back(set);
                }
            }
            prop_assert_eq!(&whole, &parts);
            for set in sets.iter().enumerate().filter(|(number, _)| *number != taken_back).map(|(_, set)| set) {
                whole.take_back(set);
            }
            prop_assert!(whole.found().is_empty());
        }
    }
}
