//! The frame: link, IP and TCP headers (RFC 9293 section 3.1) read into a [`Packet`].
//!
//! Nearly every frame is untagged Ethernet, IP without options and TCP: for this one there is a short way, with one
//! bounds check for all three headers. Whatever is different in any way, broken or merely unusual, goes the general way.
//! Both give the same packet for the same frame; a property test holds them to it.

use super::link::{self, NO_VLAN};
use super::options::{Always, always};
use super::packet::{Packet, PacketKind};
use super::reason::Undecoded;
use super::seq::SeqNum;
use super::{ip, u16_at};
use crate::packet::LinkType;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The length of a TCP header without options.
const TCP_LEN: usize = 20;

/// Decodes a frame of which `frame` was captured, and which had `wire_len` bytes on the wire. (A `wire_len` below what
/// was captured is taken for that.)
#[inline]
#[must_use]
pub fn decode(frame: &[u8], wire_len: u32, link: LinkType) -> Packet {
    let mut packet = Packet::BLANK;
    decode_into(&mut packet, frame, wire_len, link);
    packet
}

/// As [`decode`], into a packet that is there already: nothing is put together and then copied.
pub fn decode_into(packet: &mut Packet, frame: &[u8], wire_len: u32, link: LinkType) {
    let is_usual = link == LinkType::Ethernet
        && (decode_usual(packet, frame, wire_len).is_some() || decode_usual_v6(packet, frame, wire_len).is_some());
    if !is_usual {
        *packet = decode_any(frame, wire_len, link);
    }
}

/// Decodes an IP datagram without a link header: one that was [reassembled](super::Defragmenter), for example.
#[must_use]
pub fn decode_ip(datagram: &[u8], wire_len: u32) -> Packet {
    decode_any(datagram, wire_len, LinkType::RawIp)
}

/// An IPv4 packet's endpoints: the address, and below it the port, of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) source: u64,
    pub(crate) destination: u64,
}

/// The short way: untagged Ethernet, IPv4 without options, TCP, nothing wrong with it, and all headers captured. `None`:
/// not this way; the packet may hold anything then.
#[inline(always)]
pub(crate) fn decode_usual(packet: &mut Packet, frame: &[u8], wire_len: u32) -> Option<Endpoints> {
    const IP: usize = 14;
    const TRANSPORT: usize = IP + 20;

    let headers: &[u8; TRANSPORT + TCP_LEN] = frame.first_chunk()?;
    let is_usual = headers[12..14] == [0x08, 0x00]
        && headers[IP] == 0x45
        // Neither "more fragments" nor an offset; "don't fragment" does not matter.
        && u16::from_ne_bytes([headers[IP + 6], headers[IP + 7]]) & 0x3fff_u16.to_be() == 0
        && headers[IP + 9] == TCP;
    if !is_usual {
        return None;
    }
    let word = |at: usize| u32::from_be_bytes([headers[at], headers[at + 1], headers[at + 2], headers[at + 3]]);
    let end = IP + usize::from(u16::from_be_bytes([headers[IP + 2], headers[IP + 3]]));
    let (src_port, dst_port) = usual_tcp(packet, frame, wire_len, TRANSPORT, headers.last_chunk()?, end)?;
    packet.ip_version = 4;
    let (src_v4, dst_v4) = (word(IP + 12), word(IP + 16));
    (packet.src_v4, packet.dst_v4) = (src_v4, dst_v4);
    let endpoint = |address, port| u64::from(address) << 16 | u64::from(port);
    Some(Endpoints { source: endpoint(src_v4, src_port), destination: endpoint(dst_v4, dst_port) })
}

/// The same for IPv6 without extension headers.
#[inline(never)]
fn decode_usual_v6(packet: &mut Packet, frame: &[u8], wire_len: u32) -> Option<()> {
    const IP: usize = 14;
    const TRANSPORT: usize = IP + ip::IPV6_LEN;

    let headers: &[u8; TRANSPORT + TCP_LEN] = frame.first_chunk()?;
    let payload_len = usize::from(u16::from_be_bytes([headers[IP + 4], headers[IP + 5]]));
    // A length of 0 says that it stands elsewhere.
    if headers[12..14] != [0x86, 0xdd] || headers[IP] >> 4 != 6 || headers[IP + 6] != TCP || payload_len == 0 {
        return None;
    }
    usual_tcp(packet, frame, wire_len, TRANSPORT, headers.last_chunk()?, TRANSPORT + payload_len)?;
    packet.ip_version = 6;
    (packet.src_v4, packet.dst_v4) = (0, 0);
    Some(())
}

/// The TCP part of the short way: all but what is in the IP header, which follows 14 bytes of Ethernet; `end` is where it says
/// that the packet ends. Returns the ports.
#[inline(always)]
fn usual_tcp(
    packet: &mut Packet,
    frame: &[u8],
    wire_len: u32,
    transport: usize,
    header: &[u8; TCP_LEN],
    end: usize,
) -> Option<(u16, u16)> {
    let payload = transport + data_offset(header);
    // Slicing checks that the header has its 20 bytes and was captured; the rest is that it lies within the packet, and
    // the packet within the wire.
    let options = frame.get(transport + TCP_LEN..payload)?;
    if payload > end || end > (wire_len as usize).max(frame.len()) {
        return None;
    }
    packet.protocol = TCP;
    packet.network = 14;
    packet.transport = transport as u16;
    packet.payload = payload as u16;
    packet.vlan = NO_VLAN;
    packet.payload_len = (end - payload) as u32;
    packet.payload_captured = (end.min(frame.len()) - payload) as u32;
    Some(fill_tcp(packet, header, options))
}

/// The general way. Not inlined: the short way is small because this is elsewhere.
#[inline(never)]
pub(super) fn decode_any(frame: &[u8], wire_len: u32, link: LinkType) -> Packet {
    decode_layers(frame, (wire_len as usize).max(frame.len()), link).unwrap_or_else(Packet::undecoded)
}

fn decode_layers(frame: &[u8], wire_len: usize, link: LinkType) -> Result<Packet, Undecoded> {
    let packet = ip::decode(frame, wire_len, link::network(frame, link)?)?;
    match (packet.kind, packet.protocol) {
        // Without a TCP header that can be read it is an IP packet still.
        (PacketKind::OtherIp, TCP) => {
            Ok(tcp(packet, frame).unwrap_or_else(|reason| Packet { kind: PacketKind::Undecoded(reason), ..packet }))
        }
        (PacketKind::OtherIp, UDP) => Ok(udp(packet, frame)),
        _ => Ok(packet),
    }
}

/// Reads the TCP header at the start of an IP payload. Options that the capture cut off are missing; without the first 20
/// bytes there is no header.
fn tcp(packet: Packet, frame: &[u8]) -> Result<Packet, Undecoded> {
    let segment = packet.payload(frame);
    let segment_len = packet.payload_len as usize;
    if segment_len < TCP_LEN {
        return Err(Undecoded::TcpHeaderTooShort);
    }
    let header: &[u8; TCP_LEN] = segment.first_chunk().ok_or(Undecoded::TcpHeaderCut)?;
    let header_len = data_offset(header);
    if header_len < TCP_LEN || header_len > segment_len {
        return Err(Undecoded::TcpBadDataOffset);
    }
    let captured_header_len = header_len.min(segment.len());
    let mut packet = Packet {
        payload: packet.transport + captured_header_len as u16,
        payload_len: (segment_len - header_len) as u32,
        payload_captured: (segment.len() - captured_header_len) as u32,
        ..packet
    };
    fill_tcp(&mut packet, header, segment.get(TCP_LEN..header_len).unwrap_or_default());
    Ok(packet)
}

/// The length of a TCP header, by its own words.
#[inline]
fn data_offset(header: &[u8; TCP_LEN]) -> usize {
    usize::from(header[12] >> 4) * 4
}

/// Fills in what a TCP header says. Returns the ports.
#[inline(always)]
fn fill_tcp(packet: &mut Packet, header: &[u8; TCP_LEN], options: &[u8]) -> (u16, u16) {
    let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    packet.kind = PacketKind::Tcp;
    packet.tcp_flags = header[13];
    if options.is_empty() {
        (packet.has_timestamps, packet.signed, packet.ts_val, packet.ts_ecr) = (false, false, 0, 0);
    } else {
        let Always { timestamps, signed } = always(options);
        (packet.has_timestamps, packet.signed) = (timestamps.is_some(), signed);
        (packet.ts_val, packet.ts_ecr) = timestamps.unwrap_or_default();
    }
    let ports = (half(0), half(2));
    (packet.src_port, packet.dst_port) = ports;
    packet.window = half(14);
    packet.seq = SeqNum(word(4));
    packet.ack = SeqNum(word(8));
    ports
}

/// Fills in the ports of a UDP header, if they are there.
fn udp(packet: Packet, frame: &[u8]) -> Packet {
    let datagram = packet.payload(frame);
    match (u16_at(datagram, 0), u16_at(datagram, 2)) {
        (Some(src_port), Some(dst_port)) => Packet { src_port, dst_port, ..packet },
        _ => packet,
    }
}
