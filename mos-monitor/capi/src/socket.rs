//! Sockets: how they are opened and closed, their options, and what the program keeps for them.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::SocketAddr;
use std::ptr::null_mut;

use mos_monitor::{Control, Descriptor, Filter, Monitor, OverlapPolicy, RawMonitor, Side, SocketKind};

use crate::abi::{mctx_t, monitor_filter, number, tcp_buf_info, tcp_ring_fragment};
use crate::boundary::{call, status};
use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::here::{self, Place};
use crate::{end_host, process};

/// What the program keeps for sockets: a pointer each.
#[derive(Default)]
pub(crate) struct FlowPointers {
    /// By the index in the descriptor, each with the descriptor it is of.
    pointers: Vec<(c_int, *mut c_void)>,
}

/// The bits of a descriptor that are its index.
const INDEX: c_int = (1 << 20) - 1;

impl FlowPointers {
    fn get(&self, sock: c_int) -> *mut c_void {
        match self.pointers.get((sock & INDEX) as usize) {
            Some(&(of, pointer)) if of == sock => pointer,
            _ => null_mut(),
        }
    }

    fn set(&mut self, sock: c_int, pointer: *mut c_void) {
        let index = (sock & INDEX) as usize;
        if index >= self.pointers.len() {
            if pointer.is_null() {
                return;
            }
            self.pointers.resize(index + 1, (0, null_mut()));
        }
        self.pointers[index] = (sock, pointer);
    }
}

/// The kind of an open socket.
pub(crate) fn kind(control: &Control, sock: c_int) -> Result<SocketKind> {
    control.kind(Descriptor::from_raw(sock)).ok_or(Errno::EBADF)
}

/// The side of that number.
pub(crate) fn one_side(side: c_int) -> Result<Side> {
    match side {
        number::MOS_SIDE_CLI => Ok(Side::Client),
        number::MOS_SIDE_SVR => Ok(Side::Server),
        _ => Err(Errno::EINVAL),
    }
}

fn sides(side: c_int) -> Result<&'static [Side]> {
    match side {
        number::MOS_SIDE_CLI => Ok(&[Side::Client]),
        number::MOS_SIDE_SVR => Ok(&[Side::Server]),
        number::MOS_SIDE_BOTH => Ok(&Side::BOTH),
        _ => Err(Errno::EINVAL),
    }
}

fn open(control: &mut Control, kind: c_int) -> Result<c_int> {
    let (descriptor, kind) = match kind {
        number::MOS_SOCK_MONITOR_STREAM => {
            let mut monitor = Monitor::<(), ()>::new("libmos", ()).without_ipv6();
            if process::has_buffers() {
                // mOS keeps what both sides receive, whether or not anybody hears of it.
                monitor = monitor.with_buffer(Side::Client).with_buffer(Side::Server);
            }
            (control.open(monitor)?, SocketKind::MonitorStream)
        }
        number::MOS_SOCK_MONITOR_RAW => {
            (control.open_raw(RawMonitor::new("libmos", ()).without_ipv6())?, SocketKind::MonitorRaw)
        }
        number::SOCK_STREAM | number::MOS_SOCK_STREAM => return Ok(control.open_stream()?.as_raw()),
        _ => return Err(Errno::EINVAL),
    };
    here::monitors(|monitors| monitors.open(descriptor, kind));
    Ok(descriptor.as_raw())
}

fn close(control: &mut Control, sock: c_int) -> Result {
    let descriptor = Descriptor::from_raw(sock);
    let closed = control.close(descriptor);
    if control.kind(descriptor).is_none() {
        here::monitors(|monitors| monitors.close(descriptor));
        end_host::forget(sock);
    }
    Ok(closed?)
}

/// A filter as C has it.
///
/// # Safety
///
/// `text` is NULL or a string.
unsafe fn filter(text: *const c_char) -> Result<Option<Filter>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller says so.
    let text = unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| Errno::EINVAL)?;
    let filter = Filter::parse(text).map_err(|error| {
        process::complain(format_args!("the filter `{text}`: {error}"));
        Errno::EINVAL
    })?;
    Ok(Some(filter))
}

/// The filters of both kinds of monitors, read.
enum Filters {
    Raw(Option<Filter>),
    Stream(Option<Filter>, Option<Filter>),
}

fn bind(control: &mut Control, sock: c_int, filters: Filters) -> Result {
    let descriptor = Descriptor::from_raw(sock);
    match filters {
        Filters::Raw(Some(filter)) => control.set_packet_filter(descriptor, Some(filter))?,
        Filters::Raw(None) => {}
        Filters::Stream(syn, orphan) => {
            if let Some(filter) = syn {
                control.set_accept(descriptor, move |packet| packet.matches(&filter))?;
            }
            if let Some(filter) = orphan {
                control.set_packet_filter(descriptor, Some(filter))?;
            }
        }
    }
    Ok(())
}

/// Words that a filter of flows may have: what names flows.
fn check_words(text: &CStr) -> Result {
    let text = text.to_str().map_err(|_| Errno::EINVAL)?;
    let words =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || "._-:/".contains(c))).filter(|word| !word.is_empty());
    let mut parameter = false;
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if parameter {
            parameter = false;
            continue;
        }
        match word {
            "tcp" | "src" | "dst" | "and" | "or" | "ip" | "ip6" => {}
            "not" if words.peek() != Some(&"tcp") => {}
            "host" | "net" | "mask" | "port" | "portrange" => parameter = true,
            // A parameter without its word, as in `dst 10.0.0.1` or `port 80 or 443`.
            word if word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(':') => {}
            _ => {
                process::complain(format_args!("the filter `{text}`: `{word}` cannot be used for flows"));
                return Err(Errno::EINVAL);
            }
        }
    }
    if text.contains("!tcp") {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Options that are set.
fn set(control: &mut Control, sock: c_int, option: c_int, value: c_int) -> Result {
    let descriptor = Descriptor::from_raw(sock);
    let kind = kind(control, sock)?;
    if option == number::MOS_IPV6 {
        let sees = match value {
            0 => false,
            1 => true,
            _ => return Err(Errno::EINVAL),
        };
        return match kind {
            SocketKind::MonitorStream | SocketKind::MonitorRaw => Ok(control.set_ipv6(descriptor, sees)?),
            _ => Err(Errno::ENOTSOCK),
        };
    }
    if !matches!(kind, SocketKind::MonitorStream | SocketKind::MonitorStreamActive) {
        return Err(Errno::ENOTSOCK);
    }
    match option {
        number::MOS_CLIBUF | number::MOS_SVRBUF => {
            let side = if option == number::MOS_CLIBUF { Side::Client } else { Side::Server };
            match u64::try_from(value) {
                Ok(0) => control.set_buffer(descriptor, side, false)?,
                Ok(bytes) => {
                    control.set_buffer_bytes(descriptor, side, bytes)?;
                    control.set_buffer(descriptor, side, true)?;
                }
                Err(_) => return Err(Errno::EINVAL),
            }
        }
        number::MOS_FRAG_CLIBUF | number::MOS_FRAG_SVRBUF => {
            let side = if option == number::MOS_FRAG_CLIBUF { Side::Client } else { Side::Server };
            if value != 0 {
                return Err(Errno::ENOSYS);
            }
            control.set_buffer(descriptor, side, false)?;
        }
        number::MOS_CLIOVERLAP | number::MOS_SVROVERLAP => {
            let side = if option == number::MOS_CLIOVERLAP { Side::Client } else { Side::Server };
            let policy = match value {
                0 => OverlapPolicy::First,
                1 => OverlapPolicy::Last,
                _ => return Err(Errno::EINVAL),
            };
            control.set_overlap(descriptor, side, policy)?;
        }
        number::MOS_STOP_MON => {
            let sides = sides(value)?;
            if sides.len() == 2 && kind == SocketKind::MonitorStreamActive {
                // Closing the flow at hand always can be asked for.
                return close(control, sock);
            }
            for side in sides {
                control.stop_side(descriptor, *side)?;
            }
            if kind == SocketKind::MonitorStream {
                // It holds for flows to come; mOS says this all the same.
                return Err(Errno::EPERM);
            }
        }
        _ => return Err(Errno::ENOSYS),
    }
    Ok(())
}

/// An option of a flow, written to where C wants it.
///
/// # Safety
///
/// `value` and `len` are NULL or point to what mtcp_getsockopt(3) says.
unsafe fn get(
    place: &mut dyn Place,
    sock: c_int,
    option: c_int,
    value: *mut c_void,
    len: *mut libc::socklen_t,
) -> Result {
    let is_client = matches!(option, number::MOS_TCP_STATE_CLI | number::MOS_INFO_CLIBUF | number::MOS_FRAGINFO_CLIBUF);
    let side = if is_client { Side::Client } else { Side::Server };
    match option {
        number::MOS_TCP_STATE_CLI | number::MOS_TCP_STATE_SVR => {
            let (state, value) = (here::flow(place, sock, |conn| conn.state(side))?, value.cast::<c_int>());
            if value.is_null() {
                return Err(Errno::EFAULT);
            }
            let state = state.ok_or(Errno::ENOTCONN)?;
            // SAFETY: the caller says so.
            unsafe { value.write(state as c_int) };
        }
        number::MOS_TIMESTAMP => {
            let value = value.cast::<u32>();
            if value.is_null() {
                return Err(Errno::EFAULT);
            }
            let last = here::flow(place, sock, |conn| conn.last_active())?;
            // SAFETY: the caller says so. It wraps, as documented.
            unsafe { value.write((last.as_nanos() / 1000) as u32) };
        }
        number::MOS_INFO_CLIBUF | number::MOS_INFO_SVRBUF => {
            if value.is_null() || len.is_null() {
                return Err(Errno::EFAULT);
            }
            // SAFETY: the caller says so.
            if unsafe { *len } as usize != size_of::<tcp_buf_info>() {
                return Err(Errno::EINVAL);
            }
            let info = here::flow(place, sock, |conn| conn.buf_info(side).filter(|_| conn.is_buffered(side)))?
                .ok_or(Errno::ENODATA)?;
            let info = tcp_buf_info {
                init_seq: info.init_seq.0,
                last_byte_read: info.last_byte_read.0,
                next_byte_expected: info.next_byte_expected.0,
                last_byte_received: info.last_byte_received.0,
            };
            // SAFETY: the caller says so.
            unsafe { value.cast::<tcp_buf_info>().write(info) };
        }
        number::MOS_FRAGINFO_CLIBUF | number::MOS_FRAGINFO_SVRBUF => {
            if value.is_null() || len.is_null() {
                return Err(Errno::EFAULT);
            }
            // SAFETY: the caller says so.
            let room = unsafe { *len } as usize;
            if room == 0 {
                return Err(Errno::EINVAL);
            }
            let spans = here::flow(place, sock, |conn| conn.is_buffered(side).then(|| conn.fragments(side)))?
                .ok_or(Errno::ENODATA)?;
            let fragments = spans.iter().map(|span| tcp_ring_fragment {
                offset: span.start(),
                len: u32::try_from(span.end() - span.start()).unwrap_or(u32::MAX),
            });
            let written = spans.len().min(room);
            let end = (written < room).then_some(tcp_ring_fragment { offset: 0, len: 0 });
            for (number, fragment) in fragments.take(written).chain(end).enumerate() {
                // SAFETY: the caller says that there is room for so many; it is not more.
                unsafe { value.cast::<tcp_ring_fragment>().add(number).write(fragment) };
            }
            // SAFETY: the caller says so.
            unsafe { *len = written as libc::socklen_t };
        }
        _ => {
            here::flow(place, sock, |_| ())?;
            return Err(Errno::ENOSYS);
        }
    }
    Ok(())
}

/// An address as C has it.
fn sockaddr_in(address: SocketAddr) -> Option<libc::sockaddr_in> {
    let SocketAddr::V4(address) = address else { return None };
    Some(libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    })
}

fn sockaddr_in6(address: SocketAddr) -> Option<libc::sockaddr_in6> {
    let SocketAddr::V6(address) = address else { return None };
    Some(libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
        sin6_scope_id: 0,
    })
}

/// Writes the addresses of a flow's sides, one behind the other.
///
/// # Safety
///
/// `out` has room for `len` bytes.
unsafe fn write_addresses<A>(
    addresses: &[SocketAddr],
    make: impl Fn(SocketAddr) -> Option<A>,
    out: *mut libc::sockaddr,
    len: usize,
) -> Result {
    if len != addresses.len() * size_of::<A>() {
        return Err(Errno::EINVAL);
    }
    for (number, address) in addresses.iter().enumerate() {
        let address = make(*address).ok_or(Errno::EAFNOSUPPORT)?;
        // SAFETY: there is room for so many, as was just compared. The program's array may be one of bytes.
        unsafe { out.cast::<A>().add(number).write_unaligned(address) };
    }
    Ok(())
}

/// See mtcp_socket(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_socket(mctx: mctx_t, domain: c_int, r#type: c_int, _protocol: c_int) -> c_int {
    call(|| {
        let context = Context::of(mctx)?;
        if domain != libc::AF_INET {
            return Err(Errno::EAFNOSUPPORT);
        }
        context.ask(move |place| here::control(place, |control| open(control, r#type)))
    })
}

/// See mtcp_close(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_close(mctx: mctx_t, sock: c_int) -> c_int {
    status(|| Context::of(mctx)?.ask(move |place| here::control(place, |control| close(control, sock))))
}

/// See mtcp_bind_monitor_filter(3).
///
/// # Safety
///
/// `ft` is NULL or points to a union whose members that the kind of socket has are NULL or strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_bind_monitor_filter(mctx: mctx_t, sock: c_int, ft: *const monitor_filter) -> c_int {
    status(|| {
        let context = Context::of(mctx)?;
        let kind = context.ask(move |place| here::control(place, |control| kind(control, sock)))?;
        let is_raw = match kind {
            SocketKind::MonitorRaw => true,
            SocketKind::MonitorStream => false,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        // SAFETY: the caller says so.
        let Some(ft) = (unsafe { ft.as_ref() }) else { return Ok(()) };
        // SAFETY: the caller says so, for that kind of socket.
        let filters = unsafe {
            if is_raw {
                Filters::Raw(filter(ft.raw_pkt_filter)?)
            } else {
                let stream = ft.stream;
                for text in [stream.stream_syn_filter, stream.stream_orphan_filter] {
                    if !text.is_null() {
                        check_words(CStr::from_ptr(text))?;
                    }
                }
                Filters::Stream(filter(stream.stream_syn_filter)?, filter(stream.stream_orphan_filter)?)
            }
        };
        context.ask(move |place| here::control(place, |control| bind(control, sock, filters)))
    })
}

/// See mtcp_setsockopt(3).
///
/// # Safety
///
/// `optval` is NULL or points to an int.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_setsockopt(
    mctx: mctx_t,
    sock: c_int,
    level: c_int,
    optname: c_int,
    optval: *const c_void,
    optlen: libc::socklen_t,
) -> c_int {
    status(|| {
        let context = Context::of(mctx)?;
        let kind = context.ask(move |place| here::control(place, |control| kind(control, sock)))?;
        match level {
            number::SOL_SOCKET if kind == SocketKind::Stream => return Err(Errno::ENOSYS),
            number::SOL_SOCKET => return Err(Errno::ENOTSOCK),
            number::SOL_MONSOCKET => {}
            _ => return Err(Errno::ENOSYS),
        }
        if optval.is_null() {
            return Err(Errno::EFAULT);
        }
        if (optlen as usize) < size_of::<c_int>() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller says so; it may lie anywhere.
        let value = unsafe { optval.cast::<c_int>().read_unaligned() };
        context.ask(move |place| here::control(place, |control| set(control, sock, optname, value)))
    })
}

/// See mtcp_getsockopt(3).
///
/// # Safety
///
/// `optval` and `optlen` are NULL or point to what the option needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getsockopt(
    mctx: mctx_t,
    sock: c_int,
    level: c_int,
    optname: c_int,
    optval: *mut c_void,
    optlen: *mut libc::socklen_t,
) -> c_int {
    status(|| {
        let context = Context::of(mctx)?;
        match level {
            number::SOL_SOCKET => {
                let kind = context.ask(move |place| here::control(place, |control| kind(control, sock)))?;
                end_host::socket_option(kind, optname)
            }
            // SAFETY: the caller says so.
            number::SOL_MONSOCKET => context.here(|place| unsafe { get(place, sock, optname, optval, optlen) }),
            _ => Err(Errno::ENOSYS),
        }
    })
}

/// See mtcp_getpeername(3).
///
/// # Safety
///
/// `addr` is NULL or has room for `*addrlen` bytes; `addrlen` is NULL or points to a length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getpeername(
    mctx: mctx_t,
    sock: c_int,
    addr: *mut libc::sockaddr,
    addrlen: *mut libc::socklen_t,
    side: c_int,
) -> c_int {
    status(|| {
        Context::of(mctx)?.here(|place| {
            let addresses = here::flow(place, sock, |conn| Side::BOTH.map(|side| conn.endpoint(side)))?;
            let sides = sides(side)?;
            if addr.is_null() || addrlen.is_null() {
                return Err(Errno::EFAULT);
            }
            let addresses = match sides {
                [side] => &addresses[*side as usize..=*side as usize],
                _ => &addresses[..],
            };
            // SAFETY: the caller says so.
            unsafe {
                let len = *addrlen as usize;
                match addresses[0] {
                    SocketAddr::V4(_) => write_addresses(addresses, sockaddr_in, addr, len),
                    SocketAddr::V6(_) => write_addresses(addresses, sockaddr_in6, addr, len),
                }
            }
        })
    })
}

/// What the program can keep a pointer for.
fn check_pointer(place: &mut dyn Place, sock: c_int) -> Result {
    match here::control(place, |control| kind(control, sock))? {
        SocketKind::MonitorStream | SocketKind::MonitorStreamActive | SocketKind::MonitorRaw => Ok(()),
        _ => Err(Errno::ENOTSOCK),
    }
}

/// See mtcp_set_uctx(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_set_uctx(mctx: mctx_t, sock: c_int, uctx: *mut c_void) {
    call(|| {
        Context::of(mctx)?.here(|place| {
            check_pointer(place, sock)?;
            here::flow_pointers(|pointers| pointers.set(sock, uctx));
            Ok(())
        })
    });
}

/// See mtcp_get_uctx(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_get_uctx(mctx: mctx_t, sock: c_int) -> *mut c_void {
    call(|| {
        Context::of(mctx)?.here(|place| {
            check_pointer(place, sock)?;
            Ok(here::flow_pointers(|pointers| pointers.get(sock)))
        })
    })
}

/// See mtcp_cb_stop(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_cb_stop(mctx: mctx_t, sock: c_int, side: c_int) -> c_int {
    status(|| {
        Context::of(mctx)?.here(|place| {
            here::flow(place, sock, |_| ())?;
            here::control(place, |control| set(control, sock, number::MOS_STOP_MON, side))
        })
    })
}

/// See mtcp_reset_conn(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_reset_conn(mctx: mctx_t, sock: c_int) -> c_int {
    status(|| Context::of(mctx)?.here(|place| here::flow(place, sock, |conn| conn.reset())?.map_err(Errno::from)))
}
