//! The packet at hand: looked at, changed, dropped; and packets of the program's own.

use std::cell::RefCell;
use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr::null_mut;

use mos_core::wire::edit::EditError;
use mos_monitor::{AlterError, Checksums, Layer, SeqNum, Side, SocketKind, TcpSegment};

use crate::abi::{mctx_t, number, pkt_info};
use crate::boundary::{call, status};
use crate::context::Context;
use crate::errno::{Errno, Result};
use crate::here::{self, Edit, Place};
use crate::socket::kind;

/// IPv4's total length: where in the header, and how long.
const TOTAL_LENGTH: std::ops::Range<usize> = 2..4;

thread_local! {
    /// The copy that the program looks at.
    static COPY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A number in 16 bits; what is more is as much as fits.
fn short(number: impl TryInto<u16>) -> u16 {
    number.try_into().unwrap_or(u16::MAX)
}

/// The packet at hand, copied.
fn copy(place: &dyn Place) -> Result<pkt_info> {
    let packet = place.packet().ok_or(Errno::ENODATA)?;
    COPY.with_borrow_mut(|copy| {
        // Two bytes ahead of an Ethernet header, the IP header is aligned.
        let parts = [packet.ethernet, packet.ip, packet.tcp, packet.payload];
        let padding = packet.ethernet.len().wrapping_neg() % 4;
        copy.clear();
        copy.resize(padding, 0);
        let starts = parts.map(|part| {
            let start = copy.len();
            copy.extend_from_slice(part);
            start
        });
        // As long as the frame was, whatever of it is there: mtcp_clonepkt() goes by that.
        copy.resize(copy.len().max(padding + usize::from(short(packet.info.eth_len))), 0);
        // Its memory stays where it is until the next call: that is when it is filled again.
        let memory = copy.as_mut_ptr();
        let pointer = |number: usize| match parts[number].is_empty() {
            true => null_mut(),
            // SAFETY: the part starts within the copy.
            false => unsafe { memory.add(starts[number]) },
        };
        let info = &packet.info;
        Ok(pkt_info {
            cur_ts: info.timestamp.as_millis() as u32,
            in_ifidx: i8::try_from(info.port).unwrap_or(i8::MAX),
            eth_len: short(info.eth_len),
            ip_len: short(info.ip_len),
            offset: info.offset.unwrap_or(0),
            payloadlen: short(packet.payload.len()),
            seq: info.seq,
            ack_seq: info.ack,
            window: info.window,
            ethh: pointer(0),
            iph: pointer(1),
            tcph: pointer(2),
            payload: pointer(3),
        })
    })
}

/// A socket that packets are told of.
fn check_socket(place: &mut dyn Place, sock: c_int) -> Result {
    match here::control(place, |control| kind(control, sock))? {
        SocketKind::MonitorStream | SocketKind::MonitorStreamActive | SocketKind::MonitorRaw => Ok(()),
        _ => Err(Errno::ENOTSOCK),
    }
}

/// What cannot be changed, in C's words.
fn errno(error: AlterError) -> Errno {
    match error {
        AlterError::NoPacket => Errno::ENODATA,
        AlterError::Edit(EditError::TooLong { .. }) => Errno::EMSGSIZE,
        AlterError::Edit(EditError::NotTcp | EditError::Truncated { .. } | EditError::Jumbogram) => Errno::EOPNOTSUPP,
        AlterError::Edit(_) => Errno::EINVAL,
        _ => Errno::EOPNOTSUPP,
    }
}

/// What an edit is to do.
struct Wish<'a> {
    operation: c_int,
    layer: Layer,
    offset: usize,
    data: &'a [u8],
    /// How many bytes it is about, where there are no data.
    len: usize,
    checksums: Checksums,
}

/// Of positions that are named together, the first counts.
fn layer(option: c_int) -> Result<Layer> {
    let layers = [
        (number::MOS_ETH_HDR, Layer::Ethernet),
        (number::MOS_IP_HDR, Layer::Ip),
        (number::MOS_TCP_HDR, Layer::Tcp),
        (number::MOS_TCP_PAYLOAD, Layer::Payload),
    ];
    layers.into_iter().find(|(flag, _)| option & flag != 0).map(|(_, layer)| layer).ok_or(Errno::EINVAL)
}

fn checksums(option: c_int) -> Checksums {
    match (option & number::MOS_UPDATE_IP_CHKSUM != 0, option & number::MOS_UPDATE_TCP_CHKSUM != 0) {
        (false, false) => Checksums::Keep,
        (true, false) => Checksums::OnlyIpv4,
        (false, true) => Checksums::OnlyTcp,
        (true, true) => Checksums::Full,
    }
}

fn change(place: &mut dyn Place, wish: &Wish<'_>) -> Result {
    let edit = match wish.operation {
        number::MOS_OVERWRITE => return overwrite(place, wish),
        _ if wish.layer == Layer::Ethernet => return Err(Errno::EACCES),
        number::MOS_CHOMP => Edit::Chomp(wish.len),
        _ => Edit::Insert(wish.data),
    };
    let is_ip = place.packet().is_some_and(|packet| !packet.ip.is_empty());
    if !is_ip {
        return Err(Errno::EACCES);
    }
    place.edit(wish.layer, wish.offset, edit, wish.checksums).map_err(errno)?;
    // With that the lengths are what they should be.
    here::set_length(None);
    Ok(())
}

/// Overwrites. A total length that is not the packet's stands for what the program is about to do to it.
fn overwrite(place: &mut dyn Place, wish: &Wish<'_>) -> Result {
    let packet = place.packet().ok_or(Errno::ENODATA)?;
    let end = wish.offset.checked_add(wish.data.len()).ok_or(Errno::EINVAL)?;
    let is_ipv4 = wish.layer == Layer::Ip && packet.ip.first().is_some_and(|first| first >> 4 == 4);
    let has_length = is_ipv4 && wish.offset <= TOTAL_LENGTH.start && end >= TOTAL_LENGTH.end;
    let mut data = wish.data.to_vec();
    let mut length = None;
    if has_length && let Some(&[high, low]) = packet.ip.get(TOTAL_LENGTH) {
        let place = TOTAL_LENGTH.start - wish.offset;
        let wanted = u16::from_be_bytes([data[place], data[place + 1]]);
        if wanted != u16::from_be_bytes([high, low]) {
            length = Some(wanted);
            (data[place], data[place + 1]) = (high, low);
        }
    }
    place.edit(wish.layer, wish.offset, Edit::Overwrite(&data), wish.checksums).map_err(errno)?;
    if has_length {
        here::set_length(length);
    }
    Ok(())
}

/// A callback has returned: a packet to which it gave a smaller length, and nothing more, is cut to that.
#[inline]
pub(crate) fn finish(place: &mut dyn Place, length: Option<u16>) {
    if let Some(length) = length {
        cut(place, length.into());
    }
}

#[cold]
fn cut(place: &mut dyn Place, length: usize) {
    let Some(packet) = place.packet() else { return };
    let (headers, payload) = (packet.ip.len() + packet.tcp.len(), packet.payload.len());
    if length >= headers && length < headers + payload {
        let kept = length - headers;
        if let Err(error) = place.edit(Layer::Payload, kept, Edit::Chomp(payload - kept), Checksums::Full) {
            log::debug!("a packet keeps its length: {error}");
        }
    }
}

/// A segment as a `pkt_info` describes it.
///
/// # Safety
///
/// The pointers of `info` are NULL or point to whole headers, and to `payloadlen` bytes.
unsafe fn segment<'a>(info: &pkt_info) -> Result<TcpSegment<'a>> {
    if info.iph.is_null() || info.tcph.is_null() {
        return Err(Errno::ENODATA);
    }
    if info.payload.is_null() && info.payloadlen > 0 {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the caller says so; each length is read from the fixed part of its header first.
    let (ip, tcp, payload) = unsafe {
        let ip = std::slice::from_raw_parts(info.iph, if *info.iph >> 4 == 6 { 40 } else { 20 });
        let tcp_len = usize::from(*info.tcph.add(12) >> 4) * 4;
        if tcp_len < 20 {
            return Err(Errno::EINVAL);
        }
        let payload: &[u8] = match info.payloadlen {
            0 => &[],
            len => std::slice::from_raw_parts(info.payload, len.into()),
        };
        (ip, std::slice::from_raw_parts(info.tcph, tcp_len), payload)
    };
    let address = |at: usize| match ip.len() {
        20 => IpAddr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from)),
        _ => IpAddr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from)),
    };
    let (source, destination) = match ip[0] >> 4 {
        4 => (address(12), address(16)),
        6 => (address(8), address(24)),
        _ => return Err(Errno::EINVAL),
    };
    let half = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let word = |at: usize| u32::from(half(at)) << 16 | u32::from(half(at + 2));
    let mut segment = TcpSegment::new(SocketAddr::new(source, half(0)), SocketAddr::new(destination, half(2)));
    segment.seq = SeqNum(word(4));
    segment.ack = SeqNum(word(8));
    segment.flags = tcp[13];
    segment.window = half(14);
    segment.options = &tcp[20..];
    segment.payload = payload;
    Ok(segment)
}

/// See mtcp_getlastpkt(3).
///
/// # Safety
///
/// `p` is NULL or has room for a `struct pkt_info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getlastpkt(mctx: mctx_t, sock: c_int, _side: c_int, p: *mut pkt_info) -> c_int {
    status(|| {
        Context::of(mctx)?.here(|place| {
            check_socket(place, sock)?;
            if p.is_null() {
                return Err(Errno::EFAULT);
            }
            let info = copy(place)?;
            // SAFETY: the caller says so.
            unsafe { p.write(info) };
            Ok(())
        })
    })
}

/// See mtcp_setlastpkt(3).
///
/// # Safety
///
/// `data` is NULL or has `datalen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_setlastpkt(
    mctx: mctx_t,
    _sock: c_int,
    _side: c_int,
    offset: libc::off_t,
    data: *const u8,
    datalen: u16,
    option: c_int,
) -> c_int {
    status(|| {
        Context::of(mctx)?.here(|place| {
            let operation =
                option & (number::MOS_DROP | number::MOS_OVERWRITE | number::MOS_CHOMP | number::MOS_INSERT);
            if operation.count_ones() != 1 {
                return Err(Errno::EAGAIN);
            }
            if place.packet().is_none() {
                return Err(Errno::ENODATA);
            }
            if operation == number::MOS_DROP {
                return drop_packet(place);
            }
            let offset = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
            let layer = layer(option)?;
            let has_data = operation != number::MOS_CHOMP && datalen > 0;
            if has_data && data.is_null() {
                return Err(Errno::EFAULT);
            }
            let len = usize::from(datalen);
            // SAFETY: the caller says so.
            let data = if has_data { unsafe { std::slice::from_raw_parts(data, len) } } else { &[] };
            change(place, &Wish { operation, layer, offset, data, len, checksums: checksums(option) })
        })
    })
}

/// Does not forward the packet at hand.
fn drop_packet(place: &mut dyn Place) -> Result {
    if place.packet().is_none() {
        return Err(Errno::ENODATA);
    }
    if place.drop_packet() { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// See mtcp_cb_dropcurpkt(3).
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_cb_dropcurpkt(mctx: mctx_t) -> c_int {
    status(|| Context::of(mctx)?.here(drop_packet))
}

/// See mtcp_sendpkt(3).
///
/// # Safety
///
/// `pkt` is NULL or points to a `struct pkt_info` whose pointers are NULL or point to whole headers and `payloadlen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_sendpkt(mctx: mctx_t, sock: c_int, pkt: *const pkt_info) -> c_int {
    status(|| {
        let context = Context::of(mctx)?;
        // SAFETY: the caller says so.
        let info = unsafe { pkt.as_ref() }.ok_or(Errno::EACCES)?;
        context.here(|place| {
            here::flow(place, sock, |_| ())?;
            // SAFETY: the caller says so.
            let segment = unsafe { segment(info)? };
            here::flow(place, sock, |conn| {
                if conn.endpoint(Side::Client).is_ipv4() != segment.dst.is_ipv4() {
                    return Err(Errno::EINVAL);
                }
                let is_client = |observer| conn.endpoint_seen_by(observer, Side::Client) == segment.dst;
                let to = if Side::BOTH.into_iter().any(is_client) { Side::Client } else { Side::Server };
                Ok(conn.send_packet(to, &segment)?)
            })?
        })
    })
}

/// See mtcp_clonepkt(3).
///
/// # Safety
///
/// `frame` has room for the packet of `from`, whose pointers are NULL or point into one packet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_clonepkt(to: *mut pkt_info, frame: *mut u8, from: *const pkt_info) {
    call(|| {
        if to.is_null() || frame.is_null() || from.is_null() {
            return Err(Errno::EFAULT);
        }
        // SAFETY: the caller says so: what the pointers point at stands in one packet of `eth_len` bytes, from the first one on.
        unsafe {
            let mut info = *from;
            let pointers = [&mut info.ethh, &mut info.iph, &mut info.tcph, &mut info.payload];
            let start = pointers.iter().map(|pointer| **pointer).filter(|pointer| !pointer.is_null()).min();
            if let Some(start) = start {
                std::ptr::copy_nonoverlapping(start, frame, info.eth_len.into());
                for pointer in pointers.into_iter().filter(|pointer| !pointer.is_null()) {
                    *pointer = frame.add(pointer.offset_from_unsigned(start));
                }
            }
            to.write(info);
        }
        Ok(())
    });
}
