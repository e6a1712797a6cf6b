//! A hint to the memory system. The only `unsafe` of the packet path.

/// Asks the processor to bring all cache lines of `data[at]` close. Never faults, not even beyond the end of `data`; but what
/// lies there is of no use, so callers know that `at` is within. To check it would cost as much as to fetch.
#[inline(always)]
pub fn prefetch<T>(data: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let pointer = data.as_ptr().wrapping_add(at);
        for offset in (0..size_of::<T>()).step_by(64) {
            // SAFETY: a prefetch is a hint: it reads and writes no memory that the program can observe and cannot fault,
            // whatever the address.
            #[allow(unsafe_code)]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(pointer.cast::<i8>().wrapping_add(offset));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, at);
}
