//! Memory that is not in use goes back to the system.

/// Gives unused memory back now. Reading a tokenizer takes twice what the tokenizer does, and the allocator would keep it
/// for as long as nothing else is allocated.
pub(crate) fn give_back() {
    #[allow(unsafe_code, reason = "the allocator is not written in Rust")]
    // SAFETY: only memory that is not in use is given back, and every allocation of this library is the allocator's.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
