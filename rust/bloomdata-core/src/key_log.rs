//! Takes note of the keys of records that are not read. One log serves all records of a block.

use std::collections::BTreeMap;

use crate::unread_keys::KeySet;

/// Whether a key that no reader asked for is read all the same, by a template for example. It gets the key as it is
/// counted: `messages[].name`.
pub type IsRead<'run> = &'run (dyn Fn(&str) -> bool + 'run);

/// The keys of a record that were not read although they hold something.
///
/// Keys inside an object of the record have the way there in front: `data.url`; those of the objects in a list have the
/// list's: `messages[].name`. Of equal keys in one object the last one counts, as in Python's `json`.
#[derive(Default)]
pub struct KeyLog<'run> {
    is_read: Option<IsRead<'run>>,
    /// Ways to objects, and the number of that to the open one; the first is that to records.
    ways: Vec<Box<[u8]>>,
    way: usize,
    numbers: BTreeMap<Box<[u8]>, usize>,
    keys: Vec<Key>,
    record: u64,
    object: u64,
    /// Keys of the open record, by number, in the order of their first note.
    noted: Vec<usize>,
    /// The key that was noted last. Records are alike: what followed it before is most likely what follows now.
    latest: usize,
    /// Keys of the last record with any that counted, and their set.
    last: (Vec<usize>, KeySet),
    sets: BTreeMap<Vec<usize>, KeySet>,
    scratch: Vec<u8>,
}

/// What is known of a key.
struct Key {
    /// The way to its object, by number, and its bytes there.
    way: usize,
    bytes: Box<[u8]>,
    /// Both, as it is counted.
    name: Box<str>,
    /// Whether it is not read.
    is_unread: bool,
    /// The last record and object that have it.
    record: u64,
    object: u64,
    /// The two keys that were noted after it last.
    next: [usize; 2],
    /// Whether it holds something in the last object, and in one before it of the same record.
    holds: bool,
    held: bool,
}

impl Key {
    fn followed_by(&mut self, number: usize) {
        if self.next[0] != number {
            self.next = [number, self.next[0]];
        }
    }
}

impl<'run> KeyLog<'run> {
    /// A log without the keys that are read all the same.
    pub fn except(is_read: IsRead<'run>) -> Self {
        Self { is_read: Some(is_read), ..Self::default() }
    }

    /// Begins a record.
    pub fn begin(&mut self) {
        self.record += 1;
        self.noted.clear();
        self.way = 0;
    }

    /// Opens an object whose keys are noted next.
    pub fn open(&mut self) {
        self.object += 1;
    }

    /// Reads what is inside of a key, or of the objects of a list: `messages[]`.
    pub fn inside<T>(&mut self, place: impl AsRef<[u8]>, read: impl FnOnce(&mut Self) -> T) -> T {
        if self.ways.is_empty() {
            self.ways.push(Box::default());
        }
        let (before, place) = (&*self.ways[self.way], place.as_ref());
        let is_it = |known: &[u8]| {
            known
                .strip_prefix(before)
                .and_then(|rest| rest.strip_prefix(place))
                .is_some_and(|rest| rest == b".")
        };
        let known = self.ways.iter().position(|known| is_it(known));
        if known.is_none() {
            let way = [before, place, b"."].concat();
            self.ways.push(way.into());
        }
        let before = std::mem::replace(&mut self.way, known.unwrap_or(self.ways.len() - 1));
        let found = read(self);
        self.way = before;
        found
    }

    /// Takes note of a key of the open object that is not read. `holds` says whether there is anything to read.
    pub fn note(&mut self, key: &[u8], holds: bool) {
        // What holds nothing matters only if it stands in place of something.
        if !holds && self.noted.is_empty() {
            return;
        }
        let number = self.expected(key).unwrap_or_else(|| self.number_of(key));
        if let Some(latest) = self.keys.get_mut(std::mem::replace(&mut self.latest, number)) {
            latest.followed_by(number);
        }
        let Self { record, object, .. } = *self;
        let key = &mut self.keys[number];
        if key.object != object {
            key.held = key.record == record && (key.held || key.holds);
            key.object = object;
            if key.record != record {
                key.record = record;
                self.noted.push(number);
            }
        }
        key.holds = holds;
    }

    /// The number of a key, if it followed the latest one before, or is the same.
    fn expected(&self, key: &[u8]) -> Option<usize> {
        let [first, second] = self.keys.get(self.latest)?.next;
        let is_it = |number: &usize| {
            let known = &self.keys[*number];
            known.way == self.way && *known.bytes == *key
        };
        [first, second, self.latest].into_iter().find(is_it)
    }

    /// The number of a key.
    fn number_of(&mut self, key: &[u8]) -> usize {
        self.scratch.clear();
        self.scratch.extend_from_slice(self.ways.get(self.way).map_or(&[], |way| way));
        self.scratch.extend_from_slice(key);
        if let Some(&number) = self.numbers.get(&*self.scratch) {
            return number;
        }
        let number = self.keys.len();
        let name: Box<str> = String::from_utf8_lossy(&self.scratch).into();
        let is_unread = !self.is_read.is_some_and(|is_read| is_read(&name));
        self.numbers.insert(self.scratch.as_slice().into(), number);
        let (way, bytes, next) = (self.way, key.into(), [number; 2]);
        let (record, object, holds, held) = (0, 0, false, false);
        self.keys.push(Key { way, bytes, name, is_unread, record, object, next, holds, held });
        number
    }

    /// The keys of the record that were not read.
    pub fn unread(&mut self) -> KeySet {
        let Self { noted, keys, last, sets, .. } = self;
        noted.retain(|&number| keys[number].is_unread && (keys[number].holds || keys[number].held));
        if noted.is_empty() {
            return KeySet::default();
        }
        if *noted != last.0 {
            let mut numbers = noted.clone();
            numbers.sort_unstable();
            let names = |numbers: &[usize]| numbers.iter().map(|&number| keys[number].name.clone()).collect();
            let set = sets.entry(numbers).or_insert_with_key(|numbers| KeySet::new(names(numbers)));
            *last = (noted.clone(), set.clone());
        }
        last.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(log: &mut KeyLog<'_>) -> Vec<String> {
        log.unread().keys().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_last_of_equal_keys_counts_within_an_object_and_any_of_several_objects() {
        let mut log = KeyLog::default();
        for (first, second, counts) in [(true, false, false), (false, true, true), (true, true, true)] {
            log.begin();
            log.open();
            log.note(b"a", first);
            log.note(b"a", second);
            assert_eq!(unread(&mut log).is_empty(), !counts);
            log.begin();
            for holds in [first, second] {
                log.inside("list[]", |log| {
                    log.open();
                    log.note(b"a", holds);
                });
            }
            assert_eq!(unread(&mut log), ["list[].a"]);
        }
        log.begin();
        assert!(unread(&mut log).is_empty());
    }

    #[test]
    fn records_with_the_same_keys_share_a_set() {
        let mut log = KeyLog::except(&|key| key == "read");
        let mut sets = Vec::new();
        for keys in [["a", "read", "b"], ["b", "a", "read"], ["c", "c", "c"], ["read"; 3]] {
            log.begin();
            log.open();
            for key in keys {
                log.note(key.as_bytes(), true);
            }
            sets.push(log.unread());
        }
        assert!(sets[0].is_same(&sets[1]) && !sets[1].is_same(&sets[2]));
        assert!(sets[3].is_empty());
    }
}
