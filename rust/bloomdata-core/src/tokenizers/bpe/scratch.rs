//! What a thread remembers between texts, and hands on to the next.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::yield_now;

use super::model::Memory;

/// How often a thread looks whether a list is free.
const LOCK_TRIES: usize = 200;

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// What threads remembered that encode no more.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Memory>>);

impl Pool {
    /// The list, which others hold for moments only. Never waits long: a thread that a fork left behind may hold it.
    fn lock(&self) -> Option<MutexGuard<'_, Vec<Memory>>> {
        (0..LOCK_TRIES).find_map(|_| self.0.try_lock().map_err(|_| yield_now()).ok())
    }
}

/// What a thread remembers, of one tokenizer.
pub(super) struct Scratch {
    pool: Weak<Pool>,
    memory: Memory,
}

impl Scratch {
    /// Works with what this thread remembers, or else what another one did.
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

    /// Hands on what this thread remembers.
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
            // Two at a time need two.
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
