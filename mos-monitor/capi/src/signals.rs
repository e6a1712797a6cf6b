//! SIGINT: it stops all contexts, or calls the program's handler.
//!
//! All that happens here happens in a signal handler: nothing is allocated, and no lock is taken.

use std::ffi::c_int;
use std::mem::{MaybeUninit, transmute};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use crate::errno::{Errno, Result};
use crate::{context, here};

/// `mtcp_sighandler_t`.
pub type mtcp_sighandler_t = Option<unsafe extern "C" fn(c_int)>;

/// What the program wants to be called; 0 if nothing.
static HANDLER: AtomicUsize = AtomicUsize::new(0);
/// The second in which SIGINT came last.
static LAST: AtomicI64 = AtomicI64::new(i64::MIN);

/// SIGINT.
extern "C" fn interrupted(signal: c_int) {
    let errno = Errno::get();
    let handler = HANDLER.load(Ordering::Acquire);
    let now = second();
    let is_again = now.saturating_sub(LAST.swap(now, Ordering::AcqRel)) <= 1;
    if handler == 0 || is_again {
        context::stop_all();
    }
    // SAFETY: it is 0, which is none, or what the program has registered.
    let handler: mtcp_sighandler_t = unsafe { transmute(handler) };
    if let Some(handler) = handler {
        // SAFETY: a handler takes the signal's number.
        here::interrupt(|| unsafe { handler(signal) });
    }
    errno.set();
}

/// The monotonic clock, in seconds.
fn second() -> i64 {
    let mut time = MaybeUninit::zeroed();
    // SAFETY: the time is ours; zeros are a time.
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init_ref().tv_sec
    }
}

/// From now on SIGINT is caught, and SIGUSR1 does nothing.
pub(crate) fn catch() -> Result {
    let handler: extern "C" fn(c_int) = interrupted;
    install(libc::SIGINT, handler as libc::sighandler_t)?;
    install(libc::SIGUSR1, libc::SIG_IGN)
}

fn install(signal: c_int, handler: libc::sighandler_t) -> Result {
    // SAFETY: an action of zeros has no flags and an empty mask; the handler is one, or SIG_IGN.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(Errno::get()) }
}

/// See mtcp_register_signal(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_register_signal(signum: c_int, handler: mtcp_sighandler_t) -> mtcp_sighandler_t {
    let number = handler.map_or(0, |handler| handler as usize);
    let before = match signum {
        libc::SIGINT => HANDLER.swap(number, Ordering::AcqRel),
        // SAFETY: the handler is one, or NULL, which is SIG_DFL.
        _ => unsafe { libc::signal(signum, number) },
    };
    // SAFETY: it is 0, or what was registered before, or SIG_ERR, which C takes as it is.
    unsafe { transmute(before) }
}
