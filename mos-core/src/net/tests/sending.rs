//! What monitors send.

use super::super::{Arrival, DropReason, Forwarder, Interface, NetConfig, Next, SourceMac};
use super::world::*;
use crate::packet::LinkType;
use crate::stack::{Outgoing, Way};
use crate::time::Timestamp;
use crate::wire::{FrameBuilder, TcpSegment};

const NOW: Timestamp = Timestamp::from_millis(5_000);

fn segment() -> TcpSegment<'static> {
    TcpSegment::new((ip("10.0.0.2"), 1).into(), (ip("203.0.113.9"), 2).into())
}

fn bridge(source_mac: SourceMac) -> Forwarder {
    let interfaces = vec![(0, Interface::new(mac(1))), (1, Interface::new(mac(2)))];
    Forwarder::new(NetConfig { interfaces, pairs: vec![(0, 1)], source_mac, ..NetConfig::default() }).unwrap()
}

fn send(forwarder: &mut Forwarder, frame: Vec<u8>, link: LinkType, way: Way) -> Vec<(u16, Vec<u8>)> {
    forwarder.send(Outgoing { frame, link, way }, NOW).unwrap();
    outputs(forwarder)
}

#[test]
fn frames_leave_a_bridge_along_or_back() {
    let frame = FrameBuilder::new().ethernet(&segment());
    let mut transparent = bridge(SourceMac::Keep);
    let sent = send(&mut transparent, frame.clone(), LinkType::Ethernet, Way::Along(0));
    assert_eq!(sent, [(1, frame.clone())]);
    let sent = send(&mut transparent, frame.clone(), LinkType::Ethernet, Way::Back(0));
    assert_eq!(sent, [(0, frame.clone())]);
    let sent = send(&mut bridge(SourceMac::Replace), frame.clone(), LinkType::Ethernet, Way::Along(0));
    assert_eq!(sent[0].1[6..12], mac(2).0);
    assert_eq!(transparent.stats().injected, 2);
}

#[test]
fn datagrams_find_their_way_over_a_bridge() {
    let mut bridge = bridge(SourceMac::Keep);
    let outgoing = |way| Outgoing { frame: FrameBuilder::new().raw_ip(&segment()), link: LinkType::RawIp, way };
    assert_eq!(bridge.send(outgoing(Way::Routed), NOW), Err(DropReason::NoRoute), "nobody was seen yet");
    // Both are seen, one of them in a VLAN.
    let there = FrameBuilder::new().macs(mac(0xa).0, mac(0xb).0).vlan(7);
    let back = FrameBuilder::new().macs(mac(0xb).0, mac(0xa).0).vlan(7);
    let answer = TcpSegment { src: segment().dst, dst: segment().src, ..segment() };
    let next = bridge.forward(&mut there.ethernet(&segment()), Arrival::ethernet(0), NOW);
    assert_eq!(next, Next::Transmit(1));
    let next = bridge.forward(&mut back.ethernet(&answer), Arrival::ethernet(1), NOW);
    assert_eq!(next, Next::Transmit(0));
    for way in [Way::Routed, Way::Along(0), Way::Back(1)] {
        bridge.send(outgoing(way), NOW).unwrap();
        assert_eq!(outputs(&mut bridge), [(1, there.ethernet(&segment()))], "{way:?}");
    }
    assert_eq!(bridge.send(outgoing(Way::Back(0)), NOW), Err(DropReason::NoRoute), "not seen there");
}

#[test]
fn ports_without_an_interface_take_what_they_get() {
    let mut bridge = Forwarder::new(NetConfig { pairs: vec![(0, 1)], ..NetConfig::default() }).unwrap();
    let datagram = FrameBuilder::new().raw_ip(&segment());
    assert_eq!(send(&mut bridge, datagram.clone(), LinkType::RawIp, Way::Along(0)), [(1, datagram)]);
}

#[test]
fn packets_are_routed_with_the_hops_they_have() {
    let mut router = Forwarder::new(router_config(1500)).unwrap();
    let segment = TcpSegment { dst: (ip("10.0.1.2"), 2).into(), ..segment() };
    let frame = FrameBuilder::new().ethernet(&segment);
    // With whatever link header: the routing table decides.
    assert_eq!(send(&mut router, frame.clone(), LinkType::Ethernet, Way::Along(0)).len(), 1, "asks");
    let reply = super::super::arp::Arp {
        operation: super::super::arp::Operation::Reply,
        sender_mac: mac(0xb),
        sender: [10, 0, 1, 2].into(),
        target_mac: mac(2),
        target: [10, 0, 1, 1].into(),
    };
    assert_eq!(router.forward(&mut reply.frame(mac(2)), Arrival::ethernet(1), NOW), Next::Local);
    let expected = (1, framed(mac(0xb), mac(2), &frame[14..]));
    assert_eq!(outputs(&mut router), core::slice::from_ref(&expected));
    assert_eq!(send(&mut router, frame[14..].to_vec(), LinkType::RawIp, Way::Routed), [expected]);
    // The way back is known.
    assert_eq!(send(&mut router, frame.clone(), LinkType::Ethernet, Way::Back(0)), [(0, frame)]);
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut router = Forwarder::new(router_config(1400)).unwrap();
    let to = |destination: &str, payload: usize| {
        let segment = TcpSegment { dst: (ip(destination), 2).into(), ..segment() };
        FrameBuilder::new().raw_ip(&TcpSegment { payload: &vec![0; payload], ..segment })
    };
    let mut send = |frame| router.send(Outgoing { frame, link: LinkType::RawIp, way: Way::Routed }, NOW);
    assert_eq!(send(to("10.0.1.2", 1361)), Err(DropReason::TooBig));
    assert_eq!(send(to("10.0.1.1", 5)), Err(DropReason::MartianDestination));
    assert_eq!(send(to("224.0.0.1", 5)), Err(DropReason::Multicast));
    assert_eq!(send(to("198.51.100.1", 5)), Err(DropReason::NoRoute));
    assert_eq!(send(vec![0x45; 9]), Err(DropReason::Malformed));
    assert_eq!(send(vec![]), Err(DropReason::NotIp));
    assert_eq!(send(to("10.0.1.2", 1360)), Ok(()));
}
