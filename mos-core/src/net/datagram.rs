//! The IP header of a frame, as far as a router looks at it (RFC 1812, RFC 8200), and the one field it changes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::stats::DropReason;
use crate::wire::checksum::{ipv4_header_ok, update_u16};

/// The length of an IPv6 header without extensions.
pub(super) const IPV6_LEN: usize = 40;

/// What an IP header says. All of the datagram is in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    /// Offset of the header in the frame.
    pub(super) at: usize,
    /// Of IPv4 with its options, of IPv6 without extension headers.
    pub(super) header_len: usize,
    /// Of header and payload.
    pub(super) len: usize,
    /// Time to live.
    pub(super) hop_limit: u8,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

impl Datagram {
    /// Reads the header at `at`.
    #[inline]
    pub(super) fn read(frame: &[u8], at: usize) -> Result<Self, DropReason> {
        let bytes = frame.get(at..).unwrap_or_default();
        match bytes.first().map(|first| first >> 4) {
            Some(4) => Self::ipv4(bytes, at),
            Some(6) => Self::ipv6(bytes, at),
            _ => Err(DropReason::Malformed),
        }
    }

    #[inline]
    fn ipv4(bytes: &[u8], at: usize) -> Result<Self, DropReason> {
        //= RFC 1812 section 5.2.2
        // The header is there, its length and checksum are right, and the packet is no longer than the frame.
        let header: &[u8; 20] = bytes.first_chunk().ok_or(DropReason::Malformed)?;
        let header_len = usize::from(header[0] & 0xf) * 4;
        let len = match usize::from(u16::from_be_bytes([header[2], header[3]])) {
            // As segmentation offload has it: too large for the field.
            0 => bytes.len(),
            len => len,
        };
        if header_len < 20 || len < header_len || len > bytes.len() {
            return Err(DropReason::Malformed);
        }
        if !ipv4_header_ok(bytes) {
            return Err(DropReason::BadChecksum);
        }
        let [.., a, b, c, d, e, f, g, h] = *header;
        let (source, destination) = (Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into());
        Ok(Self { at, header_len, len, hop_limit: header[8], source, destination })
    }

    fn ipv6(bytes: &[u8], at: usize) -> Result<Self, DropReason> {
        let header: &[u8; IPV6_LEN] = bytes.first_chunk().ok_or(DropReason::Malformed)?;
        let len = match usize::from(u16::from_be_bytes([header[4], header[5]])) {
            0 => bytes.len(),
            len => IPV6_LEN + len,
        };
        if len > bytes.len() {
            return Err(DropReason::Malformed);
        }
        let address = |from: usize| {
            let octets = header.get(from..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        let (source, destination) = (address(8), address(24));
        Ok(Self { at, header_len: IPV6_LEN, len, hop_limit: header[7], source, destination })
    }

    /// Header and payload.
    pub(super) fn bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.at..self.at + self.len).unwrap_or_default()
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Flags and fragment offset of IPv4; 0 for IPv6.
    fn fragment_field(&self, frame: &[u8]) -> u16 {
        let field = frame.get(self.at + 6..).and_then(<[u8]>::first_chunk).filter(|_| self.is_ipv4());
        field.map_or(0, |field| u16::from_be_bytes(*field))
    }

    /// Whether the packet must not be fragmented here: only IPv4 leaves a choice.
    pub(super) fn dont_fragment(&self, frame: &[u8]) -> bool {
        !self.is_ipv4() || self.fragment_field(frame) & 0x4000 != 0
    }

    /// Writes one hop less into the frame that this header was read from.
    #[inline]
    pub(super) fn decrement_hop_limit(&self, frame: &mut [u8]) {
        let header = frame.get_mut(self.at..).unwrap_or_default();
        match header {
            //= RFC 1812 section 5.3.1
            //= RFC 1624 section 3
            // The checksum is moved by the difference: one that was wrong would stay so.
            [first, _, _, _, _, _, _, _, ttl, protocol, high, low, ..] if *first >> 4 == 4 => {
                let old = u16::from_be_bytes([*ttl, *protocol]);
                *ttl = ttl.saturating_sub(1);
                let new = u16::from_be_bytes([*ttl, *protocol]);
                [*high, *low] = update_u16(u16::from_be_bytes([*high, *low]), old, new).to_be_bytes();
            }
            //= RFC 8200 section 3
            [first, _, _, _, _, _, _, hop_limit, ..] if *first >> 4 == 6 => *hop_limit = hop_limit.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FrameBuilder, TcpSegment};
    use proptest::prelude::*;

    fn frame(v6: bool, hop_limit: u8) -> Vec<u8> {
        let (src, dst) = if v6 { ("[2001:db8::1]:1", "[2001:db8::2]:2") } else { ("10.0.0.1:1", "10.0.0.2:2") };
        let segment = TcpSegment::new(src.parse().unwrap(), dst.parse().unwrap());
        FrameBuilder::new().hop_limit(hop_limit).ethernet(&segment)
    }

    #[test]
    fn reads_both_versions() {
        let datagram = Datagram::read(&frame(false, 9), 14).unwrap();
        assert_eq!((datagram.header_len, datagram.len, datagram.hop_limit), (20, 40, 9));
        assert_eq!(datagram.destination, IpAddr::from([10, 0, 0, 2]));
        assert!(datagram.dont_fragment(&frame(false, 9)));
        let datagram = Datagram::read(&frame(true, 9), 14).unwrap();
        assert_eq!((datagram.header_len, datagram.len, datagram.hop_limit), (40, 60, 9));
        assert_eq!(datagram.source, "2001:db8::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn rfc_1812_5_2_2_headers_are_validated() {
        let read = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = frame(false, 9);
            change(&mut frame);
            Datagram::read(&frame, 14).map(|_| ())
        };
        assert_eq!(read(&|frame| frame.truncate(33)), Err(DropReason::Malformed));
        assert_eq!(read(&|frame| frame.truncate(53)), Err(DropReason::Malformed));
        assert_eq!(read(&|frame| frame[14] = 0x44), Err(DropReason::Malformed));
        assert_eq!(read(&|frame| frame[14] = 0x55), Err(DropReason::Malformed));
        assert_eq!(read(&|frame| frame[17] = 19), Err(DropReason::Malformed));
        assert_eq!(read(&|frame| frame[30] ^= 1), Err(DropReason::BadChecksum));
        assert_eq!(read(&|frame| frame.extend([0; 6])), Ok(()));
    }

    proptest! {
        #[test]
        fn rfc_1624_3_one_hop_less_and_the_checksum_stays_right(v6: bool, hop_limit in 1u8..) {
            let mut frame = frame(v6, hop_limit);
            let datagram = Datagram::read(&frame, 14).unwrap();
            datagram.decrement_hop_limit(&mut frame);
            let after = Datagram::read(&frame, 14).unwrap();
            prop_assert_eq!(after, Datagram { hop_limit: hop_limit - 1, ..datagram });
        }
    }
}
