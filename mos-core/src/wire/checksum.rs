//! The Internet checksum (RFC 1071): of IPv4 headers and of TCP over its pseudo headers (RFC 9293 section 3.1, RFC 8200
//! section 8.1), verified, filled in, and updated in place (RFC 1624).
//!
//! The sum does not care about byte order as long as it is the same throughout, nor about how many 16-bit words are added
//! at a time. So it is taken over native 32-bit words in a 64-bit accumulator, a loop that compilers turn into vector
//! instructions.

use etherparse::{Ipv6HeaderSlice, ip_number};

use super::ip::{Extensions, IPV6_LEN};
use super::packet::{Packet, PacketKind};

/// Offset of the checksum in an IPv4 header.
const IPV4_FIELD: usize = 10;

/// Offset of the checksum in a TCP header.
const TCP_FIELD: usize = 16;

/// The Internet checksum of `bytes`: 0 if they contain their own, correct checksum.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::default().add(bytes).checksum()
}

/// The checksum of data in which a 16-bit word changes from `old` to `new` (RFC 1624, equation 3).
#[must_use]
pub fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    !fold(sum.into())
}

/// The checksum of data in which two 16-bit words change from `old` to `new`: an address or a sequence number.
#[must_use]
pub fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    let sum = u64::from(!checksum) + u64::from(!old) + u64::from(new);
    !fold(sum)
}

/// Whether the checksum of the IPv4 header that `header` starts with is correct.
#[must_use]
pub fn ipv4_header_ok(header: &[u8]) -> bool {
    ipv4_header_len(header).and_then(|len| header.get(..len)).is_some_and(|header| checksum(header) == 0)
}

/// Whether the packet's TCP checksum is correct. `None` if there is no telling: the packet is not TCP, it was not captured
/// in full, or its final destination is in a routing header.
#[must_use]
pub fn tcp_ok(packet: &Packet, frame: &[u8]) -> Option<bool> {
    Some(pseudo_header(packet, frame)?.add(segment(packet, frame)?).checksum() == 0)
}

/// The TCP checksum that the packet should have, whatever it has. `None` as in [`tcp_ok`].
#[must_use]
pub fn tcp_checksum(packet: &Packet, frame: &[u8]) -> Option<u16> {
    let segment = segment(packet, frame)?;
    let (before, rest) = segment.split_at_checked(TCP_FIELD)?;
    let (_, after) = rest.split_first_chunk::<2>()?;
    Some(pseudo_header(packet, frame)?.add(before).add(after).checksum())
}

/// The sum over the pseudo header of a TCP packet or of another IP packet that is no fragment, folded but not complemented: what
/// stands in the checksum field of a frame whose checksum is left to hardware. `None` if its final destination is in a routing
/// header.
#[must_use]
pub fn pseudo_header_sum(packet: &Packet, frame: &[u8]) -> Option<u16> {
    pseudo_header(packet, frame).map(|sum| !sum.checksum())
}

/// Writes the correct TCP checksum into the frame. Returns whether it could be told, as in [`tcp_ok`].
pub fn fill_tcp(frame: &mut [u8], packet: &Packet) -> bool {
    let Some(checksum) = tcp_checksum(packet, frame) else { return false };
    put(frame, usize::from(packet.transport) + TCP_FIELD, checksum)
}

/// Writes the correct header checksum into an IPv4 frame. Returns whether there was an IPv4 header to fill.
pub fn fill_ipv4(frame: &mut [u8], packet: &Packet) -> bool {
    packet.ip_version == 4 && frame.get_mut(packet.network.into()..).is_some_and(fill_ipv4_header)
}

/// Writes the correct checksum into the IPv4 header that `header` starts with. Returns whether there was one.
pub(super) fn fill_ipv4_header(header: &mut [u8]) -> bool {
    let len = ipv4_header_len(header);
    let Some(header) = len.and_then(|len| header.get_mut(..len)) else { return false };
    put(header, IPV4_FIELD, 0);
    let checksum = checksum(header);
    put(header, IPV4_FIELD, checksum)
}

/// The length of an IPv4 header, by its own words.
fn ipv4_header_len(header: &[u8]) -> Option<usize> {
    let first = header.first()?;
    Some(usize::from(first & 0xf) * 4).filter(|len| first >> 4 == 4 && *len >= 20)
}

/// Writes a big-endian number, if there is room.
fn put(bytes: &mut [u8], at: usize, value: u16) -> bool {
    let field = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
    field.map(|field| *field = value.to_be_bytes()).is_some()
}

/// The TCP header and payload, if all of it was captured.
fn segment<'a>(packet: &Packet, frame: &'a [u8]) -> Option<&'a [u8]> {
    let header = packet.transport_header(frame);
    let header_len = usize::from(header.get(12)? >> 4) * 4;
    let is_whole = header.len() == header_len && packet.payload_captured == packet.payload_len;
    if !is_whole || packet.kind != PacketKind::Tcp {
        return None;
    }
    frame.get(packet.transport.into()..packet.payload_range().end)
}

/// The sum over the pseudo header. For IPv6 it has the final destination, which is only in the header if no routing header
/// has hops left to visit.
fn pseudo_header(packet: &Packet, frame: &[u8]) -> Option<Sum> {
    let header_len = u32::from(packet.payload.checked_sub(packet.transport)?);
    let tcp_len = (header_len + packet.payload_len).to_be_bytes();
    let sum = Sum::default().add(&[0, packet.protocol]).add(&tcp_len);
    if packet.ip_version == 4 {
        return Some(sum.add(&packet.src_v4.to_be_bytes()).add(&packet.dst_v4.to_be_bytes()));
    }
    let headers = packet.network_header(frame);
    if headers.len() > IPV6_LEN && Extensions::of_ipv6(headers).any(|extension| extension.is_pending_route()) {
        return None;
    }
    let header = Ipv6HeaderSlice::from_slice(headers).ok()?;
    Some(sum.add(&header.source()).add(&header.destination()))
}

impl super::ip::Extension<'_> {
    /// Whether this is a routing header that still has addresses to visit.
    fn is_pending_route(&self) -> bool {
        const SEGMENTS_LEFT: usize = 3;
        self.protocol == ip_number::IPV6_ROUTE_HEADER && self.bytes.get(SEGMENTS_LEFT).is_some_and(|&left| left > 0)
    }
}

/// A sum of native words that is yet to be folded. It cannot overflow: that would take 16 GiB.
#[derive(Clone, Copy, Debug, Default)]
struct Sum(u64);

impl Sum {
    /// Adds bytes as if they followed what was added before: all but the last must be of even length.
    #[inline]
    fn add(self, bytes: &[u8]) -> Self {
        let (words, tail) = bytes.as_chunks::<4>();
        let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let mut last = [0; 4];
        last.iter_mut().zip(tail).for_each(|(last, byte)| *last = *byte);
        Self(self.0 + sum + u64::from(u32::from_ne_bytes(last)))
    }

    fn checksum(self) -> u16 {
        u16::from_be_bytes((!fold(self.0)).to_ne_bytes())
    }
}

/// Adds the carries of a ones' complement sum back in until none is left.
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16 & 0xffff) + (sum >> 32) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + sum) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::emit::TcpSegment;
    use crate::wire::{TcpFlags, decode_ip};
    use proptest::prelude::*;

    /// The definition, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for word in bytes.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn example_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn example_of_rfc_1624() {
        assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn folds_every_carry() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0xffff_ffff_0000_0001), 1);
        assert_eq!(checksum(&[0xff; 65_537]), naive(&[0xff; 65_537]));
    }

    #[test]
    fn ipv4_header() {
        let mut header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 192, 168, 0, 1, 192, 168, 0, 199];
        assert!(!ipv4_header_ok(&header));
        assert!(fill_ipv4_header(&mut header));
        assert_eq!(header[10..12], [0xb8, 0x61]);
        assert!(ipv4_header_ok(&header));
        assert!(!ipv4_header_ok(&header[..19]));
        assert!(!ipv4_header_ok(&[]));
    }

    #[test]
    fn what_was_cut_cannot_be_judged() {
        let segment =
            TcpSegment { payload: b"hello", ..TcpSegment::new(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 2).into()) };
        let frame = segment.to_raw_ip();
        let judge = |len: usize| tcp_ok(&decode_ip(&frame[..len], frame.len() as u32), &frame[..len]);
        assert_eq!(judge(frame.len()), Some(true));
        assert_eq!(judge(frame.len() - 1), None);
        assert_eq!(judge(30), None);
        // Cut within the options of a segment without payload: nothing of the payload is missing, yet it cannot be told.
        let segment = TcpSegment { payload: &[], options: &[1, 1, 1, 0], ..segment };
        let frame = segment.to_raw_ip();
        assert_eq!(tcp_ok(&decode_ip(&frame[..41], frame.len() as u32), &frame[..41]), None);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(bytes in prop::collection::vec(any::<u8>(), 0..300), skip in 0usize..8) {
            let bytes = bytes.get(skip..).unwrap_or_default();
            prop_assert_eq!(checksum(bytes), naive(bytes));
        }

        #[test]
        fn an_update_is_as_good_as_a_recount(mut bytes: [u8; 40], at in 0usize..9, new: u32) {
            // All zeros have two checksums; headers never are.
            bytes[0] |= 1;
            let at = 4 + at * 4;
            let before = checksum(&bytes);
            let old = u32::from_be_bytes(*bytes[at..].first_chunk().unwrap());
            bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
            prop_assert_eq!(update_u32(before, old, new), checksum(&bytes));
            let halves = update_u16(before, (old >> 16) as u16, (new >> 16) as u16);
            prop_assert_eq!(update_u16(halves, old as u16, new as u16), checksum(&bytes));
        }

        #[test]
        fn one_changed_bit_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..50), v6: bool, bit: usize) {
            let (src, dst) = if v6 {
                ("[2001:db8::1]:80".parse().unwrap(), "[2001:db8::2]:99".parse().unwrap())
            } else {
                ("192.0.2.1:80".parse().unwrap(), "192.0.2.2:99".parse().unwrap())
            };
            let segment = TcpSegment { flags: TcpFlags::ACK, payload: &payload, ..TcpSegment::new(src, dst) };
            let mut frame = segment.to_raw_ip();
            let packet = decode_ip(&frame, frame.len() as u32);
            prop_assert_eq!(tcp_ok(&packet, &frame), Some(true));
            let at = usize::from(packet.transport);
            // By the definition too, so that writing and checking are not wrong in the same way.
            let mut whole = if v6 { frame[8..40].to_vec() } else { frame[12..20].to_vec() };
            whole.extend([0, 6]);
            whole.extend(((frame.len() - at) as u16).to_be_bytes());
            whole.extend(&frame[at..]);
            prop_assert_eq!(naive(&whole), 0);
            // The data offset apart, which moves the header's end.
            let bit = bit % ((frame.len() - at) * 8);
            prop_assume!(bit / 8 != 12);
            frame[at + bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(tcp_ok(&packet, &frame), Some(false));
            prop_assert!(fill_tcp(&mut frame, &packet));
            prop_assert_eq!(tcp_ok(&packet, &frame), Some(true));
        }
    }
}
