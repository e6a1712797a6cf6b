//! The link layer: from the first byte of a frame to its IP header.
//!
//! Ethernet II with VLAN tags (IEEE 802.1Q, 802.1ad), the two Linux "cooked" capture headers, BSD loopback, and frames
//! that have no link header at all.

use etherparse::{EtherType, Ethernet2HeaderSlice, SingleVlanHeaderSlice, ether_type};

use super::reason::Undecoded;
use super::{u16_at, u32_at};
use crate::packet::LinkType;

/// Stands in [`Packet::vlan`](super::Packet::vlan) for a frame without a VLAN tag; ids have 12 bits.
pub const NO_VLAN: u16 = 0xffff;

/// The most VLAN tags a frame may carry. Networks use two.
pub const MAX_VLAN_TAGS: usize = 4;

/// The smallest EtherType; below, the field is the length of an IEEE 802.3 frame.
const SMALLEST_ETHER_TYPE: u16 = 0x600;

/// QinQ's EtherType before it was standardised.
const OLD_QINQ: EtherType = EtherType(0x9100);

const SLL_LEN: usize = 16;
const SLL2_LEN: usize = 20;
const NULL_LEN: usize = 4;

/// Where the IP header begins, and which one the link layer says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// 4 or 6.
    pub version: u8,
    /// Offset of the header in the frame.
    pub offset: usize,
    /// Innermost VLAN id, or [`NO_VLAN`].
    pub vlan: u16,
}

/// Walks over a frame's link headers.
///
/// # Errors
///
/// The reason under which to count a frame that does not hold IP.
pub fn network(frame: &[u8], link: LinkType) -> Result<Network, Undecoded> {
    match link {
        LinkType::Ethernet => {
            let header = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| Undecoded::FrameTooShort)?;
            tagged(frame, header.ether_type(), header.slice().len())
        }
        // The protocol stands last in the one header, first in the other.
        LinkType::LinuxSll => cooked(frame, SLL_LEN - 2, SLL_LEN),
        LinkType::LinuxSll2 => cooked(frame, 0, SLL2_LEN),
        LinkType::RawIp => match frame.first().ok_or(Undecoded::FrameTooShort)? >> 4 {
            version @ (4 | 6) => Ok(Network { version, offset: 0, vlan: NO_VLAN }),
            _ => Err(Undecoded::UnknownIpVersion),
        },
        LinkType::Null => loopback(frame),
    }
}

/// The header of a capture on Linux's "any" device: its protocol is an EtherType.
fn cooked(frame: &[u8], protocol: usize, header_len: usize) -> Result<Network, Undecoded> {
    let protocol = u16_at(frame, protocol).ok_or(Undecoded::FrameTooShort)?;
    tagged(frame, EtherType(protocol), header_len)
}

/// What follows an EtherType: VLAN tags, then the network layer.
fn tagged(frame: &[u8], mut ether_type: EtherType, mut offset: usize) -> Result<Network, Undecoded> {
    let mut vlan = NO_VLAN;
    for _ in 0..=MAX_VLAN_TAGS {
        let version = match ether_type {
            ether_type::IPV4 => 4,
            ether_type::IPV6 => 6,
            ether_type::VLAN_TAGGED_FRAME | ether_type::PROVIDER_BRIDGING | OLD_QINQ => {
                let rest = frame.get(offset..).unwrap_or_default();
                let tag = SingleVlanHeaderSlice::from_slice(rest).map_err(|_| Undecoded::FrameTooShort)?;
                vlan = tag.vlan_identifier().value();
                ether_type = tag.ether_type();
                offset += tag.slice().len();
                continue;
            }
            _ => return Err(not_ip(ether_type)),
        };
        return Ok(Network { version, offset, vlan });
    }
    Err(Undecoded::TooManyHeaders)
}

/// The name of what is not IP.
fn not_ip(ether_type: EtherType) -> Undecoded {
    match ether_type {
        ether_type::ARP => Undecoded::Arp,
        EtherType(0x8847 | 0x8848) => Undecoded::Mpls,
        EtherType(0x8863) => Undecoded::PppoeDiscovery,
        EtherType(0x8864) => Undecoded::PppoeSession,
        EtherType(length) if length < SMALLEST_ETHER_TYPE => Undecoded::Llc,
        _ => Undecoded::UnknownEtherType,
    }
}

/// Four bytes of address family. The machine that captured wrote them in its own byte order, and the BSDs never agreed on
/// the number of IPv6.
fn loopback(frame: &[u8]) -> Result<Network, Undecoded> {
    let family = u32_at(frame, 0).ok_or(Undecoded::FrameTooShort)?;
    let version = match family.min(family.swap_bytes()) {
        2 => 4,
        10 | 24 | 28 | 30 => 6,
        _ => return Err(Undecoded::UnknownLoopbackFamily),
    };
    Ok(Network { version, offset: NULL_LEN, vlan: NO_VLAN })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ethernet(types: &[u16]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        for (index, ether_type) in types.iter().enumerate() {
            frame.extend(ether_type.to_be_bytes());
            frame.extend([0xe0, index as u8 + 1]); // priority 7, id index + 1
        }
        frame.truncate(frame.len() - 2);
        frame
    }

    fn read(types: &[u16]) -> Result<(u8, usize, u16), Undecoded> {
        network(&ethernet(types), LinkType::Ethernet).map(|network| (network.version, network.offset, network.vlan))
    }

    #[test]
    fn tags_are_skipped_and_the_innermost_id_kept() {
        assert_eq!(read(&[0x0800]), Ok((4, 14, NO_VLAN)));
        assert_eq!(read(&[0x8100, 0x86dd]), Ok((6, 18, 1)));
        assert_eq!(read(&[0x88a8, 0x8100, 0x0800]), Ok((4, 22, 2)));
        assert_eq!(read(&[0x9100, 0x9100, 0x8100, 0x8100, 0x0800]), Ok((4, 30, 4)));
        assert_eq!(read(&[0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x0800]), Err(Undecoded::TooManyHeaders));
    }

    #[test]
    fn what_is_not_ip_has_a_name() {
        assert_eq!(read(&[0x0806]), Err(Undecoded::Arp));
        assert_eq!(read(&[0x8100, 0x0806]), Err(Undecoded::Arp));
        assert_eq!(read(&[0x0026]), Err(Undecoded::Llc));
        assert_eq!(read(&[0x8847]), Err(Undecoded::Mpls));
        assert_eq!(read(&[0x8864]), Err(Undecoded::PppoeSession));
        assert_eq!(read(&[0x8863]), Err(Undecoded::PppoeDiscovery));
        assert_eq!(read(&[0x88cc]), Err(Undecoded::UnknownEtherType));
        assert_eq!(network(&[0; 13], LinkType::Ethernet), Err(Undecoded::FrameTooShort));
        assert_eq!(read(&[0x8100]), Err(Undecoded::FrameTooShort));
    }

    #[test]
    fn cooked_captures_may_carry_tags() {
        let mut sll = vec![0; 14];
        sll.extend([0x81, 0, 0, 7, 8, 0]);
        assert_eq!(network(&sll, LinkType::LinuxSll), Ok(Network { version: 4, offset: 20, vlan: 7 }));
        let mut sll2 = vec![0x86, 0xdd];
        sll2.resize(20, 0);
        assert_eq!(network(&sll2, LinkType::LinuxSll2), Ok(Network { version: 6, offset: 20, vlan: NO_VLAN }));
    }

    #[test]
    fn loopback_in_either_byte_order() {
        let version = |family| network(family, LinkType::Null).map(|network| network.version);
        assert_eq!(version(&[2, 0, 0, 0]), Ok(4));
        assert_eq!(version(&[0, 0, 0, 2]), Ok(4));
        assert_eq!(version(&[30, 0, 0, 0]), Ok(6));
        assert_eq!(version(&[0, 0, 0, 28]), Ok(6));
        assert_eq!(version(&[7, 0, 0, 0]), Err(Undecoded::UnknownLoopbackFamily));
        assert_eq!(version(&[2, 0, 0]), Err(Undecoded::FrameTooShort));
    }

    #[test]
    fn raw_frames_say_their_version() {
        let version = |first| network(&[first], LinkType::RawIp).map(|network| network.version);
        assert_eq!(version(0x45), Ok(4));
        assert_eq!(version(0x60), Ok(6));
        assert_eq!(version(0x50), Err(Undecoded::UnknownIpVersion));
        assert_eq!(network(&[], LinkType::RawIp), Err(Undecoded::FrameTooShort));
    }
}
