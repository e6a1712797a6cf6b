//! Hosts that talk through a router, and what a router refuses.

use core::time::Duration;

use super::super::{Arrival, DropReason, Forwarder, MacAddr, NetConfig, Next, Route, StaticNeighbor};
use super::world::*;
use crate::packet::{Checksums, LinkType, Offload};
use crate::time::Timestamp;
use crate::wire::{FrameBuilder, TcpSegment};

const NOW: Timestamp = Timestamp::from_millis(5_000);

/// A router that knows the hosts at both of its ports.
fn router() -> Forwarder {
    let known = |prefix: &str, number| StaticNeighbor { prefix: prefix.parse().unwrap(), mac: mac(number) };
    let neighbors = vec![known("10.0.0.0/8", 0xb), known("2001:db8::/32", 0xb)];
    Forwarder::new(NetConfig { neighbors, ..router_config(1400) }).unwrap()
}

fn tcp(source: &str, destination: &str, payload: usize) -> Vec<u8> {
    let segment = TcpSegment::new((ip(source), 1).into(), (ip(destination), 2).into());
    FrameBuilder::new().macs(mac(0xa).0, mac(1).0).ethernet(&TcpSegment { payload: &vec![0; payload], ..segment })
}

fn forward(router: &mut Forwarder, frame: &mut [u8]) -> Next {
    router.forward(frame, Arrival::ethernet(0), NOW)
}

#[test]
fn two_hosts_ping_through_a_router() {
    for (a, b) in [("10.0.0.2", "10.0.1.2"), ("2001:db8::2", "2001:db8:1::2")] {
        let mut world = World::routed(1500);
        let request = echo_request(a, b, 64, 56);
        world.send(0, &request);
        let replies = world.icmp_at(0);
        assert_eq!(replies.len(), 1, "{a}");
        let is_v4 = ip(a).is_ipv4();
        // One hop less, and all data.
        assert_eq!(replies[0][if is_v4 { 8 } else { 7 }], 63);
        let data = if is_v4 { 24.. } else { 44.. };
        assert_eq!(replies[0][data.clone()], request[data]);
        // Both ends of the first link ask who is next. The second host answers to where the question came from; and the
        // router, which knows the first host as it was asked by it, makes sure of that.
        let asked: Vec<_> = world.nodes.iter().map(|node| node.stats().solicitations).collect();
        assert_eq!(asked, [1, 2, 0], "{a}");
        let moved = world.nodes[1].stats().routed;
        assert_eq!((moved, world.nodes[1].stats().held), (2, 1));
        // From now on nobody has to wait or to ask.
        world.seen.clear();
        world.send(0, &request);
        assert_eq!((world.icmp_at(0).len(), world.seen.len()), (2, 4), "{a}");
    }
}

#[test]
fn rfc_1812_5_3_1_hops_are_counted_and_their_end_is_told() {
    for (a, b, router) in [("10.0.0.2", "10.0.1.2", "10.0.0.1"), ("2001:db8::2", "2001:db8:1::2", "2001:db8::1")] {
        let mut world = World::routed(1500);
        let is_v4 = ip(a).is_ipv4();
        world.send(0, &echo_request(a, b, 1, 8));
        world.send(0, &echo_request(a, b, 2, 8));
        let [exceeded, reply] = world.icmp_at(0).try_into().unwrap();
        let (header, addresses, kind) = if is_v4 { (20, 12..16, 11) } else { (40, 8..24, 3) };
        assert_eq!((exceeded[header], exceeded[header + 1]), (kind, 0));
        let mut expected = Vec::new();
        match ip(router) {
            core::net::IpAddr::V4(address) => expected.extend(address.octets()),
            core::net::IpAddr::V6(address) => expected.extend(address.octets()),
        }
        assert_eq!(exceeded[addresses], expected);
        assert_eq!(reply[header], if is_v4 { 0 } else { 129 });
        assert_eq!(world.nodes[1].stats().dropped[DropReason::HopLimit.index()], 1);
    }
}

#[test]
fn rfc_1191_4_and_rfc_4443_3_2_the_next_links_mtu_is_told() {
    let mut world = World::routed(1400);
    world.send(0, &echo_request("10.0.0.2", "10.0.1.2", 64, 1472));
    let told = world.icmp_at(0).pop().unwrap();
    assert_eq!((&told[20..22], &told[24..28]), (&[3, 4][..], &[0, 0, 0x05, 0x78][..]));
    world.send(0, &echo_request("2001:db8::2", "2001:db8:1::2", 64, 1400));
    let told = world.icmp_at(0).pop().unwrap();
    assert_eq!((&told[40..42], &told[44..48]), (&[2, 0][..], &[0, 0, 0x05, 0x78][..]));
    // What fits, passes.
    world.send(0, &echo_request("10.0.0.2", "10.0.1.2", 64, 1372));
    assert_eq!(world.icmp_at(0).pop().unwrap()[20], 0);
}

#[test]
fn rfc_791_what_may_be_fragmented_is() {
    let mut world = World::routed(1400);
    let mut request = echo_request("10.0.0.2", "10.0.1.2", 64, 1472);
    request[6] = 0;
    reseal(&mut request, 0);
    world.send(0, &request);
    let stats = world.nodes[1].stats();
    assert_eq!((stats.fragmented, stats.fragments), (1, 2));
    // Those that waited for the next hop as one, and those that did not have to.
    world.send(0, &request);
    assert_eq!(world.nodes[2].stats().dropped[DropReason::LocalFragment.index()], 4);
}

#[test]
fn super_frames_pass_if_their_segments_do() {
    let mut router = router();
    let frame = tcp("10.0.0.2", "10.0.1.2", 20_000);
    let mut with = |segment_bytes| {
        let mut frame = frame.clone();
        let offload = Offload { segment_bytes, checksums: Checksums::Partial };
        router.forward(&mut frame, Arrival { offload, ..Arrival::ethernet(0) }, NOW)
    };
    assert_eq!(with(1360), Next::Transmit(1));
    assert_eq!(with(1361), Next::Drop(DropReason::TooBig));
    let (port, told) = outputs(&mut router).pop().unwrap();
    assert_eq!((port, &told[34..36], &told[40..42]), (0, &[3, 4][..], &[0x05, 0x78][..]));
}

#[test]
fn a_routed_frame_changes_in_place() {
    let mut router = router();
    let before = tcp("10.0.0.2", "10.0.1.2", 5);
    let mut frame = before.clone();
    assert_eq!(forward(&mut router, &mut frame), Next::Transmit(1));
    assert_eq!((&frame[..6], &frame[6..12]), (&mac(0xb).0[..], &mac(2).0[..]));
    assert_eq!(frame[22], 63);
    assert!(crate::wire::checksum::ipv4_header_ok(&frame[14..]));
    // Hops, header checksum and nothing else.
    let changed: Vec<_> = (12..frame.len()).filter(|&at| frame[at] != before[at]).collect();
    assert!(changed.iter().all(|at| [22, 24, 25].contains(at)), "{changed:?}");
    assert_eq!(outputs(&mut router), []);
}

#[test]
fn rfc_1122_2_3_2_2_who_does_not_answer_is_unreachable() {
    for (a, nobody, header) in [("10.0.0.2", "10.0.1.99", 20), ("2001:db8::2", "2001:db8:1::99", 40)] {
        let mut world = World::routed(1500);
        for _ in 0..5 {
            world.send(0, &echo_request(a, nobody, 64, 8));
        }
        world.wait(Duration::from_millis(2_999));
        assert_eq!(world.icmp_at(0).len(), 0);
        world.wait(Duration::from_millis(1));
        let told = world.icmp_at(0);
        assert_eq!(told.len(), 3, "as many as are held");
        let code = if header == 20 { [3, 1] } else { [1, 3] };
        assert!(told.iter().all(|told| told[header..header + 2] == code));
        let stats = world.nodes[1].stats();
        assert_eq!((stats.silent, stats.held), (1, 5));
        assert_eq!(stats.dropped[DropReason::HeldTooMany.index()], 2);
        assert_eq!(stats.dropped[DropReason::Unreachable.index()], 3);
        assert_eq!(stats.solicitations, 3);
    }
}

#[test]
fn a_neighbor_that_leaves_is_noticed() {
    let mut world = World::routed(1500);
    let request = echo_request("10.0.0.2", "10.0.1.2", 64, 8);
    world.send(0, &request);
    world.wait(Duration::from_secs(60));
    world.send(0, &request);
    assert_eq!(world.icmp_at(0).len(), 2, "asked again, and used meanwhile");
    // The host is replaced by one that is deaf.
    let config = router_config(1500);
    world.nodes[2] = Forwarder::new(NetConfig { interfaces: vec![config.interfaces[0].clone()], ..config }).unwrap();
    world.wait(Duration::from_secs(60));
    world.send(0, &request);
    world.wait(Duration::from_secs(4));
    world.send(0, &request);
    world.wait(Duration::from_secs(4));
    assert_eq!(world.icmp_at(0).last().unwrap()[20..22], [3, 1]);
}

#[test]
fn rfc_792_no_route_is_told() {
    let mut world = World::routed(1500);
    world.send(0, &echo_request("10.0.0.2", "203.0.113.1", 64, 8));
    world.send(0, &echo_request("2001:db8::2", "2001:db8:ffff::1", 64, 8));
    let told = world.icmp_at(0);
    assert_eq!((&told[0][20..22], &told[1][40..42]), (&[3, 0][..], &[1, 0][..]));
}

#[test]
fn rfc_1812_4_3_2_8_errors_are_limited() {
    let mut router = router();
    let mut frame = tcp("10.0.0.2", "10.0.1.2", 5);
    frame[22] = 1;
    reseal(&mut frame, 14);
    for _ in 0..1000 {
        assert_eq!(forward(&mut router, &mut frame), Next::Drop(DropReason::HopLimit));
    }
    assert_eq!((router.stats().icmp_errors, router.stats().icmp_limited), (50, 950));
    assert_eq!(outputs(&mut router).len(), 50);
}

#[test]
fn rfc_1812_5_3_7_martians_are_dropped() {
    for source in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "10.0.1.255"] {
        let next = forward(&mut router(), &mut tcp(source, "10.0.1.2", 5));
        assert_eq!(next, Next::Drop(DropReason::MartianSource), "{source}");
    }
    for source in ["::", "::1", "ff02::1", "::ffff:10.0.0.2"] {
        let next = forward(&mut router(), &mut tcp(source, "2001:db8:1::2", 5));
        assert_eq!(next, Next::Drop(DropReason::MartianSource), "{source}");
    }
    for (destination, reason) in [
        ("127.0.0.1", DropReason::MartianDestination),
        ("0.0.0.0", DropReason::MartianDestination),
        ("224.0.0.1", DropReason::Multicast),
        ("255.255.255.255", DropReason::Broadcast),
        ("10.0.1.255", DropReason::Broadcast),
        ("169.254.0.1", DropReason::LinkLocal),
    ] {
        let next = forward(&mut router(), &mut tcp("10.0.0.2", destination, 5));
        assert_eq!(next, Next::Drop(reason), "{destination}");
    }
}

#[test]
fn own_addresses_may_be_what_a_monitor_translated_to() {
    let mut router = router();
    assert_eq!(forward(&mut router, &mut tcp("10.0.1.1", "10.0.1.2", 5)), Next::Transmit(1));
    let to_ourselves = forward(&mut router, &mut tcp("10.0.1.1", "10.0.0.1", 5));
    assert_eq!(to_ourselves, Next::Drop(DropReason::MartianSource));
}

#[test]
fn rfc_4291_2_5_6_link_local_packets_stay_on_their_link() {
    for (source, destination) in [("fe80::2", "2001:db8:1::2"), ("2001:db8::2", "fe80::2")] {
        let next = forward(&mut router(), &mut tcp(source, destination, 5));
        assert_eq!(next, Next::Drop(DropReason::LinkLocal));
    }
    assert_eq!(forward(&mut router(), &mut tcp("fe80::2", "2001:db8::1", 5)), Next::Local);
}

#[test]
fn only_what_is_addressed_to_the_router_is_routed() {
    let mut router = router();
    let to = |mac: MacAddr| {
        let mut frame = tcp("10.0.0.2", "10.0.1.2", 5);
        frame[..6].copy_from_slice(&mac.0);
        frame
    };
    assert_eq!(forward(&mut router, &mut to(mac(9))), Next::Drop(DropReason::NotForUs));
    assert_eq!(forward(&mut router, &mut to(MacAddr::BROADCAST)), Next::Drop(DropReason::Broadcast));
    assert_eq!(forward(&mut router, &mut to(MacAddr([1, 0, 0x5e, 0, 0, 1]))), Next::Drop(DropReason::Multicast));
    let mut lldp = to(mac(1));
    lldp[12..14].copy_from_slice(&[0x88, 0xcc]);
    assert_eq!(forward(&mut router, &mut lldp), Next::Drop(DropReason::NotIp));
    let segment = TcpSegment::new((ip("10.0.0.2"), 1).into(), (ip("10.0.1.2"), 2).into());
    let mut tagged = FrameBuilder::new().macs(mac(0xa).0, mac(1).0).vlan(7).ethernet(&segment);
    assert_eq!(forward(&mut router, &mut tagged), Next::Drop(DropReason::Tagged));
    let mut broken = to(mac(1));
    broken[24] ^= 1;
    assert_eq!(forward(&mut router, &mut broken), Next::Drop(DropReason::BadChecksum));
    let next = router.forward(&mut to(mac(1)), Arrival::ethernet(9), NOW);
    assert_eq!(next, Next::Drop(DropReason::NoInterface));
    assert_eq!(forward(&mut router, &mut [0; 9]), Next::Drop(DropReason::Malformed));
    assert_eq!(forward(&mut router, &mut to(mac(1))), Next::Transmit(1));
}

#[test]
fn nothing_is_forwarded_if_it_is_not_to_be() {
    let mut router = Forwarder::new(NetConfig { forward: false, ..router_config(1500) }).unwrap();
    let next = forward(&mut router, &mut tcp("10.0.0.2", "10.0.1.2", 5));
    assert_eq!(next, Next::Drop(DropReason::ForwardingOff));
    assert_eq!(forward(&mut router, &mut tcp("10.0.0.2", "10.0.0.1", 5)), Next::Local);
}

#[test]
fn gateways_and_longer_prefixes_count() {
    let route = |prefix: &str, gateway: &str, port| Route {
        prefix: prefix.parse().unwrap(),
        gateway: (!gateway.is_empty()).then(|| ip(gateway)),
        port,
    };
    let known = |prefix: &str, number| StaticNeighbor { prefix: prefix.parse().unwrap(), mac: mac(number) };
    let config = NetConfig {
        routes: vec![
            route("0.0.0.0/0", "10.0.1.254", 1),
            route("192.0.2.0/24", "10.0.0.254", 0),
            route("192.0.2.128/25", "10.0.1.253", 1),
            route("::/0", "fe80::1", 1),
        ],
        neighbors: vec![
            known("10.0.0.254/32", 1),
            known("10.0.1.254/32", 2),
            known("10.0.1.253/32", 3),
            known("fe80::1/128", 4),
        ],
        ..router_config(1500)
    };
    let mut router = Forwarder::new(config).unwrap();
    for (source, destination, port, number) in [
        ("10.0.0.2", "8.8.8.8", 1, 2),
        ("10.0.0.2", "192.0.2.1", 0, 1),
        ("10.0.0.2", "192.0.2.129", 1, 3),
        ("2001:db8::2", "2001:db8:9::1", 1, 4),
    ] {
        let mut frame = tcp(source, destination, 5);
        assert_eq!(forward(&mut router, &mut frame), Next::Transmit(port), "{destination}");
        assert_eq!(frame[..6], mac(number).0, "{destination}");
    }
}

#[test]
fn frames_without_ethernet_are_routed_in_a_copy() {
    let mut router = router();
    let mut datagram = tcp("10.0.0.2", "10.0.1.2", 5)[14..].to_vec();
    let arrival = Arrival { link: LinkType::RawIp, ..Arrival::ethernet(7) };
    assert_eq!(router.forward(&mut datagram, arrival, NOW), Next::Queued);
    let (port, frame) = outputs(&mut router).pop().unwrap();
    assert_eq!((port, &frame[..6], &frame[12..14]), (1, &mac(0xb).0[..], &[8, 0][..]));
    assert_eq!((frame[22], frame.len()), (63, 14 + datagram.len()));
    assert!(crate::wire::checksum::ipv4_header_ok(&frame[14..]));
}
