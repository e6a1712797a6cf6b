//! Which processor a thread runs on (sched_setaffinity(2)).

use std::io;

/// Keeps the calling thread on the processor with that number.
///
/// # Errors
///
/// What the system says: there is no such processor, or the process may not use it.
#[allow(unsafe_code)]
pub fn pin(cpu: u32) -> io::Result<()> {
    const BITS: usize = libc::c_ulong::BITS as usize;
    let mut mask = vec![0 as libc::c_ulong; cpu as usize / BITS + 1];
    mask[cpu as usize / BITS] = 1 << (cpu as usize % BITS);
    // SAFETY: the mask has as many bytes as are said, lives across the call, and is only read. A mask of any length is valid: what is
    // beyond it counts as 0.
    let answer = unsafe { libc::sched_setaffinity(0, size_of_val(&mask[..]), mask.as_ptr().cast()) };
    super::checked(answer).map(drop)
}
