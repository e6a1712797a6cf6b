//! Frames that make little sense, one after the other.

use core::time::Duration;

use proptest::prelude::*;

use super::super::arp::{self, Arp};
use super::super::datagram::Datagram;
use super::super::icmp::transport_checksum;
use super::super::{Arrival, Departure, Forwarder, MacAddr, NetConfig, Next, SourceMac, nd};
use super::world::*;
use crate::packet::{Checksums, LinkType, Offload};
use crate::stack::{Outgoing, Way};
use crate::time::Timestamp;
use crate::wire::{FrameBuilder, TcpSegment};

const ADDRESSES: [&str; 20] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.255",
    "10.0.1.1",
    "10.0.1.2",
    "10.0.1.99",
    "0.0.0.0",
    "255.255.255.255",
    "127.0.0.1",
    "224.0.0.1",
    "203.0.113.1",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:1::1",
    "2001:db8:1::2",
    "fe80::2",
    "ff02::1",
    "::",
    "::1",
    "2001:db8:9::1",
];

/// A frame that is nearly right.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let address = || prop::sample::select(&ADDRESSES[..]);
    let to = prop_oneof![3 => Just(mac(1)), 1 => Just(mac(2)), 1 => Just(MacAddr::BROADCAST), 1 => Just(mac(0xb))];
    let datagram = (address(), address(), 0u8..4, any::<bool>(), prop_oneof![0usize..100, 1300usize..4000]).prop_map(
        |(source, destination, hops, is_echo, len)| {
            if is_echo && ip(source).is_ipv4() == ip(destination).is_ipv4() {
                return echo_request(source, destination, hops, len);
            }
            let segment = TcpSegment::new((ip(source), 1).into(), (ip(destination), 2).into());
            FrameBuilder::new().hop_limit(hops).raw_ip(&TcpSegment { payload: &vec![1; len], ..segment })
        },
    );
    let ip_frame = (to, datagram, any::<bool>()).prop_map(|(to, mut datagram, dont_fragment)| {
        if datagram[0] >> 4 == 4 && !dont_fragment {
            datagram[6] &= !0x40;
            reseal(&mut datagram, 0);
        }
        framed(to, mac(0xa), &datagram)
    });
    let arp = (any::<[u8; 20]>(), address(), address(), 1u8..3).prop_map(|(rest, sender, target, operation)| {
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
        packet.extend(rest);
        for (at, address) in [(14, sender), (24, target)] {
            if let core::net::IpAddr::V4(address) = ip(address) {
                packet[at..at + 4].copy_from_slice(&address.octets());
            }
        }
        [&[0xff; 6][..], &mac(0xa).0, &[8, 6], &packet].concat()
    });
    let discovery = (address(), address(), any::<bool>()).prop_map(|(target, source, is_answer)| {
        let [target, source] = [target, source].map(|text| match ip(text) {
            core::net::IpAddr::V6(address) => address,
            core::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
        });
        if is_answer {
            nd::advertisement(target, Some(source), mac(1), mac(0xa), false)
        } else {
            nd::solicitation(target, None, source, mac(0xa))
        }
    });
    let noise = prop::collection::vec(any::<u8>(), 0..120);
    let damage = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)];
    let frame = prop_oneof![6 => ip_frame, 2 => arp, 2 => discovery, 1 => noise];
    (frame, damage).prop_map(|(mut frame, damage)| {
        for (at, value) in damage {
            let at = usize::from(at) % frame.len().clamp(1, 80);
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame
    })
}

fn link() -> impl Strategy<Value = LinkType> {
    prop_oneof![
        8 => Just(LinkType::Ethernet),
        1 => Just(LinkType::RawIp),
        1 => Just(LinkType::LinuxSll),
        1 => Just(LinkType::LinuxSll2),
        1 => Just(LinkType::Null),
    ]
}

/// Routers and bridges with all there is to them.
fn forwarder(kind: u8) -> Forwarder {
    let mut config = router_config(1400);
    if kind & 1 != 0 {
        config.pairs = vec![(0, 1)];
    }
    if kind & 2 != 0 {
        config.source_mac = SourceMac::Replace;
    }
    if kind & 4 != 0 {
        config.interfaces.iter_mut().for_each(|(_, interface)| {
            interface.ipv4.clear();
            interface.ipv6.clear();
        });
    }
    Forwarder::new(NetConfig { forward: kind != 8, ..config }).unwrap()
}

/// What leaves can be read, fits its link and has right checksums.
fn check(Departure { port, frame, offload }: &Departure) -> Result<(), TestCaseError> {
    prop_assert!(*port < 2);
    let is_tagged = frame[12..14] != [8, 0] && frame[12..14] != [8, 6] && frame[12..14] != [0x86, 0xdd];
    if is_tagged {
        return Ok(());
    }
    prop_assert!(!MacAddr::read(frame, 6).unwrap().is_group());
    if frame[12..14] == arp::ETHER_TYPE.to_be_bytes() {
        prop_assert!(Arp::read(&frame[14..]).is_some());
        return Ok(());
    }
    let datagram = Datagram::read(frame, 14).map_err(|reason| TestCaseError::fail(reason.name()))?;
    let mtu = if *port == 0 { 1500 } else { 1400 };
    prop_assert!(datagram.len <= mtu || offload.segment_bytes > 0);
    let message = &frame[14 + datagram.header_len..14 + datagram.len];
    // Errors are always ours.
    if !datagram.is_ipv4() && frame[20] == 58 && message[0] < 5 {
        prop_assert_eq!(transport_checksum(&frame[22..38], &frame[38..54], 58, message), 0);
    }
    if datagram.is_ipv4() && frame[23] == 1 && frame[20] & 0x3f == 0 && matches!(message.first(), Some(3 | 11)) {
        prop_assert_eq!(crate::wire::checksum::checksum(message), 0);
    }
    Ok(())
}

proptest! {
    #[test]
    fn anything_may_come(
        kind in 0u8..9,
        steps in prop::collection::vec((frame(), link(), 0u16..3, 0u64..2000, prop_oneof![Just(0u16), any::<u16>()]), 1..40),
    ) {
        let mut forwarder = forwarder(kind);
        let mut now = Timestamp::from_millis(1_000);
        for (mut frame, link, port, wait, segment_bytes) in steps {
            let offload = Offload { segment_bytes, checksums: if segment_bytes > 0 { Checksums::Partial } else { Checksums::Unknown } };
            let arrival = Arrival { port, link, offload };
            let before = frame.clone();
            let next = forwarder.forward(&mut frame, arrival, now);
            if let Next::Transmit(out) = next {
                prop_assert!(out < 2);
                prop_assert_eq!(frame.len(), before.len());
                let is_ip = link == LinkType::Ethernet && Datagram::read(&before, 14).is_ok();
                prop_assert!(!is_ip || Datagram::read(&frame, 14).is_ok());
            } else if !matches!(next, Next::Queued) {
                prop_assert_eq!(&frame, &before);
            }
            forwarder.overhear(&before, arrival, now);
            let way = [Way::Along(port), Way::Back(port), Way::Routed][usize::from(before.len() as u8 % 3)];
            if before.len() > 14 && port < 2 {
                let _ = forwarder.send(Outgoing { frame: before[14..].to_vec(), link: LinkType::RawIp, way }, now);
            }
            now = now + Duration::from_millis(wait);
            forwarder.handle_timeout(now);
            prop_assert!(forwarder.poll_timeout().is_none_or(|next| next > now));
            while let Some(departure) = forwarder.poll_output() {
                check(&departure)?;
            }
        }
    }
}
