//! Processes that fork: which process made something, and a lock that a fork cannot lose.

use std::sync::{Mutex, OnceLock, TryLockError};

/// Tries to take the lock before giving up. It is never held for long, but a fork may have copied it while a thread held
/// it that does not exist in the child.
const TRIES: usize = 1000;

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// This one.
    pub fn current() -> Self {
        Self(std::process::id())
    }
}

/// A value behind a lock. A child of a fork gets a new value if it cannot get at its parent's.
#[derive(Debug)]
pub struct ForkLock<T> {
    /// Process that made `value`.
    process: Process,
    value: Mutex<T>,
    of_child: OnceLock<(Process, Mutex<T>)>,
    make: fn(usize) -> T,
    size: usize,
}

impl<T> ForkLock<T> {
    /// Makes a value of a size, here and, if need be, in a child.
    pub fn new(size: usize, make: fn(usize) -> T) -> Self {
        let process = Process::current();
        Self { process, value: Mutex::new(make(size)), of_child: OnceLock::new(), make, size }
    }

    /// Calls `function` with the value; `None` if it cannot be had (in a child of a child, or after a panic).
    pub fn with<R>(&self, function: impl FnOnce(&mut T) -> R) -> Option<R> {
        let function = match attempt(&self.value, 1, function) {
            Ok(result) => return Some(result),
            Err(function) => function,
        };
        let process = Process::current();
        if process == self.process {
            return attempt(&self.value, TRIES, function).ok();
        }
        let (owner, value) = self.of_child.get_or_init(|| (process, Mutex::new((self.make)(self.size))));
        if *owner == process { attempt(value, TRIES, function).ok() } else { None }
    }
}

/// The function comes back if the lock cannot be had.
fn attempt<T, R, F: FnOnce(&mut T) -> R>(value: &Mutex<T>, tries: usize, function: F) -> Result<R, F> {
    for _ in 0..tries {
        match value.try_lock() {
            Ok(mut value) => return Ok(function(&mut value)),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            Err(TryLockError::Poisoned(_)) => break,
        }
    }
    Err(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_held_is_given_up_and_not_waited_for() {
        let lock = ForkLock::new(3, |size| vec![0; size]);
        let _held = lock.value.lock().unwrap();
        assert_eq!(lock.with(|value| value.len()), None);
    }

    #[test]
    fn threads_share_one_value() {
        let lock = ForkLock::new(0, |size| size);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| assert!(lock.with(|value| *value += 1).is_some())));
            }
        });
        assert_eq!(lock.with(|value| *value), Some(400));
    }
}
