//! What an edited frame's checksums cover, and how an edit moves them (RFC 1624): the IPv4 header (RFC 791), and the TCP
//! segment with its pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).

use etherparse::ip_number;

use super::{EditError, Layer};
use crate::wire::checksum::{checksum, fill_ipv4_header};
use crate::wire::ip::{Extensions, IPV6_LEN};
use crate::wire::packet::Packet;
use crate::wire::u16_at;

const TCP: u8 = 6;

/// Where the IP packet lies in its frame. Offsets are in order, and none is beyond the frame's end.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Extent {
    pub(in crate::wire) version: u8,
    pub(in crate::wire) network: usize,
    pub(in crate::wire) transport: usize,
    /// Where the captured part of the payload ends.
    pub(in crate::wire) end: usize,
    /// Whether the final destination is yet to be found in a routing header: the sum does not have the one in the header.
    pub(in crate::wire) pending_route: bool,
}

/// Sums over parts of the IP header.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct IpSums {
    /// The IPv4 header with its checksum; 0 for IPv6.
    pub(in crate::wire) header: u16,
    /// The addresses, as far as they are in the pseudo header.
    pub(in crate::wire) addresses: u16,
}

impl Extent {
    /// That of a TCP packet in its frame.
    pub(in crate::wire) fn of(frame: &[u8], packet: &Packet, layer: Layer) -> Result<Self, EditError> {
        let [network, transport, payload] = [packet.network, packet.transport, packet.payload].map(usize::from);
        let end = packet.payload_range().end;
        if network > transport || transport > payload || end > frame.len() {
            return Err(EditError::NoLayer { layer });
        }
        let headers = packet.network_header(frame);
        let pending_route = packet.ip_version == 6
            && headers.len() > IPV6_LEN
            && Extensions::of_ipv6(headers).any(|extension| {
                const SEGMENTS_LEFT: usize = 3;
                extension.protocol == ip_number::IPV6_ROUTE_HEADER
                    && extension.bytes.get(SEGMENTS_LEFT).is_some_and(|&left| left > 0)
            });
        Ok(Self { version: packet.ip_version, network, transport, end, pending_route })
    }

    /// Whether all of the segment is in the frame.
    pub(in crate::wire) fn check_whole(&self, frame: &[u8], packet: &Packet) -> Result<(), EditError> {
        let header_len = frame.get(self.transport + 12).map_or(0, |offset| usize::from(offset >> 4) * 4);
        let captured = self.end - self.transport;
        let len = (packet.payload_len as usize).saturating_add(header_len);
        let captured_header = usize::from(packet.payload).saturating_sub(self.transport);
        if captured_header == header_len && captured == len {
            return Ok(());
        }
        Err(EditError::Truncated { captured, len })
    }

    /// Whether all that the TCP checksum covers is where it usually is.
    pub(in crate::wire) fn check_route(&self) -> Result<(), EditError> {
        if self.pending_route { Err(EditError::PendingRoute) } else { Ok(()) }
    }

    pub(in crate::wire) fn ipv4_field(&self) -> usize {
        self.network + 10
    }

    pub(in crate::wire) fn tcp_field(&self) -> usize {
        self.transport + 16
    }

    /// Where the length of the packet is written.
    pub(in crate::wire) fn length_offset(&self) -> usize {
        self.network + if self.version == 4 { 2 } else { 4 }
    }

    pub(in crate::wire) fn length_field(&self, frame: &[u8]) -> Option<u16> {
        u16_at(frame, self.length_offset())
    }

    /// Bytes of the IP header that the length field does not count.
    pub(in crate::wire) fn not_in_length(&self) -> usize {
        if self.version == 4 { 0 } else { IPV6_LEN }
    }

    /// Whether there are IPv6 hop-by-hop options, where a jumbogram has its length (RFC 2675).
    pub(in crate::wire) fn has_hop_by_hop(&self, frame: &[u8]) -> bool {
        self.version == 6 && frame.get(self.network + 6) == Some(&ip_number::IPV6_HEADER_HOP_BY_HOP.0)
    }

    pub(in crate::wire) fn tcp_len(&self) -> usize {
        self.end - self.transport
    }

    /// The IPv4 header by its own length, as far as it is in the frame; empty for IPv6.
    pub(in crate::wire) fn ipv4_header<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let rest = if self.version == 4 { frame.get(self.network..).unwrap_or_default() } else { &[] };
        let len = rest.first().map_or(0, |first| usize::from(first & 0xf) * 4);
        rest.get(..len).unwrap_or(rest)
    }

    pub(in crate::wire) fn ip_sums(&self, frame: &[u8]) -> IpSums {
        let addresses = match self.version {
            4 => 12..20,
            _ if self.pending_route => 8..24,
            _ => 8..40,
        };
        let addresses = frame.get(self.network + addresses.start..self.network + addresses.end).unwrap_or_default();
        IpSums { header: sum(self.ipv4_header(frame), 0), addresses: sum(addresses, 0) }
    }

    /// Updates the IPv4 header checksum for a header whose sum, with the checksum, was `before` and is `after`.
    pub(in crate::wire) fn update_ipv4(&self, frame: &mut [u8], before: u16, after: u16) {
        if self.version == 4 {
            let mut change = Change::default();
            change.replace_sum(before, after);
            change.apply(frame, self.ipv4_field());
        }
    }

    /// Computes the IPv4 header checksum anew, if there is one.
    pub(in crate::wire) fn fill_ipv4(&self, frame: &mut [u8]) {
        if self.version == 4
            && let Some(header) = frame.get_mut(self.network..)
        {
            fill_ipv4_header(header);
        }
    }

    /// Computes the TCP checksum anew.
    pub(in crate::wire) fn fill_tcp(&self, frame: &mut [u8]) {
        put(frame, self.tcp_field(), 0);
        let segment = sum(frame.get(self.transport..self.end).unwrap_or_default(), 0);
        let len = self.tcp_len() as u64;
        let total = u64::from(self.ip_sums(frame).addresses) + u64::from(TCP) + len + u64::from(segment);
        put(frame, self.tcp_field(), !fold(total));
    }
}

/// By how much an edit moves the sum over what a checksum covers, modulo 0xffff.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::wire) struct Change(u64);

impl Change {
    /// Something whose sum was `old` became something whose sum is `new`.
    pub(in crate::wire) fn replace_sum(&mut self, old: u16, new: u16) {
        self.0 += u64::from(!old) + u64::from(new);
    }

    /// Bytes at the offset `at` of what is covered became others there.
    pub(in crate::wire) fn replace(&mut self, old: &[u8], new: &[u8], at: usize) {
        self.replace_sum(sum(old, at), sum(new, at));
    }

    /// Bytes moved from one offset of what is covered to another. Only between even and odd ones does it matter.
    pub(in crate::wire) fn shift(&mut self, bytes: &[u8], from: usize, to: usize) {
        if from % 2 != to % 2 {
            self.replace_sum(sum(bytes, from), sum(bytes, to));
        }
    }

    /// A length in the pseudo header became another.
    pub(in crate::wire) fn replace_number(&mut self, old: usize, new: usize) {
        self.replace_sum(fold(old as u64), fold(new as u64));
    }

    /// Updates the checksum at `field`. If nothing changed in sum, not even the form of zero it has.
    pub(in crate::wire) fn apply(self, frame: &mut [u8], field: usize) {
        if let Some(checksum) = u16_at(frame, field)
            && !self.0.is_multiple_of(0xffff)
        {
            put(frame, field, !fold(u64::from(!checksum) + self.0));
        }
    }
}

/// The sum over bytes of which the first is at the offset `at` of what is covered: at odd ones, low and high are swapped.
fn sum(bytes: &[u8], at: usize) -> u16 {
    let sum = !checksum(bytes);
    if at.is_multiple_of(2) { sum } else { sum.swap_bytes() }
}

/// The same number in 16 bits of ones' complement: 0 only if it was 0.
fn fold(sum: u64) -> u16 {
    if sum == 0 { 0 } else { ((sum - 1) % 0xffff + 1) as u16 }
}

/// Writes a big-endian number, if there is room.
pub(in crate::wire) fn put(frame: &mut [u8], at: usize, value: u16) {
    if let Some(field) = frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = value.to_be_bytes();
    }
}
