//! Files that are opened when they are needed, of which at most a given number stays open.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Result;
use crate::fork::ForkLock;

/// Open files by number. Second-chance eviction: closes the oldest file not used since the last sweep.
#[derive(Debug)]
pub struct OpenFiles<File> {
    slots: ForkLock<Slots<File>>,
    capacity: usize,
}

#[derive(Debug)]
struct Slots<File> {
    /// By number; and whether it was used since the last sweep.
    files: Vec<Option<(Arc<File>, bool)>>,
    queue: VecDeque<usize>,
}

impl<File> OpenFiles<File> {
    /// None of so many files is open yet; `capacity` of them may be, or one.
    pub fn new(num_files: usize, capacity: usize) -> Self {
        let none =
            |num_files| Slots { files: (0..num_files).map(|_| None).collect(), queue: VecDeque::new() };
        Self { slots: ForkLock::new(num_files, none), capacity: capacity.max(1) }
    }

    /// A file, opened if it is not. Where the open ones cannot be had (see [`ForkLock`]), it is opened for this call.
    ///
    /// # Errors
    /// What `open` reports.
    pub fn get(&self, number: usize, open: impl Fn() -> Result<File>) -> Result<Arc<File>> {
        let known = self.slots.with(|slots| slots.known(number)).flatten();
        if let Some(file) = known {
            return Ok(file);
        }
        let file = Arc::new(open()?);
        self.slots.with(|slots| slots.keep(number, Arc::clone(&file), self.capacity));
        Ok(file)
    }

    /// How many are open.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.slots.with(|slots| slots.queue.len()).unwrap_or_default()
    }
}

impl<File> Slots<File> {
    fn known(&mut self, number: usize) -> Option<Arc<File>> {
        let (file, used) = self.files[number].as_mut()?;
        *used = true;
        Some(Arc::clone(file))
    }

    fn keep(&mut self, number: usize, file: Arc<File>, capacity: usize) {
        if self.files[number].is_some() {
            return;
        }
        if self.queue.len() >= capacity {
            self.close_one();
        }
        self.files[number] = Some((file, false));
        self.queue.push_back(number);
    }

    fn close_one(&mut self) {
        while let Some(number) = self.queue.pop_front() {
            match &mut self.files[number] {
                Some((_, used)) if *used => {
                    *used = false;
                    self.queue.push_back(number);
                }
                slot => {
                    *slot = None;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn files_in_use_outlive_those_that_are_not() {
        let opened = Cell::new(0);
        let files = OpenFiles::new(10, 3);
        let get = |number: usize| {
            let open = || {
                opened.set(opened.get() + 1);
                Ok(number)
            };
            assert_eq!(*files.get(number, open).unwrap(), number);
        };
        for number in [0, 1, 2, 0, 3, 0, 4, 0, 5, 0] {
            get(number);
        }
        assert_eq!((opened.get(), files.count()), (6, 3));
    }
}
