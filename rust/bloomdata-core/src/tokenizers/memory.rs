//! What processor and system are told about memory. Nothing of it changes what is in it.

/// Tables from this size on are asked to be of large pages: one for 512 small ones.
const LARGE_PAGE: usize = 1 << 21;

/// A table with the same value everywhere.
///
/// It is read all over: each small page would be another entry of the processor's table of pages.
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
        #[allow(unsafe_code, reason = "the standard library cannot say it")]
        // SAFETY: the range lies in memory that the table owns, and the advice changes nothing but the size of pages.
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_HUGEPAGE);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: &Vec<T>) {}

/// Asks for memory that is needed soon.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one instruction")]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "there is no safe way to say it")]
    // SAFETY: a prefetch reads nothing, and the address is that of a reference.
    unsafe {
        std::arch::x86_64::_mm_prefetch(std::ptr::from_ref(value).cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
