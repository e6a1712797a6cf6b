//! Between C and Rust: no panic crosses, and errors become errno. What C points to may lie anywhere: it is read and written as if it
//! were not aligned.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::errno::{Errno, Result};

/// What a function of C gives when it has failed.
pub(crate) trait Failure {
    /// -1, NULL or the like.
    const FAILED: Self;
}

impl Failure for i32 {
    const FAILED: Self = -1;
}

impl Failure for isize {
    const FAILED: Self = -1;
}

/// Event ids, times: nothing is 0.
impl Failure for u64 {
    const FAILED: Self = 0;
}

impl<T> Failure for *mut T {
    const FAILED: Self = std::ptr::null_mut();
}

impl<T> Failure for *const T {
    const FAILED: Self = std::ptr::null();
}

impl Failure for () {
    const FAILED: Self = ();
}

/// Does what a function of C is there for.
pub(crate) fn call<T: Failure>(body: impl FnOnce() -> Result<T>) -> T {
    call_or(T::FAILED, body)
}

/// The same for functions with their own sign of failure.
pub(crate) fn call_or<T>(failed: T, body: impl FnOnce() -> Result<T>) -> T {
    // A call completes or does nothing: there is nothing that a panic could leave half done but what is its thread's own.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(errno)) => {
            errno.set();
            failed
        }
        Err(_) => {
            log::error!("a call has panicked: that is a fault of libmos");
            Errno::EIO.set();
            failed
        }
    }
}

/// The same for what gives 0 or -1.
pub(crate) fn status(body: impl FnOnce() -> Result) -> i32 {
    call(|| body().map(|()| 0))
}
