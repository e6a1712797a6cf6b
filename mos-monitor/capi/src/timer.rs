//! Timers and time.

use std::ffi::c_int;
use std::ptr::null_mut;
use std::time::Duration;

use mos_monitor::{CoreTimerCx, Timer};

use crate::abi::{callback_t, mctx_t};
use crate::boundary::{call_or, status};
use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::here;

fn duration(time: &libc::timeval) -> Result<Duration> {
    let [seconds, micros] = [time.tv_sec, time.tv_usec].map(u64::try_from);
    let (seconds, micros) = (seconds.map_err(|_| Errno::EINVAL)?, micros.map_err(|_| Errno::EINVAL)?);
    Ok(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)))
}

/// See mtcp_settimer(3).
///
/// # Safety
///
/// `timeout` is NULL or points to a `struct timeval`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_settimer(
    mctx: mctx_t,
    id: c_int,
    timeout: *const libc::timeval,
    cb: Option<callback_t>,
) -> c_int {
    status(|| {
        let context = Context::of(mctx)?;
        // SAFETY: the caller says so.
        let timeout = unsafe { timeout.as_ref() }.ok_or(Errno::EFAULT)?;
        let (after, callback) = (duration(timeout)?, cb.ok_or(Errno::EFAULT)?);
        context.ask(move |place| {
            let fired = move |cx: &mut CoreTimerCx<'_, ()>| {
                let mctx = context.mctx();
                // SAFETY: the program has registered it for that.
                here::lend(cx, || unsafe { callback(mctx, id, 0, 0, null_mut()) });
            };
            here::control(place, |control| control.call_at(Timer::after(after), fired))?;
            Ok(())
        })
    })
}

/// See mtcp_cb_get_ts(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_cb_get_ts(mctx: mctx_t) -> u32 {
    // It wraps, as documented.
    call_or(0, || Context::of(mctx)?.here(|place| Ok((here::now(place).as_nanos() / 1000) as u32)))
}
