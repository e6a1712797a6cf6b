//! Sockets with connections of their own (MOS_SOCK_STREAM), epoll and pipes.
//!
//! A stream socket can be opened, asked and closed. It has no connections yet: calls that need one check what they are given, and then
//! say that there is no such thing.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{c_char, c_int, c_void};

use mos_monitor::SocketKind;

use crate::abi::mctx_t;
use crate::boundary::{call, status};
use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::socket::kind;
use crate::{here, process};

/// Bytes of a `struct sockaddr_in`.
const ADDRESS: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;
/// The most pieces of a readv or writev, as Linux has it.
const PIECES: c_int = 1024;

thread_local! {
    /// The stream sockets of this core that do not block.
    static NONBLOCKING: RefCell<HashSet<c_int>> = RefCell::default();
}

/// A socket was closed.
pub(crate) fn forget(sock: c_int) {
    NONBLOCKING.with_borrow_mut(|sockets| sockets.remove(&sock));
}

fn set_nonblocking(sock: c_int, nonblocking: bool) {
    NONBLOCKING.with_borrow_mut(|sockets| match nonblocking {
        true => sockets.insert(sock),
        false => sockets.remove(&sock),
    });
}

/// An option at SOL_SOCKET.
pub(crate) fn socket_option(kind: SocketKind, option: c_int) -> Result {
    if kind != SocketKind::Stream {
        return Err(Errno::ENOTSOCK);
    }
    // A socket without a connection has no error of one.
    Err(if option == libc::SO_ERROR { Errno::EBADF } else { Errno::ENOSYS })
}

/// Does something with a stream socket; `other` is what another kind of socket is told.
fn with_stream<R: Send + 'static>(
    mctx: mctx_t,
    sock: c_int,
    other: Errno,
    act: impl FnOnce(c_int) -> Result<R> + Send + 'static,
) -> Result<R> {
    Context::of(mctx)?.ask(move |place| match here::control(place, |control| kind(control, sock))? {
        SocketKind::Stream => act(sock),
        _ => Err(other),
    })
}

/// A call for a stream socket that was given what it needs.
fn unconnected<R: Send + 'static>(mctx: mctx_t, sock: c_int, fine: Result, errno: Errno) -> Result<R> {
    with_stream(mctx, sock, Errno::ENOTSOCK, |_| Ok(()))?;
    fine?;
    Err(errno)
}

fn check(fine: bool, errno: Errno) -> Result {
    if fine { Ok(()) } else { Err(errno) }
}

/// An address of IPv4.
///
/// # Safety
///
/// `addr` is NULL or has `len` bytes.
unsafe fn check_address(addr: *const libc::sockaddr, len: libc::socklen_t, null: Errno, family: Errno) -> Result {
    check(!addr.is_null(), null)?;
    check(len >= ADDRESS, Errno::EINVAL)?;
    // SAFETY: the caller says so, and it is long enough.
    let found = unsafe { (&raw const (*addr).sa_family).read_unaligned() };
    check(c_int::from(found) == libc::AF_INET, family)
}

/// See mtcp_setsock_nonblock(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_setsock_nonblock(mctx: mctx_t, sock: c_int) -> c_int {
    status(|| {
        with_stream(mctx, sock, Errno::EBADF, |sock| {
            set_nonblocking(sock, true);
            Ok(())
        })
    })
}

/// See mtcp_ioctl(3).
///
/// # Safety
///
/// `argp` is NULL or points to an int.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_ioctl(mctx: mctx_t, sock: c_int, request: c_int, argp: *mut c_void) -> c_int {
    status(|| {
        with_stream(mctx, sock, Errno::EBADF, |_| Ok(()))?;
        check(!argp.is_null(), Errno::EFAULT)?;
        match request as libc::Ioctl {
            // There is nothing to be read without a connection.
            libc::FIONREAD => Err(Errno::EBADF),
            libc::FIONBIO => {
                // SAFETY: the caller says so.
                let nonblocking = unsafe { argp.cast::<c_int>().read_unaligned() } != 0;
                with_stream(mctx, sock, Errno::EBADF, move |sock| {
                    set_nonblocking(sock, nonblocking);
                    Ok(())
                })
            }
            _ => Err(Errno::EINVAL),
        }
    })
}

/// See mtcp_getsockname(3).
///
/// # Safety
///
/// `addr` is NULL or has `*addrlen` bytes; `addrlen` is NULL or points to a length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getsockname(
    mctx: mctx_t,
    sock: c_int,
    addr: *mut libc::sockaddr,
    addrlen: *mut libc::socklen_t,
) -> c_int {
    status(|| {
        with_stream(mctx, sock, Errno::ENOTSOCK, |_| Ok(()))?;
        check(!addr.is_null() && !addrlen.is_null(), Errno::EFAULT)?;
        // SAFETY: the caller says so; no more is written than there is room for.
        unsafe {
            check(addrlen.read_unaligned() > 0, Errno::EINVAL)?;
            // It is bound to nothing.
            let mut name: libc::sockaddr_in = std::mem::zeroed();
            name.sin_family = libc::AF_INET as libc::sa_family_t;
            let len = addrlen.read_unaligned().min(ADDRESS);
            std::ptr::copy_nonoverlapping((&raw const name).cast::<u8>(), addr.cast::<u8>(), len as usize);
            addrlen.write_unaligned(ADDRESS);
        }
        Ok(())
    })
}

/// See mtcp_bind(3).
///
/// # Safety
///
/// `addr` is NULL or has `addrlen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_bind(
    mctx: mctx_t,
    sock: c_int,
    addr: *const libc::sockaddr,
    addrlen: libc::socklen_t,
) -> c_int {
    // SAFETY: the caller says so.
    let fine = unsafe { check_address(addr, addrlen, Errno::EINVAL, Errno::EINVAL) };
    status(|| unconnected(mctx, sock, fine, Errno::EOPNOTSUPP))
}

/// See mtcp_listen(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_listen(mctx: mctx_t, sock: c_int, backlog: c_int) -> c_int {
    let fine = check((1..=process::most_flows()).contains(&backlog), Errno::EINVAL);
    status(|| unconnected(mctx, sock, fine, Errno::EOPNOTSUPP))
}

/// See mtcp_accept(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_accept(
    mctx: mctx_t,
    sock: c_int,
    _addr: *mut libc::sockaddr,
    _addrlen: *mut libc::socklen_t,
) -> c_int {
    status(|| unconnected(mctx, sock, Ok(()), Errno::EOPNOTSUPP))
}

/// See mtcp_connect(3).
///
/// # Safety
///
/// `addr` is NULL or has `addrlen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_connect(
    mctx: mctx_t,
    sock: c_int,
    addr: *const libc::sockaddr,
    addrlen: libc::socklen_t,
) -> c_int {
    // SAFETY: the caller says so.
    let fine = unsafe { check_address(addr, addrlen, Errno::EFAULT, Errno::EAFNOSUPPORT) };
    status(|| unconnected(mctx, sock, fine, Errno::EOPNOTSUPP))
}

/// See mtcp_init_rss(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_init_rss(mctx: mctx_t, _saddr_base: u32, num_addr: c_int, _daddr: u32, _dport: u32) -> c_int {
    status(|| {
        Context::of(mctx)?.ask(|_| Ok(()))?;
        check(num_addr >= 1, Errno::EINVAL)?;
        Err(Errno::ENOSYS)
    })
}

/// See mtcp_abort(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_abort(mctx: mctx_t, sock: c_int) -> c_int {
    status(|| unconnected(mctx, sock, Ok(()), Errno::ENOTCONN))
}

/// See mtcp_recv(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_recv(mctx: mctx_t, sock: c_int, buf: *mut c_char, len: usize, flags: c_int) -> isize {
    let fine = check(flags == 0 || flags == libc::MSG_PEEK, Errno::EINVAL)
        .and_then(|()| check(!buf.is_null() || len == 0, Errno::EFAULT));
    call(|| unconnected(mctx, sock, fine, Errno::ENOSYS))
}

/// See mtcp_recv(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_read(mctx: mctx_t, sock: c_int, buf: *mut c_char, len: usize) -> isize {
    mtcp_recv(mctx, sock, buf, len, 0)
}

/// See mtcp_readv(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_readv(mctx: mctx_t, sock: c_int, iov: *const libc::iovec, num: c_int) -> isize {
    let fine = check((0..=PIECES).contains(&num), Errno::EINVAL)
        .and_then(|()| check(!iov.is_null() || num == 0, Errno::EFAULT));
    call(|| unconnected(mctx, sock, fine, Errno::ENOSYS))
}

/// See mtcp_write(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_write(mctx: mctx_t, sock: c_int, buf: *const c_char, len: usize) -> isize {
    let fine = check(!buf.is_null() || len == 0, Errno::EFAULT);
    call(|| unconnected(mctx, sock, fine, Errno::ENOSYS))
}

/// See mtcp_writev(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_writev(mctx: mctx_t, sock: c_int, iov: *const libc::iovec, num: c_int) -> isize {
    mtcp_readv(mctx, sock, iov, num)
}

/// See mtcp_pipe(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_pipe(mctx: mctx_t, pipeid: *mut c_int) -> c_int {
    status(|| {
        Context::of(mctx)?.ask(|_| Ok(()))?;
        check(!pipeid.is_null(), Errno::EFAULT)?;
        Err(Errno::ENOSYS)
    })
}

/// See mtcp_epoll_create(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_epoll_create(mctx: mctx_t, size: c_int) -> c_int {
    status(|| {
        Context::of(mctx)?.ask(|_| Ok(()))?;
        check(size > 0, Errno::EINVAL)?;
        Err(Errno::ENOSYS)
    })
}

/// A number that would have to be that of an epoll: none is.
fn epoll(mctx: mctx_t, epid: c_int) -> Result {
    Context::of(mctx)?.ask(move |place| here::control(place, |control| kind(control, epid)))?;
    Err(Errno::EINVAL)
}

/// See mtcp_epoll_ctl(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_epoll_ctl(mctx: mctx_t, epid: c_int, _op: c_int, _sock: c_int, _event: *mut c_void) -> c_int {
    status(|| epoll(mctx, epid))
}

/// See mtcp_epoll_wait(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_epoll_wait(
    mctx: mctx_t,
    epid: c_int,
    _events: *mut c_void,
    _maxevents: c_int,
    _timeout: c_int,
) -> c_int {
    status(|| epoll(mctx, epid))
}

/// See EventToString(3).
#[unsafe(no_mangle)]
pub extern "C" fn EventToString(event: u32) -> *const c_char {
    let name = match event {
        0x1 => c"NONE",
        0x2 => c"IN",
        0x4 => c"PRI",
        0x8 => c"OUT",
        0x200 => c"ERR",
        0x400 => c"HUP",
        0x800 => c"RDHUP",
        _ => return std::ptr::null(),
    };
    name.as_ptr()
}

/// See mtcp_get_debug_string(3): there are no debug strings.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_get_debug_string(_mctx: mctx_t, _buf: *mut c_char, _len: c_int) -> c_int {
    status(|| Err(Errno::ENOSYS))
}

/// See mtcp_get_debug_string(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_set_debug_string(_mctx: mctx_t, _text: *const c_char) -> c_int {
    status(|| Err(Errno::ENOSYS))
}
