//! The decoder against built, mutilated and captured frames.

pub(super) mod captures;

use core::net::SocketAddr;
use proptest::prelude::*;

use super::decode::decode_any;
use super::*;
use crate::packet::LinkType;
use crate::time::Timestamp;

const LINKS: [LinkType; 5] =
    [LinkType::Ethernet, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::RawIp, LinkType::Null];

fn v4() -> (SocketAddr, SocketAddr) {
    ("192.0.2.1:4000".parse().unwrap(), "198.51.100.7:80".parse().unwrap())
}

fn v6() -> (SocketAddr, SocketAddr) {
    ("[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:80".parse().unwrap())
}

fn segment((src, dst): (SocketAddr, SocketAddr)) -> TcpSegment<'static> {
    TcpSegment { flags: TcpFlags::ACK, payload: b"0123456789", ..TcpSegment::new(src, dst) }
}

fn whole(frame: &[u8]) -> Packet {
    decode(frame, frame.len() as u32, LinkType::Ethernet)
}

fn reason(frame: &[u8], wire_len: usize) -> Option<Undecoded> {
    match decode(frame, wire_len as u32, LinkType::Ethernet).kind {
        PacketKind::Undecoded(reason) => Some(reason),
        _ => None,
    }
}

/// An IPv6 datagram with the given extension headers, `(protocol, bytes after the next-header byte)`, before its TCP.
fn with_extensions(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let plain = segment(v6()).to_raw_ip();
    let mut datagram = plain[..40].to_vec();
    let following = extensions.iter().map(|&(protocol, _)| protocol).skip(1).chain([6]);
    datagram[6] = extensions.first().map_or(6, |&(protocol, _)| protocol);
    for (&(_, bytes), next) in extensions.iter().zip(following) {
        datagram.push(next);
        datagram.extend(bytes);
    }
    datagram.extend(&plain[40..]);
    let len = (datagram.len() - 40) as u16;
    datagram[4..6].copy_from_slice(&len.to_be_bytes());
    datagram
}

/// An extension header of 8 bytes that says nothing.
const EMPTY: &[u8] = &[0, 1, 4, 0, 0, 0, 0];

#[test]
fn padding_is_not_payload() {
    let mut frame = TcpSegment { payload: b"", ..segment(v4()) }.to_ethernet();
    frame.resize(60, 0);
    assert_eq!((whole(&frame).kind, whole(&frame).payload_len), (PacketKind::Tcp, 0));
}

#[test]
fn length_zero_reaches_to_the_end_of_the_frame() {
    let payload = vec![7; 100_000];
    for addresses in [v4(), v6()] {
        let frame = TcpSegment { payload: &payload, ..segment(addresses) }.to_ethernet();
        let packet = whole(&frame);
        assert_eq!((packet.kind, packet.payload_len, packet.payload_captured), (PacketKind::Tcp, 100_000, 100_000));
        let packet = decode(&frame[..1000], frame.len() as u32, LinkType::Ethernet);
        assert_eq!(packet.payload_len, 100_000);
        assert_eq!(packet.payload(&frame[..1000]).len(), 1000 - usize::from(packet.payload));
    }
}

#[test]
fn d14_a_length_beyond_the_wire_is_malformed() {
    for addresses in [v4(), v6()] {
        let frame = segment(addresses).to_ethernet();
        let cut = frame.len() - 1;
        assert_eq!(reason(&frame[..cut], cut), Some(Undecoded::LengthExceedsWire));
        // Cut by the snap length it is fine.
        let packet = decode(&frame[..cut], frame.len() as u32, LinkType::Ethernet);
        assert_eq!((packet.kind, packet.payload_len, packet.payload_captured), (PacketKind::Tcp, 10, 9));
        assert_eq!(packet.payload(&frame[..cut]), b"012345678");
    }
}

#[test]
fn broken_ipv4_headers() {
    let good = segment(v4()).to_ethernet();
    let with = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        reason(&frame, frame.len())
    };
    assert_eq!(with(14, 0x55), Some(Undecoded::Ipv4BadVersion));
    assert_eq!(with(14, 0x44), Some(Undecoded::Ipv4BadIhl));
    assert_eq!(with(17, 19), Some(Undecoded::Ipv4LengthBelowHeader));
    assert_eq!(with(17, 39), Some(Undecoded::TcpHeaderTooShort));
    assert_eq!(with(46, 0x40), Some(Undecoded::TcpBadDataOffset));
    assert_eq!(with(46, 0xf0), Some(Undecoded::TcpBadDataOffset));
    assert_eq!(reason(&good[..33], 33), Some(Undecoded::Ipv4HeaderTooShort));
    assert_eq!(reason(&good[..33], good.len()), Some(Undecoded::IpHeaderCut));
    assert_eq!(reason(&good[..53], good.len()), Some(Undecoded::TcpHeaderCut));
}

#[test]
fn fragments_are_named_before_their_content_is_looked_at() {
    let mut frame = segment(v4()).to_ethernet();
    for flags_and_offset in [[0x20, 0], [0x20, 1], [0, 1]] {
        frame[20..22].copy_from_slice(&flags_and_offset);
        let packet = whole(&frame);
        assert_eq!((packet.kind, packet.protocol, packet.payload_len), (PacketKind::Fragment, 6, 30));
        assert_eq!((packet.src_port, packet.transport), (0, 34));
    }
}

#[test]
fn options_cut_by_the_snap_length() {
    let options = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    let frame = TcpSegment { options: &options, ..segment(v4()) }.to_ethernet();
    assert!(whole(&frame).has_timestamps);
    let packet = decode(&frame[..60], frame.len() as u32, LinkType::Ethernet);
    assert_eq!((packet.kind, packet.has_timestamps), (PacketKind::Tcp, false));
    assert_eq!((packet.payload, packet.payload_len, packet.payload_captured), (60, 10, 0));
    assert_eq!(packet.tcp_options(&frame[..60]), &options[..6]);
}

#[test]
fn ipv6_extension_headers() {
    const ATOMIC: &[u8] = &[0, 0, 0, 0, 0, 0, 9];
    const AUTHENTICATION: &[u8] = &[2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
    const ROUTE: &[u8] = &[0, 0, 0, 0, 0, 0, 0];
    let chain = [(0, EMPTY), (60, EMPTY), (43, ROUTE), (44, ATOMIC), (51, AUTHENTICATION), (60, EMPTY)];
    let datagram = with_extensions(&chain);
    let packet = decode_ip(&datagram, datagram.len() as u32);
    assert_eq!((packet.kind, packet.transport), (PacketKind::Tcp, 40 + 5 * 8 + 16));
    assert_eq!(packet.payload(&datagram), b"0123456789");
    assert_eq!(checksum::tcp_ok(&packet, &datagram), Some(true));

    let kind = |extensions: &[(u8, &[u8])]| {
        let datagram = with_extensions(extensions);
        decode_ip(&datagram, datagram.len() as u32).kind
    };
    let undecoded = PacketKind::Undecoded;
    assert_eq!(kind(&[(60, EMPTY), (0, EMPTY)]), undecoded(Undecoded::Ipv6BadExtension), "hop-by-hop comes first");
    assert_eq!(kind(&[(60, &[200, 0, 0, 0, 0, 0, 0])]), undecoded(Undecoded::Ipv6BadExtension), "past the end");
    assert_eq!(kind(&[(60, EMPTY); 8]), PacketKind::Tcp);
    assert_eq!(kind(&[(60, EMPTY); 9]), undecoded(Undecoded::TooManyHeaders));
    assert_eq!(kind(&[(44, &[0, 0, 1, 0, 0, 0, 9])]), PacketKind::Fragment);
    assert_eq!(kind(&[(44, &[0, 0, 8, 0, 0, 0, 9])]), PacketKind::Fragment);
    assert_eq!(kind(&[(50, EMPTY)]), PacketKind::OtherIp, "encrypted");

    let pending_route: &[u8] = &[0, 0, 1, 0, 0, 0, 0];
    let datagram = with_extensions(&[(43, pending_route)]);
    let packet = decode_ip(&datagram, datagram.len() as u32);
    assert_eq!(checksum::tcp_ok(&packet, &datagram), None, "its final destination is elsewhere");
}

#[test]
fn an_extension_header_cut_by_the_snap_length() {
    let datagram = with_extensions(&[(60, EMPTY)]);
    let packet = decode_ip(&datagram[..44], datagram.len() as u32);
    assert_eq!(packet.kind, PacketKind::Undecoded(Undecoded::IpHeaderCut));
}

#[test]
fn ipv4_options_are_skipped() {
    let mut frame = segment(v4()).to_ethernet();
    frame.splice(34..34, [1; 40]);
    frame[14] = 0x4f;
    frame[17] += 40;
    let packet = whole(&frame);
    assert_eq!((packet.kind, packet.transport, packet.src_port), (PacketKind::Tcp, 74, 4000));
    assert_eq!(packet.payload(&frame), b"0123456789");
    assert!(checksum::fill_ipv4(&mut frame, &packet));
    assert!(checksum::ipv4_header_ok(packet.network_header(&frame)));
    assert_eq!(checksum::tcp_ok(&packet, &frame), Some(true));
}

#[test]
fn authentication_in_ipv4() {
    let plain = segment(v4()).to_raw_ip();
    let mut datagram = plain[..20].to_vec();
    datagram.extend([6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    datagram.extend(&plain[20..]);
    datagram[3] += 12;
    datagram[9] = 51;
    let packet = decode_ip(&datagram, datagram.len() as u32);
    assert_eq!((packet.kind, packet.protocol, packet.transport), (PacketKind::Tcp, 6, 32));
    datagram[21] = 200;
    let packet = decode_ip(&datagram, datagram.len() as u32);
    assert_eq!(packet.kind, PacketKind::Undecoded(Undecoded::Ipv4BadAuthentication));
}

#[test]
fn jumbograms() {
    let payload = vec![7; 70_000];
    let mut datagram = TcpSegment { payload: &payload, ..segment(v6()) }.to_raw_ip();
    let len = (datagram.len() - 40 + 8) as u32;
    let mut hop_by_hop = vec![6, 0, 0xc2, 4];
    hop_by_hop.extend(len.to_be_bytes());
    datagram[6] = 0;
    datagram.splice(40..40, hop_by_hop);
    let end = datagram.len();
    datagram.extend([0; 50]); // a trailer, which without the option would be payload
    let packet = decode_ip(&datagram, datagram.len() as u32);
    assert_eq!((packet.kind, packet.payload_len), (PacketKind::Tcp, 70_000));
    let packet = decode_ip(&datagram[..end - 1], end as u32 - 1);
    assert_eq!(packet.kind, PacketKind::Undecoded(Undecoded::LengthExceedsWire));
}

#[test]
fn d15_tunnels_are_named() {
    let mut frame = segment(v4()).to_ethernet();
    let mut tunnel = |protocol: u8, port: u16| {
        frame[23] = protocol;
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        let packet = whole(&frame);
        assert_eq!((packet.kind, packet.payload_len), (PacketKind::OtherIp, 30));
        packet.tunnel()
    };
    assert_eq!(tunnel(47, 0), Some(Tunnel::Gre));
    assert_eq!(tunnel(4, 0), Some(Tunnel::IpInIp));
    assert_eq!(tunnel(41, 0), Some(Tunnel::Ipv6InIp));
    assert_eq!(tunnel(17, 4789), Some(Tunnel::Vxlan));
    assert_eq!(tunnel(17, 2152), Some(Tunnel::GtpU));
    assert_eq!(tunnel(17, 53), None);
    assert_eq!(tunnel(132, 4789), None);
    assert_eq!(whole(&segment(v4()).to_ethernet()).tunnel(), None);
}

/// Everything that may be done with a packet, to see that none of it panics.
fn exercise(frame: &[u8], wire_len: u32, link: LinkType) -> Result<(), TestCaseError> {
    let packet = decode(frame, wire_len, link);
    prop_assert_eq!(packet, decode_any(frame, wire_len, link), "both ways give the same");
    prop_assert!(packet.network <= packet.transport && packet.transport <= packet.payload);
    prop_assert!(packet.payload_captured <= packet.payload_len);
    prop_assert!(packet.payload_range().end <= frame.len());
    prop_assert_eq!(packet.payload(frame).len(), packet.payload_captured as usize);
    prop_assert!(packet.ip_version != 0 || matches!(packet.kind, PacketKind::Undecoded(_)));
    let _ = (packet.source(frame), packet.destination(frame), packet.tunnel());
    if packet.kind == PacketKind::Tcp && packet.has_timestamps {
        let timestamps = TcpOptions::parse(packet.tcp_options(frame)).timestamps;
        prop_assert_eq!(timestamps, Some((packet.ts_val, packet.ts_ecr)));
    }
    let mut copy = frame.to_vec();
    if checksum::fill_ipv4(&mut copy, &packet) {
        prop_assert!(checksum::ipv4_header_ok(packet.network_header(&copy)));
    }
    if checksum::fill_tcp(&mut copy, &packet) {
        prop_assert_eq!(checksum::tcp_ok(&packet, &copy), Some(true));
    }
    // A packet that is used with another frame gives nonsense, but gives it.
    for other in [frame.get(..frame.len() / 2).unwrap_or_default(), &[]] {
        let _ = (packet.source(other), packet.payload(other), checksum::tcp_ok(&packet, other));
        let _ = Defragmenter::default().insert(&packet, other, Timestamp::ZERO);
    }
    let _ = Defragmenter::default().insert(&packet, frame, Timestamp::ZERO);
    Ok(())
}

fn any_options() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![]),
        any::<[u8; 8]>().prop_map(|data| [&[1, 1, 8, 10], &data[..]].concat()),
        prop::collection::vec(any::<u8>(), 0..=40),
    ]
}

prop_compose! {
    /// A frame with all that a segment can have, and how many VLAN tags it got.
    fn any_frame()(
        is_v6: bool, vlans in prop::collection::vec(0u16..4096, 0..=2), seq: u32, ack: u32, flags: u8, window: u16,
        options in any_options(), payload in prop::collection::vec(any::<u8>(), 0..80),
    ) -> (Vec<u8>, usize) {
        let (src, dst) = if is_v6 { v6() } else { v4() };
        let (seq, ack) = (SeqNum(seq), SeqNum(ack));
        let segment = TcpSegment { src, dst, seq, ack, flags, window, options: &options, payload: &payload };
        let builder = vlans.iter().fold(FrameBuilder::new(), |builder, &id| builder.vlan(id));
        (builder.ethernet(&segment), vlans.len())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn survives_any_bytes(frame in prop::collection::vec(any::<u8>(), 0..200), wire_len: u32, link in 0usize..5) {
        exercise(&frame, wire_len, LINKS[link])?;
        exercise(&frame, frame.len() as u32, LINKS[link])?;
    }

    /// Random bytes rarely get past the first header: these frames are right but for a few bytes and their length.
    #[test]
    fn survives_mutilated_frames(
        (mut frame, tags) in any_frame(),
        changes in prop::collection::vec((0usize..80, any::<u8>()), 0..3),
        bit in prop::option::of(0usize..80 * 8),
        keep in prop_oneof![3 => Just(usize::MAX), 1 => 0usize..120],
        wire_len in prop_oneof![2 => Just(None), 1 => any::<u32>().prop_map(Some), 1 => (0u32..200).prop_map(Some)],
    ) {
        let wire_len = wire_len.unwrap_or(frame.len() as u32);
        for (at, byte) in changes {
            if let Some(old) = frame.get_mut(at) {
                *old = byte;
            }
        }
        // A single bit changes a flag or a field that a random byte would most likely break.
        if let Some((bit, byte)) = bit.and_then(|bit| Some((bit, frame.get_mut(bit / 8)?))) {
            *byte ^= 1 << (bit % 8);
        }
        frame.truncate(keep);
        exercise(&frame, wire_len, LinkType::Ethernet)?;
        if let Some(datagram) = frame.get(14 + 4 * tags..) {
            exercise(datagram, wire_len, LinkType::RawIp)?;
        }
    }

    #[test]
    fn survives_chains_of_extension_headers(
        chain in prop::collection::vec(
            (prop::sample::select(vec![0u8, 43, 44, 51, 60]), any::<[u8; 7]>(), prop_oneof![Just(0u8), Just(1), any::<u8>()]),
            0..12,
        ),
        keep in prop_oneof![3 => Just(usize::MAX), 1 => 0usize..150],
        no_length: bool,
    ) {
        let chain: Vec<_> = chain.into_iter().map(|(protocol, bytes, length)| {
            let mut bytes = bytes.to_vec();
            bytes[0] = length;
            bytes.resize(7 + 8 * usize::from(length % 4), 1);
            (protocol, bytes)
        }).collect();
        let chain: Vec<_> = chain.iter().map(|(protocol, bytes)| (*protocol, &bytes[..])).collect();
        let mut datagram = with_extensions(&chain);
        let wire_len = datagram.len() as u32;
        if no_length {
            datagram[4..6].fill(0);
        }
        datagram.truncate(keep);
        exercise(&datagram, wire_len, LinkType::RawIp)?;
    }

    #[test]
    fn what_is_built_is_read_back(
        is_v6: bool, vlans in prop::collection::vec(0u16..4096, 0..=4), ports: (u16, u16), seq: u32, ack: u32, flags: u8,
        window: u16, options in any_options(), payload in prop::collection::vec(any::<u8>(), 0..2000), padding in 0usize..8,
    ) {
        let (mut src, mut dst) = if is_v6 { v6() } else { v4() };
        src.set_port(ports.0);
        dst.set_port(ports.1);
        let (seq, ack) = (SeqNum(seq), SeqNum(ack));
        let segment = TcpSegment { src, dst, seq, ack, flags, window, options: &options, payload: &payload };
        let builder = vlans.iter().fold(FrameBuilder::new(), |builder, &id| builder.vlan(id));
        let mut frame = builder.ethernet(&segment);
        frame.resize(frame.len() + padding, 0xff);

        let packet = whole(&frame);
        prop_assert_eq!(packet.kind, PacketKind::Tcp);
        prop_assert_eq!(packet.vlan, vlans.last().copied().unwrap_or(NO_VLAN));
        prop_assert_eq!(SocketAddr::new(packet.source(&frame), packet.src_port), src);
        prop_assert_eq!(SocketAddr::new(packet.destination(&frame), packet.dst_port), dst);
        prop_assert_eq!((packet.seq, packet.ack, packet.tcp_flags, packet.window), (seq, ack, flags, window));
        prop_assert_eq!(packet.payload(&frame), &payload[..]);
        let mut padded = options.clone();
        padded.resize(options.len().next_multiple_of(4), 0);
        prop_assert_eq!(packet.tcp_options(&frame), &padded[..]);
        prop_assert_eq!(packet.has_timestamps, TcpOptions::parse(&options).timestamps.is_some());
        prop_assert_eq!(checksum::tcp_ok(&packet, &frame), Some(true));
        prop_assert_eq!(checksum::ipv4_header_ok(packet.network_header(&frame)), !is_v6);
    }
}
