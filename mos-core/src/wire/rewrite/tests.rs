//! Rewritten fields against the decoder.

use proptest::prelude::*;

use super::*;
use crate::packet::LinkType;
use crate::wire::{FrameBuilder, TcpOptions, TcpSegment, checksum, decode};

fn endpoints(is_v6: bool) -> (SocketAddr, SocketAddr) {
    let (src, dst) =
        if is_v6 { ("[2001:db8::1]:4000", "[2001:db8::2]:80") } else { ("192.0.2.1:4000", "198.51.100.7:80") };
    (src.parse().unwrap(), dst.parse().unwrap())
}

fn decoded(frame: &[u8]) -> Packet {
    decode(frame, frame.len() as u32, LinkType::Ethernet)
}

fn plain(is_v6: bool) -> Vec<u8> {
    let (src, dst) = endpoints(is_v6);
    TcpSegment { flags: TcpFlags::ACK, payload: b"0123456789", ..TcpSegment::new(src, dst) }.to_ethernet()
}

fn is_right(frame: &[u8]) -> bool {
    let packet = decoded(frame);
    let header_ok = packet.ip_version == 6 || checksum::ipv4_header_ok(packet.network_header(frame));
    header_ok && checksum::tcp_ok(&packet, frame) == Some(true)
}

#[test]
fn an_address_of_the_other_version() {
    for is_v6 in [false, true] {
        let mut frame = plain(is_v6);
        let packet = decoded(&frame);
        let (_, dst) = endpoints(!is_v6);
        let rewrite = Rewrite { seq: Some(SeqNum(9)), dst: Some(dst), src_mac: Some([1; 6]), ..Rewrite::default() };
        let error = rewrite.apply(&mut frame, &packet).unwrap_err();
        assert_eq!(error, EditError::Family { address: dst.ip(), version: if is_v6 { 6 } else { 4 } });
        let message = if is_v6 {
            "the IPv4 address 198.51.100.7 cannot stand in an IPv6 packet"
        } else {
            "the IPv6 address 2001:db8::2 cannot stand in an IPv4 packet"
        };
        assert_eq!(error.to_string(), message);
        assert_eq!(frame, plain(is_v6));
    }
}

#[test]
fn hardware_addresses_need_ethernet() {
    let macs = Rewrite { src_mac: Some([1; 6]), dst_mac: Some([2; 6]), ..Rewrite::default() };
    let mut frame = plain(false);
    frame[23] = 50;
    let packet = decoded(&frame);
    macs.apply(&mut frame, &packet).unwrap();
    assert_eq!(frame[..12], [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]);
    let ports = Rewrite { src_port: Some(1), ..Rewrite::default() };
    assert_eq!(ports.apply(&mut frame, &packet), Err(EditError::NoPorts));
    let mut cooked = vec![0; 14];
    cooked.extend([0x81, 0, 0, 7, 8, 0]);
    cooked.extend(&plain(false)[14..]);
    for (link, from) in [(LinkType::LinuxSll, 0), (LinkType::RawIp, 20)] {
        let mut frame = cooked[from..].to_vec();
        let packet = decode(&frame, frame.len() as u32, link);
        assert_eq!(packet.kind, PacketKind::Tcp);
        assert_eq!(macs.apply(&mut frame, &packet), Err(EditError::NotEthernet));
        Rewrite { src_port: Some(1), ..Rewrite::default() }.apply(&mut frame, &packet).unwrap();
        assert_eq!(decode(&frame, frame.len() as u32, link).src_port, 1);
    }
}

#[test]
fn code_points() {
    for is_v6 in [false, true] {
        let mut frame = plain(is_v6);
        // ECN and the flow label are somebody else's.
        frame[15] |= if is_v6 { 0x35 } else { 0x03 };
        let packet = decoded(&frame);
        checksum::fill_ipv4(&mut frame, &packet);
        Rewrite { dscp: Some(46), hop_limit: Some(3), ..Rewrite::default() }.apply(&mut frame, &packet).unwrap();
        let expected: [u8; 2] = if is_v6 { [0x6b, 0xb5] } else { [0x45, 0xbb] };
        assert_eq!((&frame[14..16], frame[if is_v6 { 21 } else { 22 }]), (&expected[..], 3));
        assert!(is_right(&frame));
        let error = Rewrite { dscp: Some(64), ..Rewrite::default() }.apply(&mut frame, &packet).unwrap_err();
        assert_eq!(error.to_string(), "the code point 64 does not fit into 6 bits: at most 63 is allowed");
    }
}

#[test]
fn acknowledgments_are_renumbered_if_they_count() {
    for (flags, expected) in [(TcpFlags::ACK, 8), (TcpFlags::SYN, 5)] {
        let (src, dst) = endpoints(false);
        let mut frame = TcpSegment { flags, ack: SeqNum(5), ..TcpSegment::new(src, dst) }.to_ethernet();
        let packet = decoded(&frame);
        renumber(&mut frame, &packet, SeqNum(7), SeqNum(8), |block| block);
        let packet = decoded(&frame);
        assert_eq!((packet.seq, packet.ack), (SeqNum(7), SeqNum(expected)));
        assert!(is_right(&frame));
    }
}

#[test]
fn sack_blocks_behind_odd_options() {
    let mut options = vec![3, 3, 7, 5, 18];
    options.extend([10u32, 20, u32::MAX, 5].iter().flat_map(|word| word.to_be_bytes()));
    options.extend([5, 3, 9, 1, 5, 10, 0, 0, 0, 1, 0]); // a SACK of the wrong length, and one that is cut
    let (src, dst) = endpoints(true);
    let mut frame = TcpSegment { options: &options, payload: b"x", ..TcpSegment::new(src, dst) }.to_ethernet();
    let packet = decoded(&frame);
    let before = packet.tcp_options(&frame).to_vec();
    renumber(&mut frame, &packet, packet.seq, packet.ack, |[left, right]| [left + 100, right + 200]);
    let after = packet.tcp_options(&frame);
    assert_eq!(*TcpOptions::parse(after).sack, [(SeqNum(110), SeqNum(220)), (SeqNum(99), SeqNum(205))]);
    assert_eq!((&after[..5], &after[21..]), (&before[..5], &before[21..]));
    assert!(is_right(&frame));
    // Cut within the second block: neither is looked at.
    let len = usize::from(packet.transport) + 20 + 5 + 12;
    let mut cut = frame[..len].to_vec();
    let packet = decode(&cut, frame.len() as u32, LinkType::Ethernet);
    renumber(&mut cut, &packet, packet.seq, packet.ack, |_| panic!("not in the frame"));
    assert_eq!(cut, frame[..len]);
}

fn endpoint(is_v6: bool) -> impl Strategy<Value = SocketAddr> {
    any::<([u8; 16], u16)>().prop_map(move |(octets, port)| {
        let v4 = *octets.first_chunk::<4>().unwrap();
        SocketAddr::new(if is_v6 { octets.into() } else { v4.into() }, port)
    })
}

fn any_rewrite(is_v6: bool) -> impl Strategy<Value = Rewrite> {
    let seq = || any::<Option<u32>>().prop_map(|number| number.map(SeqNum));
    let addresses = (prop::option::of(endpoint(is_v6)), prop::option::of(endpoint(is_v6)), any::<[Option<u16>; 2]>());
    let tcp = (seq(), seq(), any::<Option<u16>>(), any::<Option<u8>>());
    let rest = (any::<[Option<[u8; 6]>; 2]>(), any::<Option<u8>>(), prop::option::of(0..=MAX_DSCP));
    (addresses, tcp, rest).prop_map(|((src, dst, ports), (seq, ack, window, flags), (macs, hop_limit, dscp))| {
        let ([src_port, dst_port], [src_mac, dst_mac]) = (ports, macs);
        Rewrite { src, dst, src_port, dst_port, src_mac, dst_mac, seq, ack, window, flags, hop_limit, dscp }
    })
}

prop_compose! {
    fn any_case()(is_v6 in any::<bool>())(
        is_v6 in Just(is_v6), rewrite in any_rewrite(is_v6), payload in prop::collection::vec(any::<u8>(), 0..30),
        options in prop::collection::vec(any::<u8>(), 0..=40), vlans in 0u16..3,
    ) -> (Vec<u8>, Rewrite) {
        let (src, dst) = endpoints(is_v6);
        let segment = TcpSegment { options: &options, payload: &payload, ..TcpSegment::new(src, dst) };
        let builder = (0..vlans).fold(FrameBuilder::new(), FrameBuilder::vlan);
        (builder.ethernet(&segment), rewrite)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_field_is_what_it_was_made((mut frame, rewrite) in any_case(), spoiled: bool) {
        let before = decoded(&frame);
        let field = usize::from(before.transport) + 16;
        // One more than what is right; 0xffff is 0 again.
        frame[field] ^= u8::from(spoiled);
        let old = frame.clone();
        rewrite.apply(&mut frame, &before).unwrap();
        let after = decoded(&frame);
        let endpoint = |new: Option<SocketAddr>, port: Option<u16>, old: SocketAddr| {
            let new = new.unwrap_or(old);
            SocketAddr::new(new.ip(), port.unwrap_or(new.port()))
        };
        let (src, dst) = endpoints(before.ip_version == 6);
        let src = endpoint(rewrite.src, rewrite.src_port, src);
        let dst = endpoint(rewrite.dst, rewrite.dst_port, dst);
        prop_assert_eq!(SocketAddr::new(after.source(&frame), after.src_port), src);
        prop_assert_eq!(SocketAddr::new(after.destination(&frame), after.dst_port), dst);
        prop_assert_eq!(after.seq, rewrite.seq.unwrap_or(before.seq));
        prop_assert_eq!(after.ack, rewrite.ack.unwrap_or(before.ack));
        prop_assert_eq!(after.window, rewrite.window.unwrap_or(before.window));
        prop_assert_eq!(after.tcp_flags, rewrite.flags.unwrap_or(before.tcp_flags));
        prop_assert_eq!(&frame[..6], &rewrite.dst_mac.unwrap_or([2, 0, 0, 0, 0, 2]));
        prop_assert_eq!(&frame[6..12], &rewrite.src_mac.unwrap_or([2, 0, 0, 0, 0, 1]));
        let from = usize::from(before.network);
        let header: [u8; 9] = *frame[from..].first_chunk().unwrap();
        let (class, hops) = if after.ip_version == 4 {
            (header[1], header[8])
        } else {
            (header[0] << 4 | header[1] >> 4, header[7])
        };
        prop_assert_eq!((class >> 2, hops), (rewrite.dscp.unwrap_or(0), rewrite.hop_limit.unwrap_or(64)));
        prop_assert_eq!(&frame[usize::from(after.transport) + 18..], &old[usize::from(before.transport) + 18..]);
        prop_assert_eq!(is_right(&frame), !spoiled);
        prop_assert_eq!(frame.len(), old.len());
        if rewrite == Rewrite::default() {
            prop_assert_eq!(frame, old);
        }
    }

    #[test]
    fn nothing_panics(
        (mut frame, rewrite) in any_case(), (other, _) in any_case(), changes in prop::collection::vec((0usize..90, any::<u8>()), 0..4),
        keep in 0usize..160, mixed: bool, backwards: bool, seq: u32,
    ) {
        let wire_len = frame.len() as u32;
        for (at, byte) in changes {
            if let Some(old) = frame.get_mut(at) {
                *old = byte;
            }
        }
        frame.truncate(keep);
        let mut packet = decode(if mixed { &other } else { &frame }, wire_len, LinkType::Ethernet);
        if backwards {
            packet.transport = packet.network.wrapping_sub(1);
        }
        let before = frame.clone();
        if rewrite.apply(&mut frame, &packet).is_err() {
            prop_assert_eq!(&frame, &before);
        }
        renumber(&mut frame, &packet, SeqNum(seq), SeqNum(seq), |[left, right]| [right, left + seq]);
    }
}
