//! Edits against the decoder and against sums taken anew.

mod random;

use core::net::SocketAddr;

use super::*;
use crate::packet::LinkType;
use crate::wire::{TcpFlags, TcpSegment, checksum, decode, u16_at};

/// No limit.
const ANY_LEN: usize = usize::MAX;

/// An empty extension header of 8 bytes, but for the first, which names what follows.
const EMPTY: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];

fn endpoints(is_v6: bool) -> (SocketAddr, SocketAddr) {
    let (src, dst) =
        if is_v6 { ("[2001:db8::1]:4000", "[2001:db8::2]:80") } else { ("192.0.2.1:4000", "198.51.100.7:80") };
    (src.parse().unwrap(), dst.parse().unwrap())
}

fn decoded(frame: &[u8]) -> Packet {
    decode(frame, frame.len() as u32, LinkType::Ethernet)
}

/// A frame with a payload of ten bytes and options of four.
fn plain(is_v6: bool) -> Vec<u8> {
    let (src, dst) = endpoints(is_v6);
    TcpSegment { options: &[1, 1, 1, 0], payload: b"0123456789", ..TcpSegment::new(src, dst) }.to_ethernet()
}

/// Adds IPv4 options or IPv6 extension headers, `words` of 4 or 8 bytes.
fn lengthen(frame: &mut Vec<u8>, words: usize) {
    let packet = decoded(frame);
    let (network, transport) = (usize::from(packet.network), usize::from(packet.transport));
    if packet.ip_version == 4 {
        frame.splice(transport..transport, vec![1; 4 * words]);
        frame[network] += words as u8;
        frame[network + 3] = (frame.len() - network) as u8;
        frame[network + 2] = ((frame.len() - network) >> 8) as u8;
    } else if words > 0 {
        let headers = (0..words).flat_map(|index| {
            let next = if index + 1 == words { 6 } else { 60 };
            [next].into_iter().chain(EMPTY)
        });
        frame.splice(transport..transport, headers.collect::<Vec<_>>());
        frame[network + 6] = 60;
        let len = (frame.len() - network - 40) as u16;
        frame[network + 4..network + 6].copy_from_slice(&len.to_be_bytes());
    }
    let packet = decoded(frame);
    checksum::fill_ipv4(frame, &packet);
    assert!(checksum::fill_tcp(frame, &packet));
}

fn is_right(frame: &[u8]) -> bool {
    let packet = decoded(frame);
    let header_ok = packet.ip_version == 6 || checksum::ipv4_header_ok(packet.network_header(frame));
    header_ok && checksum::tcp_ok(&packet, frame) == Some(true)
}

#[test]
fn chomps_and_inserts() {
    for is_v6 in [false, true] {
        let mut frame = plain(is_v6);
        frame.resize(frame.len() + 5, 0xee);
        let packet = decoded(&frame);
        splice(&mut frame, 0, &packet, Layer::Payload, 3, 0, b"abc", Checksums::Incremental, 1500).unwrap();
        let packet = decoded(&frame);
        assert_eq!(packet.payload(&frame), b"012abc3456789");
        assert_eq!(packet.payload_range().end, frame.len(), "the padding is gone");
        assert!(is_right(&frame));
        splice(&mut frame, 0, &packet, Layer::Payload, 0, 13, &[], Checksums::Incremental, 1500).unwrap();
        let packet = decoded(&frame);
        assert_eq!((packet.payload_len, packet.payload_range().end), (0, frame.len()));
        splice(&mut frame, 0, &packet, Layer::Payload, 0, 0, b"x", Checksums::Incremental, 1500).unwrap();
        assert_eq!(decoded(&frame).payload(&frame), b"x");
        assert!(is_right(&frame));
    }
}

#[test]
fn the_frame_is_the_tail_of_the_buffer() {
    let mut buffer = b"earlier frames".to_vec();
    let start = buffer.len();
    buffer.extend(plain(false));
    let packet = decoded(&buffer[start..]);
    splice(&mut buffer, start, &packet, Layer::Payload, 1, 8, &[], Checksums::Incremental, 1500).unwrap();
    assert_eq!(&buffer[..start], b"earlier frames");
    assert_eq!(packet.payload(&buffer[start..]).len(), 0, "the old packet reaches beyond the end");
    assert_eq!(decoded(&buffer[start..]).payload(&buffer[start..]), b"09");
    let end = buffer.len() + 1;
    let error = splice(&mut buffer, end, &packet, Layer::Payload, 0, 1, &[], Checksums::Keep, 1500);
    assert_eq!(error, Err(EditError::NoLayer { layer: Layer::Payload }));
}

#[test]
fn options_come_and_go() {
    let mut frame = plain(false);
    let packet = decoded(&frame);
    splice(&mut frame, 0, &packet, Layer::Tcp, 20, 4, &[2, 4, 5, 0xb4, 3, 3, 7, 0], Checksums::Incremental, 1500)
        .unwrap();
    let packet = decoded(&frame);
    assert_eq!(packet.tcp_options(&frame), [2, 4, 5, 0xb4, 3, 3, 7, 0]);
    splice(&mut frame, 0, &packet, Layer::Ip, 20, 0, &[0x94, 4, 0, 0], Checksums::Incremental, 1500).unwrap();
    let packet = decoded(&frame);
    assert_eq!(packet.network_header(&frame)[20..], [0x94, 4, 0, 0]);
    assert_eq!(packet.payload(&frame), b"0123456789");
    assert!(is_right(&frame));
    splice(&mut frame, 0, &packet, Layer::Ip, 20, 4, &[], Checksums::Full, 1500).unwrap();
    let packet = decoded(&frame);
    splice(&mut frame, 0, &packet, Layer::Tcp, 20, 8, &[], Checksums::Full, 1500).unwrap();
    assert_eq!(frame.len(), plain(false).len() - 4);
    assert!(is_right(&frame));
}

#[test]
fn what_cannot_be_is_refused() {
    let check = |layer, offset, removed, inserted: &[u8], expected, message: &str| {
        let mut frame = plain(false);
        let packet = decoded(&frame);
        let error = splice(&mut frame, 0, &packet, layer, offset, removed, inserted, Checksums::Incremental, 60);
        assert_eq!(error, Err(expected));
        assert_eq!(expected.to_string(), message);
        assert_eq!(frame, plain(false));
    };
    let (offset, len) = (8, 3);
    check(
        Layer::Payload,
        offset,
        len,
        b"xyz",
        EditError::OutOfBounds { layer: Layer::Payload, offset, len, layer_len: 10 },
        "3 bytes at offset 8 are out of bounds: the payload has 10",
    );
    for (layer, offset) in [(Layer::Ethernet, 12), (Layer::Ip, 0), (Layer::Tcp, 19)] {
        let message = format!(
            "the length of the {layer} cannot change at offset {offset}: that of IPv4 and TCP options and payload can"
        );
        check(layer, offset, 0, &[1; 4], EditError::FixedLength { layer, offset }, &message);
    }
    let message = "the TCP header would have 26 bytes: a multiple of 4 from 20 to 60 is allowed";
    check(Layer::Tcp, 20, 0, &[1, 1], EditError::HeaderLength { layer: Layer::Tcp, len: 26 }, message);
    let message = "the IP header would have 64 bytes: a multiple of 4 from 20 to 60 is allowed";
    check(Layer::Ip, 20, 0, &[1; 44], EditError::HeaderLength { layer: Layer::Ip, len: 64 }, message);
    let message = "the IP packet would have 61 bytes: at most 60 are allowed";
    check(Layer::Payload, 10, 0, &[1; 7], EditError::TooLong { len: 61, max: 60 }, message);

    let mut frame = plain(true);
    let packet = decoded(&frame);
    let error = splice(&mut frame, 0, &packet, Layer::Ip, 40, 0, &[0; 8], Checksums::Incremental, 1500);
    assert_eq!(error, Err(EditError::FixedLength { layer: Layer::Ip, offset: 40 }));
}

#[test]
fn what_was_too_long_may_get_shorter() {
    let mut frame = plain(false);
    let packet = decoded(&frame);
    splice(&mut frame, 0, &packet, Layer::Payload, 0, 1, &[], Checksums::Incremental, 20).unwrap();
    assert!(is_right(&frame));
}

#[test]
fn a_cut_frame_can_be_overwritten_only() {
    let whole = plain(false);
    let mut frame = whole[..whole.len() - 2].to_vec();
    let packet = decode(&frame, whole.len() as u32, LinkType::Ethernet);
    let truncated = EditError::Truncated { captured: 32, len: 34 };
    let error = splice(&mut frame, 0, &packet, Layer::Payload, 0, 1, &[], Checksums::Incremental, 1500);
    assert_eq!(error, Err(truncated));
    assert_eq!(overwrite(&mut frame, &packet, Layer::Payload, 0, b"x", Checksums::Full), Err(truncated));
    assert_eq!(frame, whole[..frame.len()]);
    assert_eq!(truncated.to_string(), "32 of the segment's 34 bytes were captured: all are needed");
    overwrite(&mut frame, &packet, Layer::Payload, 1, b"xy", Checksums::Incremental).unwrap();
    splice(&mut frame, 0, &packet, Layer::Payload, 3, 1, b"z", Checksums::Incremental, 1500).unwrap();
    frame.extend(b"89");
    assert_eq!(decoded(&frame).payload(&frame), b"0xyz456789");
    assert!(is_right(&frame));
    // Cut within the options.
    let mut frame = whole[..56].to_vec();
    let packet = decode(&frame, whole.len() as u32, LinkType::Ethernet);
    let error = splice(&mut frame, 0, &packet, Layer::Tcp, 20, 0, &[1; 4], Checksums::Keep, 1500);
    assert_eq!(error, Err(EditError::Truncated { captured: 22, len: 34 }));
}

#[test]
fn packets_without_a_length() {
    for is_v6 in [false, true] {
        let (src, dst) = endpoints(is_v6);
        let payload = vec![7; 70_000];
        let mut frame = TcpSegment { payload: &payload, ..TcpSegment::new(src, dst) }.to_ethernet();
        let packet = decoded(&frame);
        splice(&mut frame, 0, &packet, Layer::Payload, 7, 2, b"odd", Checksums::Incremental, ANY_LEN).unwrap();
        assert_eq!(decoded(&frame).payload_len, 70_001);
        assert!(is_right(&frame));
        let packet = decoded(&frame);
        splice(&mut frame, 0, &packet, Layer::Payload, 0, 69_000, &[], Checksums::Full, 1500).unwrap();
        assert_eq!(decoded(&frame).payload_len, 1001, "a length of 0 stays");
        assert!(is_right(&frame));
        // A length that is there has 16 bits.
        let mut frame = plain(is_v6);
        let packet = decoded(&frame);
        let max = if is_v6 { 65_575 } else { 65_535 };
        let header = usize::from(packet.payload - packet.network);
        let rest = vec![b'x'; max - header - 9];
        let error = splice(&mut frame, 0, &packet, Layer::Payload, 10, 0, &rest, Checksums::Incremental, ANY_LEN);
        assert_eq!(error, Err(EditError::TooLong { len: max + 1, max }));
        splice(&mut frame, 0, &packet, Layer::Payload, 10, 0, &rest[1..], Checksums::Incremental, ANY_LEN).unwrap();
        assert_eq!(decoded(&frame).payload_len as usize, max - header);
        assert!(is_right(&frame));
    }
}

#[test]
fn jumbograms_keep_their_length() {
    let (src, dst) = endpoints(true);
    let mut frame = TcpSegment { payload: &[7; 70_000], ..TcpSegment::new(src, dst) }.to_ethernet();
    frame[14 + 6] = 0;
    frame.splice(54..54, [6, 0, 0xc2, 4, 0, 1, 0x11, 0x8c]);
    let packet = decoded(&frame);
    assert_eq!((packet.kind, packet.payload_len), (PacketKind::Tcp, 70_000));
    let error = splice(&mut frame, 0, &packet, Layer::Payload, 0, 1, &[], Checksums::Keep, ANY_LEN);
    assert_eq!(error, Err(EditError::Jumbogram));
    overwrite(&mut frame, &packet, Layer::Payload, 3, b"odd", Checksums::Incremental).unwrap();
    assert!(is_right(&frame));
}

#[test]
fn a_route_that_is_pending() {
    let mut frame = plain(true);
    lengthen(&mut frame, 3);
    // The destination is 16 bytes of the routing header, and what stands in the IPv6 header does not count.
    frame[14 + 6] = 43;
    frame[54..62].copy_from_slice(&[6, 2, 0, 1, 0, 0, 0, 0]);
    frame[62..78].copy_from_slice(&[0x20; 16]);
    let packet = decoded(&frame);
    assert_eq!((packet.kind, packet.transport), (PacketKind::Tcp, 78));
    let field = usize::from(packet.transport) + 16;
    let before = u16_at(&frame, field);
    overwrite(&mut frame, &packet, Layer::Ip, 24, &[9; 16], Checksums::Incremental).unwrap();
    assert_eq!(u16_at(&frame, field), before);
    let old = u32::from_be_bytes(frame[22..26].try_into().unwrap());
    overwrite(&mut frame, &packet, Layer::Ip, 8, &[9; 4], Checksums::Incremental).unwrap();
    assert_eq!(u16_at(&frame, field), before.map(|before| checksum::update_u32(before, old, 0x0909_0909)));
    let error = overwrite(&mut frame, &packet, Layer::Ip, 8, &[9; 4], Checksums::Full);
    assert_eq!(error, Err(EditError::PendingRoute));
}

#[test]
fn what_is_written_over_a_checksum_stands() {
    let mut frame = plain(false);
    let packet = decoded(&frame);
    overwrite(&mut frame, &packet, Layer::Tcp, 14, &[1, 2, 3, 4], Checksums::Incremental).unwrap();
    assert_eq!(frame[50..52], [3, 4]);
    overwrite(&mut frame, &packet, Layer::Tcp, 17, &[9, 8, 7], Checksums::Incremental).unwrap();
    assert_eq!(frame[50..52], [3, 9]);
    let mut header = frame[14..34].to_vec();
    header[10..12].copy_from_slice(&[5, 6]);
    header[12..16].copy_from_slice(&[10, 0, 0, 1]);
    overwrite(&mut frame, &packet, Layer::Ip, 0, &header, Checksums::Incremental).unwrap();
    assert_eq!(frame[14..34], header);
    overwrite(&mut frame, &packet, Layer::Payload, 0, &[], Checksums::Full).unwrap();
    assert!(is_right(&frame));
}

#[test]
fn only_the_link_header_of_what_is_not_tcp() {
    let mut frame = plain(false);
    frame[23] = 17;
    let packet = decoded(&frame);
    overwrite(&mut frame, &packet, Layer::Ethernet, 0, &[1; 6], Checksums::Full).unwrap();
    assert_eq!(frame[..6], [1; 6]);
    let error = overwrite(&mut frame, &packet, Layer::Ip, 8, &[1], Checksums::Incremental);
    assert_eq!(error, Err(EditError::NotTcp));
    let packet = decode(&frame[14..], 54, LinkType::RawIp);
    let error = overwrite(&mut frame[14..], &packet, Layer::Ethernet, 0, &[1], Checksums::Incremental);
    assert_eq!(error, Err(EditError::NoLayer { layer: Layer::Ethernet }));
}

#[test]
fn flags_in_place() {
    let mut frame = plain(true);
    let packet = decoded(&frame);
    overwrite(&mut frame, &packet, Layer::Tcp, 13, &[TcpFlags::FIN | TcpFlags::ACK], Checksums::default()).unwrap();
    assert_eq!(decoded(&frame).tcp_flags, TcpFlags::FIN | TcpFlags::ACK);
    assert!(is_right(&frame));
}

#[test]
fn both_forms_of_zero_stay_if_nothing_changes() {
    let mut frame = plain(false);
    let packet = decoded(&frame);
    for field in [24, 50] {
        frame[field..field + 2].fill(0xff);
    }
    let before = frame.clone();
    let (payload, addresses) = (packet.payload(&before), &before[26..34]);
    overwrite(&mut frame, &packet, Layer::Payload, 0, payload, Checksums::Incremental).unwrap();
    overwrite(&mut frame, &packet, Layer::Ip, 12, addresses, Checksums::Incremental).unwrap();
    assert_eq!(frame, before);
}
