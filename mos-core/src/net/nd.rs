//! Neighbour discovery (RFC 4861): solicitations and advertisements, validated and written.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::datagram::{Datagram, IPV6_LEN};
use super::icmp::{ICMPV6, ipv6_datagram, transport_checksum};
use super::mac::MacAddr;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Options: the link-layer address of who sends, and of whom it is about.
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;

/// A message without its options.
const LEN: usize = 24;

/// The hop limit that proves that a packet has not come through a router.
const HOP_LIMIT: u8 = 255;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    /// Who has the target?
    Solicitation {
        target: Ipv6Addr,
        /// Who asks; none if it has no address yet.
        source: Option<Ipv6Addr>,
        source_mac: Option<MacAddr>,
    },
    /// The target is there.
    Advertisement {
        target: Ipv6Addr,
        target_mac: Option<MacAddr>,
        /// It was asked for.
        solicited: bool,
        /// It replaces what was known.
        overrides: bool,
    },
}

/// The group that asks for an address are sent to.
pub(super) fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    //= RFC 4291 section 2.7.1
    let [.., a, b, c] = target.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// Whether an ICMPv6 message of that type is one of neighbour discovery: those of routers and redirects are as well.
pub(super) fn is_discovery(message: &[u8]) -> bool {
    message.first().is_some_and(|kind| (133..=137).contains(kind))
}

impl Discovery {
    /// Reads and validates a message of neighbour discovery. `None`: it is not valid. `Some(None)`: it is a kind that is of no
    /// interest here.
    pub(super) fn read(frame: &[u8], datagram: &Datagram) -> Option<Option<Self>> {
        let bytes = datagram.bytes(frame);
        let (header, message) = bytes.split_first_chunk::<IPV6_LEN>()?;
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (datagram.source, datagram.destination) else {
            return None;
        };
        //= RFC 4861 section 7.1.1
        //= RFC 4861 section 7.1.2
        // No router has passed it on; the checksum is right; the code is 0. It follows the IPv6 header at once: nobody needs
        // extension headers there, and fragments are forbidden (RFC 6980).
        let [kind, code, ..] = *message else { return None };
        let is_intact = transport_checksum(&header[8..24], &header[24..], ICMPV6, message) == 0;
        if datagram.hop_limit != HOP_LIMIT || header[6] != ICMPV6 || !is_intact || code != 0 {
            return None;
        }
        if kind != SOLICITATION && kind != ADVERTISEMENT {
            return Some(None);
        }
        let (fixed, options) = message.split_first_chunk::<LEN>()?;
        let target = Ipv6Addr::from(*fixed.last_chunk::<16>()?);
        let (source_mac, target_mac) = macs(options)?;
        if target.is_multicast() {
            return None;
        }
        if kind == SOLICITATION {
            // Who has no address cannot be sent an answer by it, and asks the group.
            if source.is_unspecified() && (source_mac.is_some() || destination != solicited_node(target)) {
                return None;
            }
            let source = Some(source).filter(|source| !source.is_unspecified());
            return Some(Some(Self::Solicitation { target, source, source_mac }));
        }
        let [solicited, overrides] = [0x40, 0x20].map(|flag| fixed[4] & flag != 0);
        if destination.is_multicast() && solicited {
            return None;
        }
        Some(Some(Self::Advertisement { target, target_mac, solicited, overrides }))
    }
}

/// The hardware addresses among the options. `None`: an option has no length or runs past the message.
fn macs(mut options: &[u8]) -> Option<(Option<MacAddr>, Option<MacAddr>)> {
    let (mut source, mut target) = (None, None);
    while let [kind, len, ..] = *options {
        let len = usize::from(len) * 8;
        let option = options.get(..len).filter(|_| len > 0)?;
        // Of Ethernet, it takes eight bytes with its head.
        let mac = MacAddr::read(option, 2).filter(|mac| mac.is_host() && len == 8);
        match kind {
            SOURCE_MAC => source = mac,
            TARGET_MAC => target = mac,
            _ => {}
        }
        options = options.get(len..)?;
    }
    options.is_empty().then_some((source, target))
}

/// A frame that asks for `target`: directly, if `known`, else its group.
pub(super) fn solicitation(target: Ipv6Addr, known: Option<MacAddr>, source: Ipv6Addr, mac: MacAddr) -> Vec<u8> {
    //= RFC 4861 section 7.2.2
    let group = solicited_node(target);
    let (destination, to) = known.map_or((group, MacAddr::of_group(group)), |mac| (target, mac));
    let message = message(SOLICITATION, 0, target, SOURCE_MAC, mac);
    frame(to, mac, ipv6_datagram(source, destination, HOP_LIMIT, message))
}

/// A frame that says that `mac` has `target`, to who asked for it: to `source` at `to`, or to all if it has no address.
pub(super) fn advertisement(
    target: Ipv6Addr,
    source: Option<Ipv6Addr>,
    to: MacAddr,
    mac: MacAddr,
    is_router: bool,
) -> Vec<u8> {
    //= RFC 4861 section 7.2.4
    let override_flag = 0x20;
    let solicited_flag = if source.is_some() { 0x40 } else { 0 };
    let router_flag = if is_router { 0x80 } else { 0 };
    let (destination, to) = source.map_or((ALL_NODES, MacAddr::of_group(ALL_NODES)), |source| (source, to));
    let flags = router_flag | solicited_flag | override_flag;
    let message = message(ADVERTISEMENT, flags, target, TARGET_MAC, mac);
    frame(to, mac, ipv6_datagram(target, destination, HOP_LIMIT, message))
}

fn message(kind: u8, flags: u8, target: Ipv6Addr, option: u8, mac: MacAddr) -> Vec<u8> {
    let mut message = Vec::with_capacity(LEN + 8);
    message.extend_from_slice(&[kind, 0, 0, 0, flags, 0, 0, 0]);
    message.extend_from_slice(&target.octets());
    message.extend_from_slice(&[option, 1]);
    message.extend_from_slice(&mac.0);
    message
}

fn frame(to: MacAddr, from: MacAddr, datagram: Vec<u8>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + datagram.len());
    frame.extend_from_slice(&to.0);
    frame.extend_from_slice(&from.0);
    frame.extend_from_slice(&[0x86, 0xdd]);
    frame.extend_from_slice(&datagram);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn address(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn read(frame: &[u8]) -> Option<Option<Discovery>> {
        Discovery::read(frame, &Datagram::read(frame, 14).unwrap())
    }

    /// Puts the checksum right after a change.
    fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
        frame[56..58].fill(0);
        let checksum = transport_checksum(&frame[22..38], &frame[38..54], ICMPV6, &frame[54..]);
        frame[56..58].copy_from_slice(&checksum.to_be_bytes());
        frame
    }

    #[test]
    fn rfc_4291_2_7_1_solicited_node_groups() {
        assert_eq!(solicited_node(address("4037::1:800:200e:8c6c")), address("ff02::1:ff0e:8c6c"));
    }

    #[test]
    fn rfc_4861_7_2_2_solicitations() {
        let (target, source) = (address("2001:db8::ab:cdef"), address("2001:db8::1"));
        let asked = Some(Some(Discovery::Solicitation { target, source: Some(source), source_mac: Some(MAC) }));
        let frame = solicitation(target, None, source, MAC);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0xab, 0xcd, 0xef]);
        assert_eq!(read(&frame), asked);
        let known = MacAddr([2, 0, 0, 0, 0, 9]);
        let frame = solicitation(target, Some(known), source, MAC);
        assert_eq!((&frame[..6], &frame[38..54]), (&known.0[..], &target.octets()[..]));
        assert_eq!(read(&frame), asked);
    }

    #[test]
    fn rfc_4861_7_2_4_advertisements() {
        let (target, source) = (address("2001:db8::2"), address("2001:db8::1"));
        let to = MacAddr([2, 0, 0, 0, 0, 9]);
        let answer = |solicited| {
            Some(Some(Discovery::Advertisement { target, target_mac: Some(MAC), solicited, overrides: true }))
        };
        let frame = advertisement(target, Some(source), to, MAC, true);
        assert_eq!((&frame[..6], frame[58]), (&to.0[..], 0xe0));
        assert_eq!(read(&frame), answer(true));
        let frame = advertisement(target, None, to, MAC, false);
        assert_eq!((&frame[..6], frame[58]), (&[0x33, 0x33, 0, 0, 0, 1][..], 0x20));
        assert_eq!(read(&frame), answer(false));
    }

    #[test]
    fn rfc_4861_7_1_1_invalid_solicitations_are_refused() {
        let frame = solicitation(address("2001:db8::2"), None, address("2001:db8::1"), MAC);
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = frame.clone();
            change(&mut frame);
            read(&sealed(frame))
        };
        assert!(changed(&|_| ()).is_some());
        assert_eq!(changed(&|frame| frame[21] = 254), None, "hop limit");
        assert_eq!(changed(&|frame| frame[55] = 1), None, "code");
        assert_eq!(changed(&|frame| frame[62] = 0xff), None, "target is a group");
        assert_eq!(changed(&|frame| frame[79] = 0), None, "option without a length");
        assert_eq!(changed(&|frame| frame[79] = 2), None, "option runs past the message");
        assert_eq!(changed(&|frame| frame[22..38].fill(0)), None, "unspecified source with its hardware address");
        let unspecified = |frame: &mut Vec<u8>| {
            frame[22..38].fill(0);
            frame.truncate(78);
            frame[19] = 24;
        };
        let target = address("2001:db8::2");
        let probe = Discovery::Solicitation { target, source: None, source_mac: None };
        assert_eq!(changed(&unspecified), Some(Some(probe)));
        let elsewhere = |frame: &mut Vec<u8>| {
            unspecified(frame);
            frame[53] ^= 1;
        };
        assert_eq!(changed(&elsewhere), None, "unspecified source, not to the group");
        let mut wrong = frame.clone();
        wrong[60] ^= 1;
        assert_eq!(read(&wrong), None, "checksum");
    }

    #[test]
    fn rfc_4861_7_1_2_invalid_advertisements_are_refused() {
        let frame = advertisement(address("2001:db8::2"), None, MAC, MAC, false);
        let mut solicited = frame.clone();
        solicited[58] |= 0x40;
        assert_eq!(read(&sealed(solicited)), None, "solicited, to a group");
        let mut short = frame;
        short.truncate(54 + 20);
        short[19] = 20;
        assert_eq!(read(&sealed(short)), None, "too short");
    }

    proptest! {
        #[test]
        fn never_panics(message in prop::collection::vec(any::<u8>(), 8..80), kind in 133u8..138) {
            let mut message = message;
            message[0] = kind;
            message[1] = 0;
            let datagram = ipv6_datagram(address("fe80::1"), address("fe80::2"), 255, message);
            let frame = frame(MAC, MAC, datagram);
            let _ = read(&frame);
        }
    }
}
