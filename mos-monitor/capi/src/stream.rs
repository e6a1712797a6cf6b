//! What a side of a flow has received.

use std::ffi::{c_char, c_int};

use mos_core::stack::PeekError;

use crate::abi::mctx_t;
use crate::boundary::call;
use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::here::{self, AnyConn};
use crate::socket::one_side;

/// Reads into the program's memory what `read` finds.
///
/// # Safety
///
/// `buf` has room for `len` bytes.
unsafe fn read(
    (mctx, sock, side): (mctx_t, c_int, c_int),
    (buf, len): (*mut c_char, usize),
    read: impl FnOnce(&mut AnyConn<'_, '_>, mos_monitor::Side, &mut [u8]) -> Result<isize>,
) -> isize {
    call(|| {
        Context::of(mctx)?.here(|place| {
            let len = len.min(isize::MAX as usize);
            here::flow(place, sock, |conn| {
                let side = one_side(side)?;
                if buf.is_null() && len > 0 {
                    return Err(Errno::EFAULT);
                }
                if !conn.is_buffered(side) {
                    return Err(Errno::EINVAL);
                }
                if len == 0 {
                    return Ok(0);
                }
                // SAFETY: the caller says that there is room for so many. What was in it is only ever written over.
                let out = unsafe { std::slice::from_raw_parts_mut(buf.cast::<u8>(), len) };
                read(conn, side, out)
            })?
        })
    })
}

/// See mtcp_peek(3).
///
/// # Safety
///
/// `buf` has room for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_peek(mctx: mctx_t, sock: c_int, side: c_int, buf: *mut c_char, len: usize) -> isize {
    let peek = |conn: &mut AnyConn<'_, '_>, side, out: &mut [u8]| match conn.peek(side, out) {
        Ok(copied) => Ok(copied as isize),
        Err(PeekError::Missing(bytes)) => {
            Errno::ENODATA.set();
            Ok(-isize::try_from(bytes).unwrap_or(isize::MAX))
        }
    };
    // SAFETY: the caller says so.
    unsafe { read((mctx, sock, side), (buf, len), peek) }
}

/// See mtcp_ppeek(3).
///
/// # Safety
///
/// `buf` has room for `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_ppeek(
    mctx: mctx_t,
    sock: c_int,
    side: c_int,
    buf: *mut c_char,
    count: usize,
    off: u64,
) -> isize {
    let peek = |conn: &mut AnyConn<'_, '_>, side, out: &mut [u8]| match conn.ppeek(side, off, out) {
        0 => Err(Errno::ENODATA),
        copied => Ok(copied as isize),
    };
    // SAFETY: the caller says so.
    unsafe { read((mctx, sock, side), (buf, count), peek) }
}
