//! Frames that were left to hardware leave as the system expects them, whatever was done to them in between.

use super::*;
use crate::wire::TcpSegment;
use crate::wire::{Checksums as EditChecksums, Layer, splice};

const PARTIAL: Offload = Offload { checksums: Checksums::Partial, segment_bytes: 0 };

fn tcp(v6: bool, payload: &[u8], flags: u8) -> Vec<u8> {
    let (a, b) = if v6 { ("[fd00::1]:80", "[fd00::2]:99") } else { ("10.0.0.1:80", "10.0.0.2:99") };
    let segment = TcpSegment::new(a.parse().unwrap(), b.parse().unwrap());
    TcpSegment { payload, flags, ..segment }.to_ethernet()
}

/// What a system does with a frame and its header: the checksum over all from the start.
fn as_the_system_does(header: Header, frame: &mut [u8]) {
    assert_eq!(header.flags, NEEDS_CHECKSUM);
    complete(frame, header.checksum_start.into(), header.checksum_offset.into());
}

#[test]
fn a_partial_checksum_is_completed_right_after_any_edit() {
    for v6 in [false, true] {
        for payload in [&b""[..], b"odd", b"even"] {
            let right = tcp(v6, payload, TcpFlags::ACK);
            let mut frame = right.clone();
            let at = if v6 { 54 } else { 34 } + TCP_FIELD;
            frame[at..at + 2].copy_from_slice(&[0xde, 0xad]);
            frame.extend([1, 2, 3]);
            let (header, bytes) = Header::leaving(&mut frame, PARTIAL, LinkType::Ethernet).unwrap();
            assert_eq!(bytes, right.len(), "a trailer is not sent");
            assert!(!header.is_super());
            assert_eq!(header.longest_on_wire(bytes), bytes);
            as_the_system_does(header, &mut frame[..bytes]);
            assert_eq!(frame[..bytes], right);
        }
    }
}

#[test]
fn a_super_frame_stays_one_as_long_as_it_is_too_long_for_a_segment() {
    let offload = Offload { checksums: Checksums::Partial, segment_bytes: 1448 };
    for v6 in [false, true] {
        let headers = if v6 { 74 } else { 54 };
        for (len, is_super) in [(5000, true), (1449, true), (1448, false), (0, false)] {
            let mut frame = tcp(v6, &vec![7; len], TcpFlags::ACK);
            let right = frame.clone();
            let (header, bytes) = Header::leaving(&mut frame, offload, LinkType::Ethernet).unwrap();
            assert_eq!(header.is_super(), is_super);
            assert_eq!(header.longest_on_wire(bytes), if is_super { headers + 1448 } else { headers + len });
            let kind = if v6 { TCP_V6_SEGMENTS } else { TCP_V4_SEGMENTS };
            assert_eq!(header.segments, if is_super { kind } else { NO_SEGMENTS });
            assert_eq!(Header::read(&header.to_bytes()), header);
            as_the_system_does(header, &mut frame);
            assert_eq!(frame, right);
        }
        let mut frame = tcp(v6, &[7; 5000], TcpFlags::ACK | TcpFlags::CWR);
        let (header, _) = Header::leaving(&mut frame, offload, LinkType::Ethernet).unwrap();
        assert_eq!(header.segments & ECN, ECN);
    }
}

#[test]
fn another_length_is_no_trouble() {
    let mut frame = tcp(false, &[7; 3000], TcpFlags::ACK);
    let offload = Offload { checksums: Checksums::Partial, segment_bytes: 1448 };
    let packet = decode(&frame, frame.len() as u32, LinkType::Ethernet);
    splice(&mut frame, 0, &packet, Layer::Payload, 0, 2000, b"x", EditChecksums::Incremental, 65_535).unwrap();
    let right = tcp(false, &[&b"x"[..], &[7; 1000]].concat(), TcpFlags::ACK);
    let (header, bytes) = Header::leaving(&mut frame, offload, LinkType::Ethernet).unwrap();
    assert!(!header.is_super());
    as_the_system_does(header, &mut frame[..bytes]);
    assert_eq!(frame[..bytes], right);
}

#[test]
fn only_the_outermost_transport_is_left_for_later() {
    let right = tcp(false, b"inner", TcpFlags::ACK);
    // IP in IP.
    let outer = [0x45, 0, 0, (20 + right.len() - 14) as u8, 0, 0, 0, 0, 64, 4, 0, 0, 10, 1, 0, 1, 10, 1, 0, 2];
    let right = [&right[..14], &outer, &right[14..]].concat();
    let mut frame = right.clone();
    let inner = decode(&right[34..], 100, LinkType::RawIp);
    let sum = checksum::pseudo_header_sum(&inner, &right[34..]).unwrap();
    frame[54 + TCP_FIELD..][..2].copy_from_slice(&sum.to_be_bytes());
    let header = Header { flags: NEEDS_CHECKSUM, checksum_start: 54, checksum_offset: 16, ..Header::default() };
    assert_eq!(header.arrived(&mut frame, LinkType::Ethernet), Ok(Offload::NONE));
    assert_eq!(frame, right);
    let merged = Header { segments: TCP_V4_SEGMENTS, segment_bytes: 1400, ..header };
    assert_eq!(merged.arrived(&mut frame, LinkType::Ethernet), Err(Unsupported));
    // What claims to begin beyond the end is none of our making, and no reason to fail.
    let beyond = Header { checksum_start: 60_000, ..header };
    assert_eq!(beyond.arrived(&mut frame, LinkType::Ethernet), Ok(Offload::NONE));
}

#[test]
fn what_is_known_is_kept() {
    let mut frame = tcp(false, b"x", TcpFlags::ACK);
    let mut arrived = |header: Header| header.arrived(&mut frame, LinkType::Ethernet).unwrap();
    assert_eq!(arrived(Header::default()), Offload::NONE);
    assert_eq!(arrived(Header { flags: CHECKSUM_VALID, ..Header::default() }).checksums, Checksums::Good);
    let partial = Header { flags: NEEDS_CHECKSUM, checksum_start: 34, checksum_offset: 16, ..Header::default() };
    assert_eq!(arrived(partial), PARTIAL);
    let merged = Header { segments: TCP_V4_SEGMENTS | ECN, segment_bytes: 9, ..partial };
    assert_eq!(arrived(merged), Offload { segment_bytes: 9, ..PARTIAL });
    let mut arp = vec![0; 60];
    assert_eq!(Header::leaving(&mut arp, PARTIAL, LinkType::Ethernet), Err(Unsupported));
    assert_eq!(Header::leaving(&mut arp, Offload::NONE, LinkType::Ethernet), Ok((Header::default(), 60)));
}

/// The check value that every catalogue of CRCs has for CRC-32C.
#[test]
fn crc_of_sctp() {
    let mut packet = vec![0; 12];
    packet.extend(b"123456789");
    // Eight bytes of header and four of zeros come first here, so this is by the definition, bit by bit.
    let mut crc = !0u32;
    for byte in &packet {
        for bit in 0..8 {
            let feedback = (crc ^ u32::from(byte >> bit)) & 1;
            crc = crc >> 1 ^ if feedback == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    complete_sctp(&mut packet, 0);
    assert_eq!(packet[8..12], (!crc).to_le_bytes());
}
