//! Questions to the system about many files, several at a time: on a network drive, an answer takes a millisecond.

use std::sync::{Mutex, PoisonError};
use std::thread::scope;

use crate::error::{Error, Result};

const THREADS: usize = 16;
/// Questions that a thread takes at once; fewer are asked without threads.
const QUESTIONS: usize = 256;

/// What `ask` says of each item, in their order.
///
/// # Errors
/// What it says of the first one that it fails for.
pub(super) fn ask_all<T: Sync, R: Send>(items: &[T], ask: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    if items.len() <= QUESTIONS {
        return items.iter().map(ask).collect();
    }
    let mut answers: Vec<Option<R>> = Vec::new();
    answers.resize_with(items.len(), || None);
    let failed: Mutex<Vec<(usize, Error)>> = Mutex::default();
    let work = items.chunks(QUESTIONS).zip(answers.chunks_mut(QUESTIONS)).enumerate();
    let work = Mutex::new(work);
    // All work before one that fails was taken before it, so that the first error is always found.
    let take = || {
        let has_failed = !failed.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if has_failed { None } else { work.lock().unwrap_or_else(PoisonError::into_inner).next() }
    };
    let answer = || {
        while let Some((number, (items, places))) = take() {
            for (item, place) in items.iter().zip(places) {
                match ask(item) {
                    Ok(answer) => *place = Some(answer),
                    Err(error) => {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push((number, error));
                        return;
                    }
                }
            }
        }
    };
    scope(|threads| {
        for _ in 0..THREADS.min(items.len().div_ceil(QUESTIONS)) {
            threads.spawn(answer);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failed.into_iter().min_by_key(|(number, _)| *number) {
        Some((_, error)) => Err(error),
        None => Ok(answers.into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_the_first_error_are_in_order() {
        for count in [0, 1, QUESTIONS, QUESTIONS + 1, 3 * THREADS * QUESTIONS + 5] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(ask_all(&items, |item| Ok(item + 1)).unwrap(), (1..=count).collect::<Vec<_>>());
            let fails = |item: &usize| {
                if item % 300 == 299 { Err(Error::Internal(item.to_string())) } else { Ok(()) }
            };
            match ask_all(&items, fails) {
                Ok(_) => assert!(count < 300),
                Err(error) => assert!(error.to_string().contains(" 299"), "{error}"),
            }
        }
    }
}
