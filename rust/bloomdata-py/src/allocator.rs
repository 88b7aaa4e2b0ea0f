//! When memory that is not in use goes back to the system.

use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay` of `mimalloc.h`, which the binding does not name.
const PURGE_DELAY: c_int = 15;
/// Milliseconds. With the allocator's own 1,000 a process that encodes batch after batch holds half as much again, and
/// gets fresh pages where it could have had its own: 60 instead of 100 MB/s.
const DELAY: c_long = 10;

/// Says when unused memory goes back, unless `MIMALLOC_PURGE_DELAY` says it.
pub(crate) fn set_up() {
    #[allow(unsafe_code, reason = "the allocator is not written in Rust")]
    // SAFETY: the option exists in all versions of the allocator, and changes nothing that is in use.
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, DELAY);
    }
}

/// Gives unused memory back now. Reading a tokenizer takes twice what the tokenizer does, and the allocator would keep it
/// for as long as nothing else is allocated.
pub(crate) fn give_back() {
    #[allow(unsafe_code, reason = "the allocator is not written in Rust")]
    // SAFETY: only memory that is not in use is given back, and every allocation of this library is the allocator's.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
