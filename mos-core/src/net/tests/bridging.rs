//! Two ports that are one wire.

use proptest::prelude::*;

use super::super::arp::{Arp, Operation};
use super::super::{Arrival, DropReason, Forwarder, Interface, MacAddr, NetConfig, Next, SourceMac};
use super::world::*;
use crate::packet::{Checksums, LinkType, Offload};
use crate::time::Timestamp;
use crate::wire::{FrameBuilder, TcpSegment};

const NOW: Timestamp = Timestamp::from_millis(5_000);

/// A bridge between port 0 and port 1, which has the smaller MTU; without addresses.
fn config() -> NetConfig {
    let right = Interface { mtu: 1400, ..Interface::new(mac(2)) };
    NetConfig { interfaces: vec![(0, Interface::new(mac(1))), (1, right)], pairs: vec![(0, 1)], ..NetConfig::default() }
}

fn bridge() -> Forwarder {
    Forwarder::new(config()).unwrap()
}

/// The same with addresses.
fn bridge_with_addresses() -> Forwarder {
    let mut config = config();
    config.interfaces[0].1.ipv4.push(([10, 0, 0, 1].into(), 24));
    config.interfaces[0].1.ipv6.push(("2001:db8::1".parse().unwrap(), 64));
    Forwarder::new(config).unwrap()
}

fn tcp(v6: bool, payload: usize) -> Vec<u8> {
    let (source, destination) =
        if v6 { (ip("2001:db8::2"), ip("2001:db8::3")) } else { (ip("10.0.0.2"), ip("10.0.0.3")) };
    let segment = TcpSegment::new((source, 1).into(), (destination, 2).into());
    FrameBuilder::new().macs(mac(0xa).0, mac(0xb).0).ethernet(&TcpSegment { payload: &vec![0; payload], ..segment })
}

fn forward(bridge: &mut Forwarder, frame: &mut [u8]) -> Next {
    bridge.forward(frame, Arrival::ethernet(0), NOW)
}

#[test]
fn spec_8_3_every_frame_passes_as_it_is() {
    let segment = TcpSegment::new((ip("10.0.0.2"), 1).into(), (ip("10.0.0.3"), 2).into());
    let arp = Arp {
        operation: Operation::Request,
        sender_mac: mac(0xa),
        sender: [10, 0, 0, 2].into(),
        target_mac: MacAddr::UNKNOWN,
        target: [10, 0, 0, 3].into(),
    };
    let mut lldp = vec![0x01, 0x80, 0xc2, 0, 0, 0x0e];
    lldp.extend([2, 0, 0, 0, 0, 0xa, 0x88, 0xcc, 1, 2, 3]);
    let mut multicast = tcp(true, 5);
    multicast[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    let mut expired = tcp(false, 5);
    expired[22] = 0;
    for frame in [
        tcp(false, 5),
        tcp(true, 5),
        FrameBuilder::new().vlan(5).vlan(6).ethernet(&segment),
        arp.frame(MacAddr::BROADCAST),
        lldp,
        multicast,
        expired,
        vec![1, 2, 3],
    ] {
        for mut bridge in [bridge(), bridge_with_addresses()] {
            for (from, to) in [(0, 1), (1, 0)] {
                let mut copy = frame.clone();
                assert_eq!(bridge.forward(&mut copy, Arrival::ethernet(from), NOW), Next::Transmit(to));
                assert_eq!(copy, frame);
            }
            assert_eq!(outputs(&mut bridge), []);
        }
    }
}

#[test]
fn spec_8_3_the_source_may_be_the_port_as_in_mos() {
    let mut bridge = Forwarder::new(NetConfig { source_mac: SourceMac::Replace, ..config() }).unwrap();
    let mut frame = tcp(false, 5);
    assert_eq!(forward(&mut bridge, &mut frame), Next::Transmit(1));
    assert_eq!((&frame[..6], &frame[6..12]), (&mac(0xb).0[..], &mac(2).0[..]));
    assert_eq!(frame[12..], tcp(false, 5)[12..]);
    let mut arp = [&[0xff; 6][..], &mac(0xa).0, &[8, 6], &[0; 28]].concat();
    assert_eq!(forward(&mut bridge, &mut arp), Next::Transmit(1));
    assert_eq!(arp[6..12], mac(0xa).0, "ARP is left alone");
}

#[test]
fn rfc_1191_4_what_is_too_long_is_told_in_the_name_of_the_destination() {
    let mut bridge = bridge();
    let mut frame = tcp(false, 1400);
    assert_eq!(forward(&mut bridge, &mut frame), Next::Drop(DropReason::TooBig));
    let (port, told) = outputs(&mut bridge).pop().unwrap();
    assert_eq!(port, 0);
    assert_eq!((&told[..6], &told[6..12]), (&mac(0xa).0[..], &mac(0xb).0[..]));
    assert_eq!((&told[26..30], &told[30..34]), (&[10, 0, 0, 3][..], &[10, 0, 0, 2][..]));
    assert_eq!((&told[34..36], &told[40..42]), (&[3, 4][..], &[0x05, 0x78][..]));
    assert_eq!(told[42..], frame[14..14 + 548]);
    // The other way the link is wide enough.
    assert_eq!(bridge.forward(&mut frame, Arrival::ethernet(1), NOW), Next::Transmit(0));
}

#[test]
fn rfc_4443_3_2_what_is_too_long_is_told_within_its_vlan() {
    let mut bridge = bridge();
    let segment = TcpSegment::new((ip("2001:db8::2"), 1).into(), (ip("2001:db8::3"), 2).into());
    let builder = FrameBuilder::new().macs(mac(0xa).0, mac(0xb).0).vlan(5);
    let mut frame = builder.ethernet(&TcpSegment { payload: &[0; 1400], ..segment });
    assert_eq!(forward(&mut bridge, &mut frame), Next::Drop(DropReason::TooBig));
    let (_, told) = outputs(&mut bridge).pop().unwrap();
    assert_eq!(told[12..18], [0x81, 0, 0, 5, 0x86, 0xdd]);
    assert_eq!((&told[58..60], &told[62..66]), (&[2, 0][..], &[0, 0, 0x05, 0x78][..]));
    assert_eq!(told.len(), 18 + 1280);
}

#[test]
fn what_is_too_long_is_told_in_the_bridges_own_name_if_it_has_one() {
    let mut bridge = bridge_with_addresses();
    assert_eq!(forward(&mut bridge, &mut tcp(false, 1400)), Next::Drop(DropReason::TooBig));
    let (_, told) = outputs(&mut bridge).pop().unwrap();
    assert_eq!((&told[6..12], &told[26..30]), (&mac(1).0[..], &[10, 0, 0, 1][..]));
}

#[test]
fn rfc_791_what_is_too_long_is_fragmented_if_it_may_be() {
    let mut bridge = bridge();
    let mut frame = tcp(false, 1400);
    frame[20] = 0;
    reseal(&mut frame, 14);
    assert_eq!(forward(&mut bridge, &mut frame), Next::Queued);
    let fragments = outputs(&mut bridge);
    assert_eq!(
        fragments.iter().map(|(port, piece)| (*port, piece.len())).collect::<Vec<_>>(),
        [(1, 14 + 1396), (1, 14 + 64)]
    );
    assert!(fragments.iter().all(|(_, piece)| piece[..14] == frame[..14]));
    // A wrong checksum is not made right.
    frame[24] ^= 1;
    assert_eq!(forward(&mut bridge, &mut frame), Next::Drop(DropReason::BadChecksum));
}

#[test]
fn super_frames_padding_and_tags_are_not_too_long() {
    let mut bridge = bridge();
    let offload = Offload { segment_bytes: 1360, checksums: Checksums::Partial };
    let mut frame = tcp(false, 30_000);
    assert_eq!(bridge.forward(&mut frame, Arrival { offload, ..Arrival::ethernet(0) }, NOW), Next::Transmit(1));
    let mut padded = tcp(false, 1360);
    padded.extend([0; 4]);
    assert_eq!(forward(&mut bridge, &mut padded), Next::Transmit(1));
    let segment = TcpSegment::new((ip("10.0.0.2"), 1).into(), (ip("10.0.0.3"), 2).into());
    let mut tagged = FrameBuilder::new().vlan(5).ethernet(&TcpSegment { payload: &[0; 1360], ..segment });
    assert_eq!(forward(&mut bridge, &mut tagged), Next::Transmit(1));
    let mut other = vec![0; 14 + 1401];
    assert_eq!(forward(&mut bridge, &mut other[..14 + 1400]), Next::Transmit(1));
    assert_eq!(forward(&mut bridge, &mut other), Next::Drop(DropReason::TooBig));
    other[12..14].copy_from_slice(&[0x81, 0]);
    assert_eq!(forward(&mut bridge, &mut other), Next::Transmit(1));
}

#[test]
fn own_addresses_are_spoken_for_at_both_ends() {
    let mut bridge = bridge_with_addresses();
    for (port, number) in [(0, 1), (1, 2)] {
        let arp = Arp {
            operation: Operation::Request,
            sender_mac: mac(0xa),
            sender: [10, 0, 0, 2].into(),
            target_mac: MacAddr::UNKNOWN,
            target: [10, 0, 0, 1].into(),
        };
        let next = bridge.forward(&mut arp.frame(MacAddr::BROADCAST), Arrival::ethernet(port), NOW);
        assert_eq!(next, Next::Local);
        assert_eq!(outputs(&mut bridge), [(port, arp.answer(mac(number)).frame(mac(0xa)))]);
        for (a, b) in [("10.0.0.2", "10.0.0.1"), ("2001:db8::2", "2001:db8::1")] {
            let mut request = framed(mac(number), mac(0xa), &echo_request(a, b, 64, 8));
            assert_eq!(bridge.forward(&mut request, Arrival::ethernet(port), NOW), Next::Local);
            let (out, reply) = outputs(&mut bridge).pop().unwrap();
            assert_eq!((out, &reply[..6], &reply[6..12]), (port, &mac(0xa).0[..], &mac(number).0[..]));
            // To another host, or to the port but for another address, is not for us.
            let mut other = framed(mac(0xb), mac(0xa), &echo_request(a, b, 64, 8));
            assert_eq!(bridge.forward(&mut other, Arrival::ethernet(port), NOW), Next::Transmit(1 - port));
        }
        let mut other = framed(mac(number), mac(0xa), &echo_request("10.0.0.2", "10.0.0.3", 64, 8));
        assert_eq!(bridge.forward(&mut other, Arrival::ethernet(port), NOW), Next::Transmit(1 - port));
    }
}

#[test]
fn nothing_is_bridged_if_it_is_not_to_be() {
    let mut bridge = Forwarder::new(NetConfig { forward: false, ..config() }).unwrap();
    assert_eq!(forward(&mut bridge, &mut tcp(false, 5)), Next::Drop(DropReason::ForwardingOff));
    let arrival = Arrival { link: LinkType::RawIp, ..Arrival::ethernet(0) };
    assert_eq!(bridge.forward(&mut [0x45], arrival, NOW), Next::Drop(DropReason::ForwardingOff));
}

proptest! {
    #[test]
    fn what_fits_is_never_changed(frame in prop::collection::vec(any::<u8>(), 0..200), link in 0usize..5) {
        let links = [LinkType::Ethernet, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::RawIp, LinkType::Null];
        let mut bridge = bridge();
        let mut copy = frame.clone();
        let arrival = Arrival { link: links[link], ..Arrival::ethernet(1) };
        prop_assert_eq!(bridge.forward(&mut copy, arrival, NOW), Next::Transmit(0));
        prop_assert_eq!(copy, frame);
        prop_assert!(bridge.poll_output().is_none());
    }
}
