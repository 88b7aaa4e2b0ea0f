//! Lists of ids whose memory is reused: allocating it page by page can take as long as filling it.

use std::sync::Mutex;

/// Capacity of a list that is kept, at most: 16 MiB.
const MAX_IDS: usize = 1 << 22;

/// A few lists of ids that are no longer referenced. Callers never block: after a fork, the child may
/// inherit a lock that no thread will ever release.
#[derive(Debug)]
pub struct Spare {
    lists: Mutex<Vec<Vec<u32>>>,
    max_lists: usize,
}

impl Spare {
    /// Keeps at most `max_lists` lists.
    pub fn new(max_lists: usize) -> Self {
        Self { lists: Mutex::default(), max_lists }
    }

    /// Takes a list to reuse its memory.
    pub fn give(&self, mut list: Vec<u32>) {
        if list.capacity() > MAX_IDS {
            return;
        }
        list.clear();
        if let Ok(mut lists) = self.lists.try_lock()
            && lists.len() < self.max_lists
        {
            lists.push(list);
        }
    }

    /// An empty list, with spare memory if there is any.
    pub fn take(&self) -> Vec<u32> {
        self.lists.try_lock().ok().and_then(|mut lists| lists.pop()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lists_are_kept_empty_and_none_that_is_too_large() {
        let spare = Spare::new(2);
        spare.give(Vec::with_capacity(MAX_IDS + 1));
        assert_eq!(spare.take().capacity(), 0);
        for first in 1..=3 {
            spare.give(vec![first; 10]);
        }
        let capacities = [(); 3].map(|()| {
            let list = spare.take();
            assert!(list.is_empty());
            list.capacity()
        });
        assert_eq!(capacities, [10, 10, 0]);
    }

    #[test]
    fn a_lock_that_is_held_for_ever_is_no_reason_to_wait() {
        let spare = Spare::new(2);
        let held = spare.lists.lock();
        spare.give(vec![1]);
        assert_eq!(spare.take().capacity(), 0);
        drop(held);
        assert_eq!(spare.take().capacity(), 0);
    }
}
