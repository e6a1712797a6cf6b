//! ICMP (RFC 792) and ICMPv6 (RFC 4443): errors about packets that go no further, and answers to echo requests.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::datagram::{Datagram, IPV6_LEN};
use crate::wire::checksum::checksum;
use crate::wire::{PacketKind, decode_ip};

/// Protocol numbers.
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;

/// The smallest packet that every IPv4 host takes, and the smallest that every IPv6 link takes: no error is longer.
const MAX_V4: usize = 576;
const MAX_V6: usize = 1280;

/// How many hops our own packets may take (RFC 1700).
const HOPS: u8 = 64;

/// Precedence "internetwork control".
const CONTROL: u8 = 0xc0;

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No route leads to its destination.
    NoRoute,
    /// The next hop does not answer.
    Unreachable,
    /// It may take no more hops.
    HopLimit,
    /// It is longer than the next link takes, which is so many bytes.
    TooBig(u32),
}

impl Trouble {
    /// Type, code, and the four bytes behind the checksum.
    fn header(self, is_v4: bool) -> (u8, u8, [u8; 4]) {
        match (self, is_v4) {
            //= RFC 792 destination unreachable
            (Self::NoRoute, true) => (3, 0, [0; 4]),
            (Self::Unreachable, true) => (3, 1, [0; 4]),
            //= RFC 792 time exceeded
            (Self::HopLimit, true) => (11, 0, [0; 4]),
            //= RFC 1191 section 4
            // The low 16 bits of the word that was unused.
            (Self::TooBig(mtu), true) => (3, 4, u32::from(u16::try_from(mtu).unwrap_or(u16::MAX)).to_be_bytes()),
            //= RFC 4443 section 3.1
            (Self::NoRoute, false) => (1, 0, [0; 4]),
            (Self::Unreachable, false) => (1, 3, [0; 4]),
            //= RFC 4443 section 3.3
            (Self::HopLimit, false) => (3, 0, [0; 4]),
            //= RFC 4443 section 3.2
            //= RFC 8201 section 4
            // No host believes in a link that takes less than every link has to.
            (Self::TooBig(mtu), false) => (2, 0, mtu.max(MAX_V6 as u32).to_be_bytes()),
        }
    }
}

/// Whether the sender of a packet may be told of its trouble. `to_group`: the frame was for a group or for everybody.
pub(super) fn may_tell(trouble: Trouble, datagram: &Datagram, frame: &[u8], to_group: bool) -> bool {
    let bytes = datagram.bytes(frame);
    let packet = decode_ip(bytes, bytes.len() as u32);
    let kind = bytes.get(usize::from(packet.transport)).copied();
    match (datagram.source, datagram.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            //= RFC 1122 section 3.2.2
            //= RFC 1812 section 4.3.2.7
            // Not about errors, nor what was for many, nor any fragment but the first, nor to who is not one host. A
            // message that cannot be read might be an error.
            let is_error = packet.protocol == ICMP && kind.is_none_or(|kind| matches!(kind, 3 | 4 | 5 | 11 | 12));
            let is_later_fragment = bytes.get(6..8).is_some_and(|field| field[0] & 0x1f != 0 || field[1] != 0);
            let is_to_many = to_group || destination.is_multicast() || destination.is_broadcast();
            !is_error && !is_later_fragment && !is_to_many && is_host_v4(source)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            //= RFC 4443 section 2.4
            // (e): not about errors and redirects, nor what was for many, except that it was too big; nor to who is not
            // one host.
            let is_fragment = packet.kind == PacketKind::Fragment;
            let is_error =
                packet.protocol == ICMPV6 && kind.is_none_or(|kind| is_fragment || kind < 128 || kind == 137);
            let is_to_many = (to_group || destination.is_multicast()) && !matches!(trouble, Trouble::TooBig(_));
            let is_host = !source.is_unspecified() && !source.is_multicast() && !source.is_loopback();
            packet.ip_version == 6 && !is_error && !is_to_many && is_host
        }
        _ => false,
    }
}

fn is_host_v4(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

/// An error about a packet, from `source` to that packet's sender: a datagram. `None` if the IP versions differ.
pub(super) fn error(trouble: Trouble, source: IpAddr, datagram: &Datagram, frame: &[u8]) -> Option<Vec<u8>> {
    let (kind, code, rest) = trouble.header(datagram.is_ipv4());
    let mut message = Vec::new();
    message.extend_from_slice(&[kind, code, 0, 0]);
    message.extend_from_slice(&rest);
    let about = datagram.bytes(frame);
    //= RFC 1812 section 4.3.2.3
    //= RFC 4443 section 2.4
    // (c): as much of the packet as fits.
    let room = if datagram.is_ipv4() { MAX_V4 - 20 - 8 } else { MAX_V6 - IPV6_LEN - 8 };
    message.extend_from_slice(about.get(..room).unwrap_or(about));
    match (source, datagram.source) {
        (IpAddr::V4(source), IpAddr::V4(to)) => Some(ipv4_datagram(source, to, CONTROL, message)),
        (IpAddr::V6(source), IpAddr::V6(to)) => Some(ipv6_datagram(source, to, HOPS, message)),
        _ => None,
    }
}

/// What a packet for one of our own addresses asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// An echo, and this is it: a datagram.
    Echo(Vec<u8>),
    /// It is a part of something.
    Fragment,
    /// Something else.
    Other,
}

/// Judges a packet for one of our own addresses. An echo is made only if `permit` says so.
pub(super) fn local(datagram: &Datagram, frame: &[u8], mut permit: impl FnMut() -> bool) -> Local {
    let bytes = datagram.bytes(frame);
    let packet = decode_ip(bytes, bytes.len() as u32);
    if packet.kind == PacketKind::Fragment {
        return Local::Fragment;
    }
    let message = packet.payload(bytes);
    let echo = |kind: u8| {
        let mut message = message.to_vec();
        message.splice(..4, [kind, 0, 0, 0]);
        message
    };
    let asks = |kind: u8| message.len() >= 8 && message.starts_with(&[kind, 0]);
    match (datagram.source, datagram.destination) {
        (IpAddr::V4(to), IpAddr::V4(own)) if packet.protocol == ICMP && asks(8) && is_host_v4(to) => {
            //= RFC 792 echo
            //= RFC 1122 section 3.2.2.6
            // All data comes back. IP options do not.
            if checksum(message) != 0 || !permit() {
                return Local::Other;
            }
            let service = bytes.get(1).copied().unwrap_or(0);
            Local::Echo(ipv4_datagram(own, to, service, echo(0)))
        }
        (IpAddr::V6(to), IpAddr::V6(own)) if packet.protocol == ICMPV6 && asks(128) && !to.is_multicast() => {
            //= RFC 4443 section 4.2
            let is_intact = transport_checksum(&to.octets(), &own.octets(), ICMPV6, message) == 0;
            if !is_intact || !permit() {
                return Local::Other;
            }
            Local::Echo(ipv6_datagram(own, to, HOPS, echo(129)))
        }
        _ => Local::Other,
    }
}

/// An IPv4 datagram with an ICMP message whose checksum is still 0.
pub(super) fn ipv4_datagram(source: Ipv4Addr, destination: Ipv4Addr, service: u8, mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&message);
    put(&mut message, 2, sum);
    let len = u16::try_from(20 + message.len()).unwrap_or(0);
    let mut datagram = Vec::with_capacity(20 + message.len());
    datagram.extend_from_slice(&[0x45, service]);
    datagram.extend_from_slice(&len.to_be_bytes());
    //= RFC 6864 section 4.1
    // What is never fragmented needs no identification. An echo is as long as what came in one piece.
    let dont_fragment = 0x40;
    datagram.extend_from_slice(&[0, 0, dont_fragment, 0, HOPS, ICMP, 0, 0]);
    datagram.extend_from_slice(&source.octets());
    datagram.extend_from_slice(&destination.octets());
    let sum = checksum(&datagram);
    put(&mut datagram, 10, sum);
    datagram.extend_from_slice(&message);
    datagram
}

/// An IPv6 datagram with an ICMPv6 message whose checksum is still 0.
pub(super) fn ipv6_datagram(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, mut message: Vec<u8>) -> Vec<u8> {
    let sum = transport_checksum(&source.octets(), &destination.octets(), ICMPV6, &message);
    put(&mut message, 2, sum);
    let len = u16::try_from(message.len()).unwrap_or(0);
    let mut datagram = Vec::with_capacity(IPV6_LEN + message.len());
    datagram.extend_from_slice(&[0x60, 0, 0, 0]);
    datagram.extend_from_slice(&len.to_be_bytes());
    datagram.extend_from_slice(&[ICMPV6, hop_limit]);
    datagram.extend_from_slice(&source.octets());
    datagram.extend_from_slice(&destination.octets());
    datagram.extend_from_slice(&message);
    datagram
}

/// The checksum of a message over the pseudo header (RFC 8200 section 8.1, RFC 9293 section 3.1): 0 if the message contains
/// its own, correct checksum.
pub(super) fn transport_checksum(source: &[u8], destination: &[u8], protocol: u8, message: &[u8]) -> u16 {
    let len = message.len() as u32;
    let parts = [source, destination, message].map(|part| u32::from(!checksum(part)));
    let sum = parts.iter().sum::<u32>() + (len >> 16) + (len & 0xffff) + u32::from(protocol);
    let sum = (sum >> 16) + (sum & 0xffff);
    !((sum >> 16) + (sum & 0xffff)) as u16
}

/// Writes a big-endian number, if there is room.
pub(super) fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = value.to_be_bytes();
    }
}
