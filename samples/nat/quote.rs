//! The packet that an ICMP error is about: its IP header and at least 8 bytes of what follows (RFC 792), translated the other way
//! around (RFC 5508 section 4).

use std::net::{Ipv4Addr, SocketAddrV4};

use mos_core::wire::Packet;
use mos_core::wire::checksum::{update_u16, update_u32};

use super::icmp::{CHECKSUM, IDENTIFIER, Patch};
use super::stats::Protocol;

/// Where the quoted packet begins in the ICMP message.
const QUOTED: usize = 8;
const IP_LEN: usize = 20;
const IP_CHECKSUM: usize = 10;
const UDP_CHECKSUM: usize = 6;
const TCP_CHECKSUM: usize = 16;

/// A quoted packet. In an echo the identifier is the port of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quote {
    pub(super) protocol: Protocol,
    pub(super) src: SocketAddrV4,
    pub(super) dst: SocketAddrV4,
    /// Where the message, the quoted IP header and what follows it lie in the frame, and where it all ends.
    message: usize,
    network: usize,
    transport: usize,
    end: usize,
}

/// An end of the quoted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Src,
    Dst,
}

impl Quote {
    /// That of an ICMP error. `None` if it is no packet that could have been translated.
    pub(super) fn read(frame: &[u8], packet: &Packet) -> Option<Self> {
        let message = usize::from(packet.transport);
        let network = message + QUOTED;
        let end = packet.payload_range().end;
        let header = frame.get(network..end)?;
        let ip: &[u8; IP_LEN] = header.first_chunk()?;
        let header_len = usize::from(ip[0] & 0xf) * 4;
        let offset = u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff;
        if ip[0] >> 4 != 4 || header_len < IP_LEN || offset != 0 {
            return None;
        }
        let rest: &[u8; 8] = header.get(header_len..)?.first_chunk()?;
        let half = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        let (protocol, ports) = match ip[9] {
            6 => (Protocol::Tcp, [half(0), half(2)]),
            17 => (Protocol::Udp, [half(0), half(2)]),
            1 if rest[0] == 0 || rest[0] == 8 => (Protocol::Icmp, [half(IDENTIFIER); 2]),
            _ => return None,
        };
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        Some(Self {
            protocol,
            src: SocketAddrV4::new(address(12), ports[0]),
            dst: SocketAddrV4::new(address(16), ports[1]),
            message,
            network,
            transport: network + header_len,
            end,
        })
    }

    /// Puts `new` in the place of one end of the quoted packet, with its checksums as far as they are quoted, and that of the error.
    pub(super) fn translate(&self, frame: &mut [u8], which: End, new: SocketAddrV4) {
        let (old, address_at) = match which {
            End::Src => (self.src, self.network + 12),
            End::Dst => (self.dst, self.network + 16),
        };
        let mut patch = Patch::new(frame, self.message + CHECKSUM);
        let (before, after) = (old.ip().to_bits(), new.ip().to_bits());
        patch.word(address_at, (after >> 16) as u16);
        patch.word(address_at + 2, after as u16);
        let field = self.network + IP_CHECKSUM;
        if let Some(sum) = patch.get(field) {
            patch.word(field, update_u32(sum, before, after));
        }
        let (port_at, field, covers_addresses) = match (self.protocol, which) {
            (Protocol::Icmp, _) => (IDENTIFIER, CHECKSUM, false),
            (Protocol::Tcp, End::Src) => (0, TCP_CHECKSUM, true),
            (Protocol::Tcp, End::Dst) => (2, TCP_CHECKSUM, true),
            (Protocol::Udp, End::Src) => (0, UDP_CHECKSUM, true),
            (Protocol::Udp, End::Dst) => (2, UDP_CHECKSUM, true),
        };
        patch.word(self.transport + port_at, new.port());
        let field = self.transport + field;
        let sum = patch.get(field).filter(|&sum| field + 2 <= self.end && (self.protocol != Protocol::Udp || sum != 0));
        if let Some(mut sum) = sum {
            if covers_addresses {
                sum = update_u32(sum, before, after);
            }
            sum = update_u16(sum, old.port(), new.port());
            // Of the two zeros the one that UDP does not read as "none".
            patch.word(field, if self.protocol == Protocol::Udp && sum == 0 { 0xffff } else { sum });
        }
    }
}
