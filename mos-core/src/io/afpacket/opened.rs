//! One socket that is set up on an interface.

use std::io;

use super::blocks::Blocks;
use super::config::{AfPacketConfig, Mode};
use super::frames::Source;
use super::slots::Slots;
use crate::io::device::DeviceError;
use crate::io::port::PortInfo;
use crate::io::sys::link;
use crate::io::sys::socket::PacketSocket;
use crate::packet::LinkType;

/// Memory for super-frames that wait in the socket to be received, and for frames that wait to be sent: 32 MiB each, some
/// hundreds.
const SOCKET_BUFFER_BYTES: usize = 32 << 20;

/// Put before each frame, so that its IP header is aligned: with the offload header it makes 16.
const RESERVE: i32 = 6;

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) receiver: Receiver,
    pub(super) socket: PacketSocket,
    pub(super) index: i32,
    pub(super) info: PortInfo,
}

/// The receive ring.
#[derive(Debug)]
pub(super) enum Receiver {
    Slots(Slots),
    Blocks(Blocks),
}

impl Opened {
    /// A socket that is bound to the interface, but [mute](PacketSocket::mute).
    pub(super) fn open(name: &str, config: &AfPacketConfig) -> Result<Self, DeviceError> {
        let failed = |what| move |source: io::Error| setup_error(name, what, source);
        let socket = PacketSocket::open().map_err(failed("a packet socket"))?;
        let index = link::index_of(name).map_err(failed("an interface of this name"))?;
        let mtu = link::mtu(&socket, index).map_err(failed("its MTU"))?;
        if !socket.buffers(SOCKET_BUFFER_BYTES).map_err(failed("buffers"))? {
            log::warn!("{name}: small socket buffers only: without CAP_NET_ADMIN super-frames may be lost under load");
        }
        socket.set(libc::PACKET_VNET_HDR, 1).map_err(failed("offload headers"))?;
        socket.set(libc::PACKET_IGNORE_OUTGOING, 1).map_err(failed("incoming frames only"))?;
        socket.set(libc::PACKET_AUXDATA, 1).map_err(failed("VLAN tags"))?;
        if config.qdisc_bypass {
            socket.set(libc::PACKET_QDISC_BYPASS, 1).map_err(failed("sending past the queueing discipline"))?;
        }
        let geometry = match config.mode {
            Mode::Inline => Slots::geometry(mtu, config.ring_bytes),
            Mode::Tap => Blocks::geometry(config.ring_bytes, config.retire_ms),
        };
        if geometry.retire_ms.is_none() {
            socket.set(libc::PACKET_COPY_THRESH, 1).map_err(failed("oversize frames"))?;
        }
        socket.set_ring(geometry, RESERVE).map_err(failed("a receive ring"))?;
        socket.mute().map_err(failed("silence"))?;
        socket.bind(index).map_err(failed("binding"))?;
        if config.promiscuous {
            socket.promiscuous(index).map_err(failed("promiscuous mode"))?;
        }
        let bound = socket.bound().map_err(failed("its address"))?;
        let link = link_type(bound.hardware)
            .ok_or_else(|| DeviceError::UnknownHardware { name: name.to_owned(), hardware: bound.hardware })?;
        let source = Source { port: config.port, link };
        let receiver = match config.mode {
            Mode::Inline => Slots::map(&socket, geometry, source).map(Receiver::Slots),
            Mode::Tap => Blocks::map(&socket, geometry, source).map(Receiver::Blocks),
        };
        let receiver = receiver.map_err(failed("the memory of its receive ring"))?;
        let addresses = link::addresses(name).map_err(failed("its IP addresses"))?;
        let info = PortInfo { name: name.to_owned(), index: index as u32, mac: bound.mac, mtu, link, addresses };
        Ok(Self { receiver, socket, index, info })
    }
}

fn setup_error(name: &str, what: &'static str, source: io::Error) -> DeviceError {
    let name = name.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => DeviceError::NotPermitted { name, source },
        _ => DeviceError::Setup { name, what, source },
    }
}

/// How the frames of that kind of hardware begin.
fn link_type(hardware: u16) -> Option<LinkType> {
    match hardware {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Some(LinkType::Ethernet),
        libc::ARPHRD_NONE | libc::ARPHRD_PPP => Some(LinkType::RawIp),
        _ => None,
    }
}
