//! What a side of a flow has received.

use std::ffi::{c_char, c_int};

use mos_core::stack::PeekError;
use mos_monitor::{Descriptor, Side};

use crate::abi::mctx_t;
use crate::boundary::call;
use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::here::{self, AnyConn, Place};
use crate::socket::one_side;

/// The program's memory; `None` if there is none.
///
/// # Safety
///
/// `buf` has room for `len` bytes, for as long as the slice is used. What was in it is only ever written over.
unsafe fn memory<'a>(buf: *mut c_char, len: usize) -> Option<&'a mut [u8]> {
    if buf.is_null() {
        return None;
    }
    // SAFETY: the caller says so.
    Some(unsafe { std::slice::from_raw_parts_mut(buf.cast::<u8>(), len.min(isize::MAX as usize)) })
}

/// Reads into the program's memory what `read` finds.
///
/// # Safety
///
/// `buf` has room for `len` bytes.
unsafe fn read(
    place: &mut dyn Place,
    (sock, side): (c_int, c_int),
    (buf, len): (*mut c_char, usize),
    read: impl FnOnce(&mut AnyConn<'_, '_>, Side, &mut [u8]) -> Result<isize>,
) -> Result<isize> {
    here::flow(place, sock, |conn| {
        let side = one_side(side)?;
        // SAFETY: the caller says so.
        let out = unsafe { memory(buf, len) };
        if out.is_none() && len > 0 {
            return Err(Errno::EFAULT);
        }
        if !conn.is_buffered(side) {
            return Err(Errno::EINVAL);
        }
        match out {
            Some(out) if len > 0 => read(conn, side, out),
            _ => Ok(0),
        }
    })?
}

/// What mtcp_peek gives.
fn peeked(read: std::result::Result<usize, PeekError>) -> Result<isize> {
    match read {
        Ok(copied) => Ok(copied as isize),
        Err(PeekError::Missing(bytes)) => {
            Errno::ENODATA.set();
            Ok(-isize::try_from(bytes).unwrap_or(isize::MAX))
        }
    }
}

/// See mtcp_peek(3).
///
/// # Safety
///
/// `buf` has room for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_peek(mctx: mctx_t, sock: c_int, side: c_int, buf: *mut c_char, len: usize) -> isize {
    call(|| {
        Context::of(mctx)?.here(|place| {
            if let Ok(side) = one_side(side)
                // SAFETY: the caller says so.
                && let Some(out) = unsafe { memory(buf, len) }
                && !out.is_empty()
                && let Some(read) = place.peek(Descriptor::from_raw(sock), side, out)
            {
                return peeked(read);
            }
            // SAFETY: as above.
            unsafe { read(place, (sock, side), (buf, len), |conn, side, out| peeked(conn.peek(side, out))) }
        })
    })
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
    call(|| {
        Context::of(mctx)?.here(|place| {
            // SAFETY: the caller says so.
            unsafe { read(place, (sock, side), (buf, count), peek) }
        })
    })
}
