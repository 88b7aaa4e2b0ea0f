//! Hints about memory to the processor and the kernel. They never change contents.

/// Tables of at least this size are put on huge pages: one replaces 512 small pages.
const LARGE_PAGE: usize = 1 << 21;

/// A table filled with one value.
///
/// Access is random, so that with small pages nearly every access would miss the TLB.
pub(super) fn filled<T: Copy>(size: usize, value: T) -> Vec<T> {
    let mut table = Vec::with_capacity(size);
    advise(&table);
    table.resize(size, value);
    table
}

#[cfg(target_os = "linux")]
fn advise<T>(table: &Vec<T>) {
    let size = table.capacity() * size_of::<T>();
    if size < LARGE_PAGE {
        return;
    }
    let start = table.as_ptr().addr().next_multiple_of(LARGE_PAGE);
    let end = (table.as_ptr().addr() + size) / LARGE_PAGE * LARGE_PAGE;
    if start < end {
        #[allow(unsafe_code, reason = "the standard library has no madvise")]
        // SAFETY: the range lies within memory that the table owns, and the advice only changes the page
        // size.
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_HUGEPAGE);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: &Vec<T>) {}

/// Prefetches the cache line of a value.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one instruction")]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "there is no safe prefetch")]
    // SAFETY: a prefetch reads nothing, and the address comes from a reference.
    unsafe {
        std::arch::x86_64::_mm_prefetch(std::ptr::from_ref(value).cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
