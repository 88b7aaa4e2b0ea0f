//! The cache of each thread, and its reuse by other threads.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::yield_now;

use super::model::Memory;

/// Attempts to lock the pool before giving up.
const LOCK_TRIES: usize = 200;

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// The memory of threads that have stopped encoding.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Memory>>);

impl Pool {
    /// Locks the pool, which others hold only briefly. Never blocks for long: after a fork, the child may
    /// inherit a lock that no thread will ever release.
    fn lock(&self) -> Option<MutexGuard<'_, Vec<Memory>>> {
        (0..LOCK_TRIES).find_map(|_| self.0.try_lock().map_err(|_| yield_now()).ok())
    }
}

/// The memory of this thread, for one tokenizer.
pub(super) struct Scratch {
    pool: Weak<Pool>,
    memory: Memory,
}

impl Scratch {
    /// Calls `work` with the memory of this thread, or else one from the pool.
    pub(super) fn with<T>(pool: &Arc<Pool>, work: impl FnOnce(&mut Memory) -> T) -> T {
        SCRATCH.with_borrow_mut(|slot| {
            let scratch = match slot {
                Some(scratch) if std::ptr::eq(scratch.pool.as_ptr(), Arc::as_ptr(pool)) => scratch,
                _ => {
                    let memory = pool.lock().and_then(|mut all| all.pop()).unwrap_or_default();
                    slot.insert(Self { pool: Arc::downgrade(pool), memory })
                }
            };
            work(&mut scratch.memory)
        })
    }

    /// Returns the memory of this thread to the pool.
    pub(super) fn leave() {
        SCRATCH.with_borrow_mut(Option::take);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade()
            && let Some(mut all) = pool.lock()
        {
            all.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_remembers_is_handed_on_when_it_leaves_or_ends() {
        let pool = Arc::<Pool>::default();
        let num_free = || pool.lock().map_or(0, |all| all.len());
        let work = || Scratch::with(&pool, |_| ());
        work();
        assert_eq!(num_free(), 0);
        Scratch::leave();
        assert_eq!(num_free(), 1);
        std::thread::scope(|scope| {
            scope.spawn(work).join().unwrap();
            assert_eq!(num_free(), 1);
            // Two concurrent threads need two.
            work();
            scope.spawn(work).join().unwrap();
        });
        Scratch::leave();
        assert_eq!(num_free(), 2);
    }

    #[test]
    fn a_list_that_is_held_for_ever_is_no_reason_to_wait() {
        let pool = Arc::<Pool>::default();
        let held = pool.lock();
        Scratch::with(&pool, |_| ());
        Scratch::leave();
        drop(held);
        assert_eq!(pool.lock().map(|all| all.len()), Some(0));
    }
}
