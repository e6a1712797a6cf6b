//! The frame: link, IP and TCP headers (RFC 9293 section 3.1) read into a [`Packet`].
//!
//! Nearly every frame is untagged Ethernet, IP without options and TCP: for this one there is a short way, with one
//! bounds check for all three headers. Whatever is different in any way, broken or merely unusual, goes the general way.
//! Both give the same packet for the same frame; a property test holds them to it.

use super::link::{self, NO_VLAN};
use super::options::{SynOptions, read_relevant};
use super::packet::{Endpoints, Packet, PacketKind};
use super::reason::Undecoded;
use super::seq::SeqNum;
use super::{ip, u16_at, u32_at, u64_at};
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
    if link != LinkType::Ethernet || decode_usual(packet, frame, wire_len).is_none() {
        decode_unusual(packet, frame, wire_len, link);
    }
}

/// What [`decode_usual`] leaves.
pub(crate) fn decode_unusual(packet: &mut Packet, frame: &[u8], wire_len: u32, link: LinkType) {
    if link != LinkType::Ethernet || decode_usual_v6(packet, frame, wire_len).is_none() {
        *packet = decode_any(frame, wire_len, link);
    }
}

/// Decodes an IP datagram without a link header: one that was [reassembled](super::Defragmenter), for example.
#[must_use]
pub fn decode_ip(datagram: &[u8], wire_len: u32) -> Packet {
    decode_any(datagram, wire_len, LinkType::RawIp)
}

/// The short way: untagged Ethernet, IPv4 without options, TCP, nothing wrong with it, and all headers captured. `None`:
/// not this way; the packet may hold anything then.
#[inline(always)]
pub(crate) fn decode_usual(packet: &mut Packet, frame: &[u8], wire_len: u32) -> Option<Endpoints> {
    const IP: usize = 14;
    const TRANSPORT: usize = IP + 20;

    let headers: &[u8; TRANSPORT + TCP_LEN] = frame.first_chunk()?;
    // Total length, id, fragment, time to live, protocol.
    let middle = u64_at(headers, IP + 2)?;
    let is_usual = u16_at(headers, IP - 2)? == 0x0800
        && headers[IP] == 0x45
        // Neither "more fragments" nor an offset; "don't fragment" does not matter.
        && middle as u32 & 0x3fff_00ff == u32::from(TCP);
    if !is_usual {
        return None;
    }
    let end = IP + (middle >> 48) as usize;
    let ports = usual_tcp(packet, frame, wire_len, 4, TRANSPORT, headers.last_chunk()?, end)?;
    let addresses = u64_at(headers, IP + 12)?;
    (packet.src_v4, packet.dst_v4) = ((addresses >> 32) as u32, addresses as u32);
    Some(Endpoints { addresses, ports })
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
    usual_tcp(packet, frame, wire_len, 6, TRANSPORT, headers.last_chunk()?, TRANSPORT + payload_len)?;
    (packet.src_v4, packet.dst_v4) = (0, 0);
    Some(())
}

/// The TCP part of the short way: all but what is in the IP header, which follows 14 bytes of Ethernet; `end` is where it says
/// that the packet ends. Returns the ports, the source's above the destination's.
#[inline(always)]
fn usual_tcp(
    packet: &mut Packet,
    frame: &[u8],
    wire_len: u32,
    ip_version: u8,
    transport: usize,
    header: &[u8; TCP_LEN],
    end: usize,
) -> Option<u32> {
    let header_len = data_offset(header);
    let payload = transport + header_len;
    let payload_len = end.checked_sub(payload)?;
    let payload_captured = match frame.len() {
        captured if end <= captured => payload_len,
        captured if end <= wire_len as usize => captured.checked_sub(payload)?,
        _ => return None,
    };
    // What is the same in nearly all packets comes first, in one go: options are rare enough to be filled in over it.
    packet.kind = PacketKind::Tcp;
    packet.ip_version = ip_version;
    packet.protocol = TCP;
    packet.has_timestamps = false;
    packet.signed = false;
    packet.network = 14;
    packet.transport = transport as u16;
    packet.vlan = NO_VLAN;
    packet.syn_options = SynOptions::NONE;
    packet.more = false;
    (packet.ts_val, packet.ts_ecr) = (0, 0);
    packet.payload = payload as u16;
    packet.payload_len = payload_len as u32;
    packet.payload_captured = payload_captured as u32;
    if header_len != TCP_LEN {
        // Slicing checks that the header has its 20 bytes.
        read_relevant(packet, frame.get(transport + TCP_LEN..payload)?);
    }
    Some(fill_tcp(packet, header))
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
        kind: PacketKind::Tcp,
        payload: packet.transport + captured_header_len as u16,
        payload_len: (segment_len - header_len) as u32,
        payload_captured: (segment.len() - captured_header_len) as u32,
        ..packet
    };
    match segment.get(TCP_LEN..header_len) {
        Some(options) => read_relevant(&mut packet, options),
        // What a SYN offers is better known in part than not at all.
        None => packet.syn_options = syn_options(segment.get(TCP_LEN..).unwrap_or_default()),
    }
    fill_tcp(&mut packet, header);
    Ok(packet)
}

/// The length of a TCP header, by its own words.
#[inline]
fn data_offset(header: &[u8; TCP_LEN]) -> usize {
    usize::from(header[12] >> 4) * 4
}

/// Fills in what a TCP header says, but for its options. Returns the ports, the source's above the destination's.
#[inline(always)]
fn fill_tcp(packet: &mut Packet, header: &[u8; TCP_LEN]) -> u32 {
    // Two fields at a time, which are stored as they were read; all of them are there.
    let ports = u32_at(header, 0).unwrap_or_default();
    let numbers = u64_at(header, 4).unwrap_or_default();
    (packet.src_port, packet.dst_port) = ((ports >> 16) as u16, ports as u16);
    (packet.seq, packet.ack) = (SeqNum((numbers >> 32) as u32), SeqNum(numbers as u32));
    packet.tcp_flags = header[13];
    packet.window = u16_at(header, 14).unwrap_or_default();
    ports
}

/// What counts of the options if the segment is a SYN.
fn syn_options(options: &[u8]) -> SynOptions {
    let mut packet = Packet::BLANK;
    read_relevant(&mut packet, options);
    packet.syn_options
}

/// Fills in the ports of a UDP header, if they are there.
fn udp(packet: Packet, frame: &[u8]) -> Packet {
    let datagram = packet.payload(frame);
    match (u16_at(datagram, 0), u16_at(datagram, 2)) {
        (Some(src_port), Some(dst_port)) => Packet { src_port, dst_port, ..packet },
        _ => packet,
    }
}
