//! Frames built from fields: TCP over IPv4 or IPv6, as a raw datagram or in Ethernet, with correct checksums.
//!
//! The way back from [`decode`](super::decode()): tests make their packets with it, and so can who wants to inject some.
//! It does as told: a segment need not make sense to be built.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use super::checksum::{fill_ipv4, fill_tcp};
use super::decode_ip;
use super::seq::SeqNum;

const TCP: u8 = 6;
const TCP_LEN: usize = 20;

/// The data offset counts words of four bytes in four bits.
const MAX_TCP_LEN: usize = 60;

/// A TCP segment to be.
///
/// ```
/// use mos_core::wire::{SeqNum, TcpFlags, TcpSegment};
///
/// let (client, server) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
/// let syn = TcpSegment { seq: SeqNum(1000), flags: TcpFlags::SYN, ..TcpSegment::new(client, server) };
/// assert_eq!(syn.to_ethernet().len(), 54);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment<'a> {
    /// Where it comes from.
    pub src: SocketAddr,
    /// Where it goes. If only one of the two is IPv4, both are written as IPv6.
    pub dst: SocketAddr,
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgment number; written whether or not the ACK flag is set.
    pub ack: SeqNum,
    /// [`TcpFlags`](super::TcpFlags).
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Options as they stand in the header; filled up with zeros to a multiple of 4 bytes, cut at 40.
    pub options: &'a [u8],
    /// Payload. If it does not fit the 16 bits of the IP length, that is 0, as segmentation offload has it.
    pub payload: &'a [u8],
}

impl TcpSegment<'static> {
    /// A segment without flags, options and payload, with the largest window.
    #[must_use]
    pub const fn new(src: SocketAddr, dst: SocketAddr) -> Self {
        let (seq, ack) = (SeqNum(0), SeqNum(0));
        Self { src, dst, seq, ack, flags: 0, window: u16::MAX, options: &[], payload: &[] }
    }
}

impl TcpSegment<'_> {
    /// The segment in an untagged Ethernet frame; a [`FrameBuilder`] makes others.
    #[must_use]
    pub fn to_ethernet(&self) -> Vec<u8> {
        FrameBuilder::new().ethernet(self)
    }

    /// The segment in an IP datagram without a link header.
    #[must_use]
    pub fn to_raw_ip(&self) -> Vec<u8> {
        FrameBuilder::new().raw_ip(self)
    }

    /// The TCP header, its checksum still 0.
    fn header(&self) -> SmallVec<[u8; MAX_TCP_LEN]> {
        let options = self.options.get(..MAX_TCP_LEN - TCP_LEN).unwrap_or(self.options);
        let len = TCP_LEN + options.len().next_multiple_of(4);
        let mut header = SmallVec::new();
        header.extend_from_slice(&self.src.port().to_be_bytes());
        header.extend_from_slice(&self.dst.port().to_be_bytes());
        header.extend_from_slice(&self.seq.0.to_be_bytes());
        header.extend_from_slice(&self.ack.0.to_be_bytes());
        header.extend_from_slice(&[((len / 4) << 4) as u8, self.flags]);
        header.extend_from_slice(&self.window.to_be_bytes());
        header.extend_from_slice(&[0; 4]); // checksum, urgent pointer
        header.extend_from_slice(options);
        header.resize(len, 0);
        header
    }
}

/// What goes around segments: link header, VLAN tags and the rest of the IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameBuilder {
    src_mac: [u8; 6],
    dst_mac: [u8; 6],
    vlans: SmallVec<[u16; 4]>,
    identification: u16,
    hop_limit: u8,
}

impl Default for FrameBuilder {
    fn default() -> Self {
        // Locally administered addresses.
        let (src_mac, dst_mac) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        Self { src_mac, dst_mac, vlans: SmallVec::new(), identification: 0, hop_limit: 64 }
    }
}

impl FrameBuilder {
    /// Untagged, with made-up hardware addresses and 64 hops to go.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the hardware addresses.
    #[must_use]
    pub fn macs(self, src: [u8; 6], dst: [u8; 6]) -> Self {
        Self { src_mac: src, dst_mac: dst, ..self }
    }

    /// Adds a VLAN tag inside those that are there already.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.vlans.push(id);
        self
    }

    /// Sets the IPv4 identification.
    #[must_use]
    pub fn identification(self, identification: u16) -> Self {
        Self { identification, ..self }
    }

    /// Sets the hop limit, which IPv4 calls time to live.
    #[must_use]
    pub fn hop_limit(self, hop_limit: u8) -> Self {
        Self { hop_limit, ..self }
    }

    /// The segment in an Ethernet frame, not padded. Of several VLAN tags all but the innermost are service tags
    /// (IEEE 802.1ad).
    #[must_use]
    pub fn ethernet(&self, segment: &TcpSegment<'_>) -> Vec<u8> {
        let datagram = self.raw_ip(segment);
        let mut frame = Vec::with_capacity(14 + 4 * self.vlans.len() + datagram.len());
        frame.extend_from_slice(&self.dst_mac);
        frame.extend_from_slice(&self.src_mac);
        for (index, id) in self.vlans.iter().enumerate() {
            let tag: u16 = if index + 1 == self.vlans.len() { 0x8100 } else { 0x88a8 };
            frame.extend_from_slice(&tag.to_be_bytes());
            frame.extend_from_slice(&id.to_be_bytes());
        }
        let ether_type: u16 = if addresses(segment).is_v4() { 0x0800 } else { 0x86dd };
        frame.extend_from_slice(&ether_type.to_be_bytes());
        frame.extend_from_slice(&datagram);
        frame
    }

    /// The segment in an IP datagram without a link header.
    #[must_use]
    pub fn raw_ip(&self, segment: &TcpSegment<'_>) -> Vec<u8> {
        let header = segment.header();
        let mut datagram = self.ip_header(segment, header.len() + segment.payload.len());
        datagram.extend_from_slice(&header);
        datagram.extend_from_slice(segment.payload);
        let packet = decode_ip(&datagram, datagram.len() as u32);
        fill_ipv4(&mut datagram, &packet);
        fill_tcp(&mut datagram, &packet);
        datagram
    }

    /// The IP header of a packet with `len` bytes behind it, in a vector with room for these.
    fn ip_header(&self, segment: &TcpSegment<'_>, len: usize) -> Vec<u8> {
        let mut header = Vec::with_capacity(40 + len);
        match addresses(segment) {
            Addresses::V4(src, dst) => {
                header.extend_from_slice(&[0x45, 0]);
                header.extend_from_slice(&u16::try_from(20 + len).unwrap_or(0).to_be_bytes());
                header.extend_from_slice(&self.identification.to_be_bytes());
                header.extend_from_slice(&[0x40, 0, self.hop_limit, TCP, 0, 0]); // don't fragment
                header.extend_from_slice(&src);
                header.extend_from_slice(&dst);
            }
            Addresses::V6(src, dst) => {
                header.extend_from_slice(&[0x60, 0, 0, 0]);
                header.extend_from_slice(&u16::try_from(len).unwrap_or(0).to_be_bytes());
                header.extend_from_slice(&[TCP, self.hop_limit]);
                header.extend_from_slice(&src);
                header.extend_from_slice(&dst);
            }
        }
        header
    }
}

/// Source and destination, of one version.
enum Addresses {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl Addresses {
    const fn is_v4(&self) -> bool {
        matches!(self, Self::V4(..))
    }
}

fn addresses(segment: &TcpSegment<'_>) -> Addresses {
    let v6 = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    match (segment.src.ip(), segment.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Addresses::V4(src.octets(), dst.octets()),
        (src, dst) => Addresses::V6(v6(src), v6(dst)),
    }
}
