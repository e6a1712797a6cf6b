//! Links, tunnels and versions (D15): what is decoded, what names a flow, and what is only counted.

use mos_core::config::Config;
use mos_core::packet::LinkType;
use mos_core::wire::{FrameBuilder, TcpSegment, Tunnel, Undecoded, decode};
use mos_monitor::{Core, Event, Monitor, RawMonitor, Side};

use crate::support::talk::Talk;
use crate::support::{Frame, batch, core_with, feed, finish, replay};

/// A frame with untagged Ethernet around it.
pub(super) fn ethernet(ether_type: u16, inside: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &ether_type.to_be_bytes()[..], inside].concat()
}

/// An IPv4 packet from 10.1.0.9 to 10.2.0.8, its header checksum right.
pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let [high, low] = total.to_be_bytes();
    let mut header = [0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 1, 0, 9, 10, 2, 0, 8];
    let sum = mos_core::wire::checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, payload].concat()
}

/// An IPv4 packet with UDP, which has no checksum.
pub(super) fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    let header = [src, dst, len, 0].map(u16::to_be_bytes).concat();
    ipv4(17, &[&header, payload].concat())
}

fn on_ethernet(bytes: Vec<u8>) -> Frame {
    Frame { wire_len: bytes.len() as u32, bytes, time: Talk::new(0).time, link: LinkType::Ethernet }
}

/// The frame with these VLAN tags around it.
fn tagged(frame: &Frame, vlans: &[u16]) -> Frame {
    let packet = decode(&frame.bytes, frame.wire_len, frame.link);
    let segment = TcpSegment {
        seq: packet.seq,
        ack: packet.ack,
        flags: packet.tcp_flags,
        payload: packet.payload(&frame.bytes),
        ..TcpSegment::new(
            (packet.source(&frame.bytes), packet.src_port).into(),
            (packet.destination(&frame.bytes), packet.dst_port).into(),
        )
    };
    let builder = vlans.iter().fold(FrameBuilder::new(), |builder, id| builder.vlan(*id));
    Frame { time: frame.time, ..on_ethernet(builder.ethernet(&segment)) }
}

/// The id is no part of a flow's name: a flow may change it half way, or carry another one on the way back.
#[test]
fn d15_the_vlan_id_does_not_name_a_flow() {
    let tags: [&[u16]; 4] = [&[], &[7], &[100, 7], &[9]];
    let frames: Vec<_> = Talk::new(1)
        .whole(b"question", b"answer")
        .iter()
        .enumerate()
        .map(|(at, frame)| tagged(frame, tags[at % 4]))
        .collect();
    let replay = replay(&Config::default(), crate::support::recorder(), &frames, 64);
    assert_eq!((replay.stats.flows, replay.stats.orphans), (1, 0));
    let [client, server] = &replay.log.flows[0].streams;
    assert_eq!((&client.bytes[..], &server.bytes[..]), (&b"answer"[..], &b"question"[..]));
}

/// With `vlan_tracking` it is: the same endpoints in two VLANs are two flows.
#[test]
fn d15_with_vlan_tracking_it_does() {
    for (vlan_tracking, flows) in [(false, 1), (true, 3)] {
        let mut frames = Vec::new();
        let talks = [&[][..], &[7], &[9]].map(|tags| (Talk::new(1).whole(b"question", b"answer"), tags));
        for at in 0..8 {
            for (talk, tags) in &talks {
                frames.push(tagged(&talk[at], tags));
            }
        }
        let config = Config { vlan_tracking, ..Config::default() };
        let replay = replay(&config, crate::support::recorder(), &frames, 64);
        assert_eq!(replay.stats.flows, flows, "vlan_tracking = {vlan_tracking}");
        for flow in &replay.log.flows {
            let [client, server] = &flow.streams;
            assert_eq!((&client.bytes[..], &server.bytes[..]), (&b"answer"[..], &b"question"[..]));
        }
    }
}

/// IPv6 as IPv4, with and without tags; an IPv4-mapped address is not the IPv4 one.
#[test]
fn d15_ipv6_is_like_ipv4() {
    let ends = [
        ("[2001:db8::1]:4000", "[2001:db8::2]:80"),
        ("[::ffff:10.0.0.1]:4000", "[::ffff:10.0.0.2]:80"),
        ("10.0.0.1:4000", "10.0.0.2:80"),
    ];
    for tags in [&[][..], &[7], &[100, 7]] {
        let mut frames = Vec::new();
        let talks =
            ends.map(|(a, b)| Talk::between(a.parse().unwrap(), b.parse().unwrap(), 5).whole(b"question", b"answer"));
        for at in 0..8 {
            frames.extend(talks.iter().take(2).map(|talk| tagged(&talk[at], tags)));
        }
        let v4: Vec<_> = talks[2].iter().map(|frame| tagged(frame, tags)).collect();
        for (frames, flows) in [(frames, 2), (v4, 1)] {
            let replay = replay(&Config::default(), crate::support::recorder(), &frames, 64);
            assert_eq!((replay.stats.flows, replay.stats.orphans), (flows, 0));
            for flow in &replay.log.flows {
                assert_eq!(flow.streams[1].bytes, b"question");
            }
        }
    }
}

/// Tunnels are not opened: their packets count by kind, are orphans and raw packets as what they are outside, and go on
/// as they came. So do frames that are no IP.
#[test]
fn d15_what_is_only_counted_goes_on_as_it_came() {
    let mut talk = Talk::new(1);
    let inner = talk.syn().bytes;
    let gre = [&[0, 0, 8, 0][..], &inner].concat();
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0800, &inner)].concat();
    let gtp = [&[0x30, 0xff, 0, inner.len() as u8, 0, 0, 0, 1][..], &inner].concat();
    let tunnels = [
        (Tunnel::Gre, ipv4(47, &gre)),
        (Tunnel::IpInIp, ipv4(4, &inner)),
        (Tunnel::Ipv6InIp, ipv4(41, &[0x60; 40])),
        (Tunnel::Vxlan, udp(5000, 4789, &vxlan)),
        (Tunnel::GtpU, udp(2152, 2152, &gtp)),
    ];
    let mpls = [&[0, 1, 1, 64][..], &inner].concat();
    let pppoe = [&[0x11, 0, 0, 1, 0, inner.len() as u8 + 2, 0, 0x21][..], &inner].concat();
    let others = [
        (Undecoded::Mpls, ethernet(0x8847, &mpls)),
        (Undecoded::PppoeSession, ethernet(0x8864, &pppoe)),
        (Undecoded::PppoeDiscovery, ethernet(0x8863, &[0; 46])),
        (Undecoded::Arp, ethernet(0x0806, &[0; 46])),
        (Undecoded::Llc, ethernet(46, &[0x42; 46])),
        (Undecoded::UnknownEtherType, ethernet(0x88cc, &[0; 46])),
    ];
    let mut frames: Vec<_> = tunnels.iter().map(|(_, bytes)| on_ethernet(ethernet(0x0800, bytes))).collect();
    frames.extend(others.iter().map(|(_, bytes)| on_ethernet(bytes.clone())));
    let monitor = Monitor::<u32, ()>::new("stream", 0).on_snd(Event::PktIn, |_| panic!("no flow")).on_orphan(|cx| {
        assert!(cx.last_packet().tcp.is_empty());
        *cx.state += 1;
    });
    let (mut core, stream) = core_with(Config::default(), monitor);
    let raw = core.open_raw(RawMonitor::new("raw", 0_u32).on_packet(|cx| *cx.state += 1)).unwrap();
    assert_all_go_on(&mut core, &frames);
    let stats = core.stats();
    assert_eq!(stats.tunnels, [1; Tunnel::COUNT]);
    for (reason, _) in &others {
        assert_eq!(stats.undecoded[reason.index()], 1, "{reason}");
    }
    assert_eq!((stats.undecoded.iter().sum::<u64>(), stats.flows, core.panics()), (6, 0, 0));
    assert_eq!((core.state::<u32>(stream), core.state::<u32>(raw)), (Some(&5), Some(&5)));
    // The flow outside a tunnel has nothing to do with it.
    let ack = talk.ack(Side::Client);
    feed(&mut core, &mut batch(&[ack]), 1);
    assert_eq!(core.stats().flows, 0);
    finish(&mut core);
}

fn assert_all_go_on(core: &mut Core, frames: &[Frame]) {
    let mut batch = batch(frames);
    let mut burst = batch.burst(0..frames.len());
    core.process(&mut burst);
    for (at, frame) in frames.iter().enumerate() {
        assert_eq!(core.stack().forwarded(at, &burst), Some(&frame.bytes[..]), "frame {at}");
    }
}
