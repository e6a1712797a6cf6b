//! The decoded packet: what later stages need of a frame's headers, flat and small, as numbers and offsets.
//!
//! It borrows nothing, so a burst of them is an array, and a frame may be edited while its packet is at hand. The methods
//! that lead back to bytes take the frame again; handed another frame they return wrong or empty slices, never panic.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use super::link::NO_VLAN;
use super::options::SynOptions;
use super::reason::{Tunnel, Undecoded};
use super::seq::SeqNum;

/// The TCP flags as they stand in [`Packet::tcp_flags`] (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug)]
pub enum TcpFlags {}

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset the connection.
    pub const RST: u8 = 4;
    /// Push.
    pub const PSH: u8 = 8;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 16;
    /// The urgent pointer counts.
    pub const URG: u8 = 32;
    /// ECN echo.
    pub const ECE: u8 = 64;
    /// Congestion window reduced.
    pub const CWR: u8 = 128;
}

/// What kind of packet a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// TCP, with a valid header.
    Tcp,
    /// Valid IP that is not TCP.
    OtherIp,
    /// A part of an IP datagram: the [`Defragmenter`](super::Defragmenter) can make it whole.
    Fragment,
    /// Not IP, or not to be read.
    Undecoded(Undecoded),
}

/// A decoded packet. Offsets count from the first byte of the frame; numbers are in host order.
///
/// What does not apply is 0: TCP fields of packets that are not TCP, and, of undecoded frames, everything but the reason, and
/// what the IP header says if only the TCP header is at fault.
///
/// The order of the fields makes few and wide stores of what is read: what stands side by side in a header stands so here, the
/// lower half of a number first; and so do those that are the same in nearly every packet. The alignment lets a loop find the
/// packets of a burst, their frames and their keys by one index, and keeps each packet in one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Packet {
    /// TCP acknowledgment number.
    pub ack: SeqNum,
    /// TCP sequence number.
    pub seq: SeqNum,
    /// IPv4 destination address.
    pub dst_v4: u32,
    /// IPv4 source address.
    pub src_v4: u32,
    /// Timestamp echo reply (RFC 7323).
    pub ts_ecr: u32,
    /// Timestamp value (RFC 7323).
    pub ts_val: u32,
    /// Payload bytes the packet had on the wire, by its headers. Ethernet padding is not payload.
    pub payload_len: u32,
    /// How many of these are in the frame.
    pub payload_captured: u32,
    /// TCP or UDP destination port.
    pub dst_port: u16,
    /// TCP or UDP source port.
    pub src_port: u16,
    /// What it is.
    pub kind: PacketKind,
    /// 4 or 6; 0 if the frame is no IP packet that can be read.
    pub ip_version: u8,
    /// Whether `ts_val` and `ts_ecr` were in the packet.
    pub has_timestamps: bool,
    /// The segment carries an MD5 signature (RFC 2385) or an authentication option (RFC 5925).
    pub signed: bool,
    /// Offset of the IP header.
    pub network: u16,
    /// Offset of the transport header; of the data, in a fragment.
    pub transport: u16,
    /// Innermost VLAN id, or [`NO_VLAN`].
    pub vlan: u16,
    /// The protocol of the IP payload, after extension headers.
    pub protocol: u8,
    /// Whether it has timestamps or is signed: see [`Self::has_more`]. It stands here so that what is the same in nearly every packet
    /// is stored in whole words.
    pub(super) more: bool,
    /// What the options say that count in a SYN only.
    pub syn_options: SynOptions,
    /// Offset of the TCP payload. In what is not TCP, that of the IP payload: the same as `transport`. Never beyond the
    /// frame's end.
    pub payload: u16,
    /// TCP window, unscaled.
    pub window: u16,
    /// [`TcpFlags`].
    pub tcp_flags: u8,
}

/// The endpoints of an IPv4 packet: in each number that of the source stands above that of the destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoints {
    pub(crate) addresses: u64,
    pub(crate) ports: u32,
}

const _: () = assert!(size_of::<Packet>() == 64);
const _: () = assert!(size_of::<PacketKind>() == 1);

impl Packet {
    /// The packet before anything is filled in.
    pub(super) const BLANK: Self = Self {
        kind: PacketKind::OtherIp,
        ip_version: 0,
        protocol: 0,
        tcp_flags: 0,
        has_timestamps: false,
        signed: false,
        network: 0,
        transport: 0,
        payload: 0,
        vlan: NO_VLAN,
        syn_options: SynOptions::NONE,
        more: false,
        src_port: 0,
        dst_port: 0,
        window: 0,
        seq: SeqNum(0),
        ack: SeqNum(0),
        payload_len: 0,
        payload_captured: 0,
        ts_val: 0,
        ts_ecr: 0,
        src_v4: 0,
        dst_v4: 0,
    };

    /// What is left of a frame that cannot be read.
    pub(super) const fn undecoded(reason: Undecoded) -> Self {
        Self { kind: PacketKind::Undecoded(reason), ..Self::BLANK }
    }

    /// Whether there is more to a TCP segment than numbers, flags and a window: timestamps or a signature. One look tells that neither
    /// needs to be asked for.
    #[inline(always)]
    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    /// The endpoints of an IPv4 packet.
    #[inline]
    pub(crate) fn endpoints_v4(&self) -> Endpoints {
        Endpoints {
            addresses: u64::from(self.src_v4) << 32 | u64::from(self.dst_v4),
            ports: u32::from(self.src_port) << 16 | u32::from(self.dst_port),
        }
    }

    /// The source address. Of an undecoded frame, 0.0.0.0.
    #[must_use]
    pub fn source(&self, frame: &[u8]) -> IpAddr {
        if self.ip_version == 6 { self.src_v6(frame).into() } else { Ipv4Addr::from_bits(self.src_v4).into() }
    }

    /// The destination address. Of an undecoded frame, 0.0.0.0.
    #[must_use]
    pub fn destination(&self, frame: &[u8]) -> IpAddr {
        if self.ip_version == 6 { self.dst_v6(frame).into() } else { Ipv4Addr::from_bits(self.dst_v4).into() }
    }

    /// The IPv6 source address; zeros if the packet is not IPv6.
    #[inline]
    #[must_use]
    pub fn src_v6(&self, frame: &[u8]) -> [u8; 16] {
        self.address_v6(frame, 8)
    }

    /// The IPv6 destination address; zeros if the packet is not IPv6.
    #[inline]
    #[must_use]
    pub fn dst_v6(&self, frame: &[u8]) -> [u8; 16] {
        self.address_v6(frame, 24)
    }

    #[inline]
    fn address_v6(&self, frame: &[u8], field: usize) -> [u8; 16] {
        if self.ip_version != 6 {
            return Ipv6Addr::UNSPECIFIED.octets();
        }
        let address = frame.get(usize::from(self.network) + field..).and_then(<[u8]>::first_chunk);
        address.copied().unwrap_or_default()
    }

    /// The IP header with its options or extension headers.
    #[must_use]
    pub fn network_header<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.network.into()..self.transport.into()).unwrap_or_default()
    }

    /// The TCP header with its options, as far as it is in the frame. Empty if the packet is not TCP.
    #[must_use]
    pub fn transport_header<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.transport.into()..self.payload.into()).unwrap_or_default()
    }

    /// The TCP options, as far as they are in the frame; [`TcpOptions::parse`](super::TcpOptions::parse) reads them.
    #[must_use]
    pub fn tcp_options<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        self.transport_header(frame).get(20..).unwrap_or_default()
    }

    /// Where in the frame the captured part of the payload lies.
    #[inline]
    #[must_use]
    pub fn payload_range(&self) -> Range<usize> {
        let start = usize::from(self.payload);
        start..start + self.payload_captured as usize
    }

    /// The captured part of the payload.
    #[inline]
    #[must_use]
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.payload_range()).unwrap_or_default()
    }

    /// The tunnel the packet belongs to, if it does and is not a fragment: tunnels are counted by name, not opened.
    #[must_use]
    pub fn tunnel(&self) -> Option<Tunnel> {
        match (self.kind, self.protocol, self.dst_port) {
            (PacketKind::OtherIp, 47, _) => Some(Tunnel::Gre),
            (PacketKind::OtherIp, 4, _) => Some(Tunnel::IpInIp),
            (PacketKind::OtherIp, 41, _) => Some(Tunnel::Ipv6InIp),
            (PacketKind::OtherIp, 17, 4789) => Some(Tunnel::Vxlan),
            (PacketKind::OtherIp, 17, 2152) => Some(Tunnel::GtpU),
            _ => None,
        }
    }
}
