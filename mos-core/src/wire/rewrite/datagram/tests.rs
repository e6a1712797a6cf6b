//! Rewritten datagrams against the decoder, and their checksums against the definition.

use core::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::wire::checksum::{checksum, fill_ipv4, ipv4_header_ok, pseudo_header_sum};
use crate::wire::decode_ip;

/// An IP packet of `protocol` with `payload`.
fn ip(is_v6: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16;
    let mut bytes = if is_v6 {
        let [high, low] = len.to_be_bytes();
        let addresses = [0xfd00_u128 << 112 | 1, 0xfd00_u128 << 112 | 2].map(u128::to_be_bytes).concat();
        [&[0x60, 0, 0, 0, high, low, protocol, 64][..], &addresses].concat()
    } else {
        let [high, low] = (20 + len).to_be_bytes();
        vec![0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1]
    };
    bytes.extend_from_slice(payload);
    let packet = decode_ip(&bytes, bytes.len() as u32);
    fill_ipv4(&mut bytes, &packet);
    bytes
}

/// Writes the checksum at `field` of the transport header, by its definition.
fn fill(bytes: &mut [u8], field: usize) {
    let packet = decode_ip(bytes, bytes.len() as u32);
    let at = usize::from(packet.transport) + field;
    bytes[at..at + 2].fill(0);
    let sum = pseudo_header_sum(&packet, bytes).unwrap();
    let covered = [&sum.to_be_bytes(), &bytes[packet.transport.into()..]].concat();
    let value = match checksum(&covered) {
        0 => 0xffff,
        value => value,
    };
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn is_right(bytes: &[u8]) -> bool {
    let packet = decode_ip(bytes, bytes.len() as u32);
    let sum = pseudo_header_sum(&packet, bytes).unwrap();
    let covered = [&sum.to_be_bytes(), &bytes[packet.transport.into()..]].concat();
    (packet.ip_version == 6 || ipv4_header_ok(packet.network_header(bytes))) && checksum(&covered) == 0
}

fn udp(is_v6: bool, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    let header = [5353, 53, len, 0].map(u16::to_be_bytes).concat();
    ip(is_v6, UDP, &[&header, payload].concat())
}

fn to(is_v6: bool, number: u16, port: u16) -> SocketAddr {
    let address = if is_v6 {
        format!("[2001:db8::{number:x}]:{port}")
    } else {
        format!("198.18.{}.{}:{port}", number >> 8, number & 255)
    };
    address.parse().unwrap()
}

fn apply_to(rewrite: &Rewrite, bytes: &mut [u8]) -> Result<(), EditError> {
    let packet = decode_ip(bytes, bytes.len() as u32);
    rewrite.apply(bytes, &packet)
}

proptest! {
    #[test]
    fn udp_is_what_it_was_made(is_v6: bool, payload in prop::collection::vec(any::<u8>(), 0..9), number: u16, ports: [u16; 2], summed: bool) {
        let mut bytes = udp(is_v6, &payload);
        if summed {
            fill(&mut bytes, UDP_FIELD);
        }
        let (src, dst) = (to(is_v6, number, ports[0]), to(is_v6, !number, ports[1]));
        let rewrite = Rewrite { src: Some(src), dst: Some(dst), hop_limit: Some(3), ..Rewrite::default() };
        apply_to(&rewrite, &mut bytes).unwrap();
        let packet = decode_ip(&bytes, bytes.len() as u32);
        prop_assert_eq!(SocketAddr::new(packet.source(&bytes), packet.src_port), src);
        prop_assert_eq!(SocketAddr::new(packet.destination(&bytes), packet.dst_port), dst);
        let field = usize::from(packet.transport) + UDP_FIELD;
        prop_assert_eq!(bytes[field..field + 2] == [0, 0], !summed);
        prop_assert!(!summed || is_right(&bytes));
        prop_assert!(is_v6 || ipv4_header_ok(&bytes[..20]));
    }
}

/// Of the two zeros the one that does not mean "none".
#[test]
fn a_sum_of_zero_is_written_as_ones() {
    let mut found = 0;
    for port in 0..=u16::MAX {
        let mut bytes = udp(false, b"x");
        fill(&mut bytes, UDP_FIELD);
        apply_to(&Rewrite { src_port: Some(port), ..Rewrite::default() }, &mut bytes).unwrap();
        assert!(is_right(&bytes));
        found += usize::from(bytes[26..28] == [0xff, 0xff]);
        assert_ne!(bytes[26..28], [0, 0]);
    }
    assert!(found > 0);
}

#[test]
fn other_packets_have_addresses() {
    for (is_v6, protocol, field) in [(false, 1, None), (false, 50, None), (true, ICMP_V6, Some(ICMP_V6_FIELD))] {
        let mut bytes = ip(is_v6, protocol, &[8, 0, 1, 2, 3, 4, 5, 6]);
        if let Some(field) = field {
            fill(&mut bytes, field);
        }
        let payload = bytes[bytes.len() - 8..].to_vec();
        let src = to(is_v6, 9, 77);
        apply_to(&Rewrite { src: Some(src), ..Rewrite::default() }, &mut bytes).unwrap();
        let packet = decode_ip(&bytes, bytes.len() as u32);
        assert_eq!(packet.source(&bytes), src.ip());
        match field {
            Some(_) => assert!(is_right(&bytes)),
            None => assert!(ipv4_header_ok(&bytes[..20]) && bytes[20..] == payload),
        }
    }
}

#[test]
fn what_is_not_there_is_not_written() {
    let mut bytes = ip(false, 50, &[0; 20]);
    let before = bytes.clone();
    let port = Rewrite { dst_port: Some(1), hop_limit: Some(1), ..Rewrite::default() };
    assert_eq!(apply_to(&port, &mut bytes), Err(EditError::NoPorts));
    let window = Rewrite { window: Some(1), hop_limit: Some(1), ..Rewrite::default() };
    assert_eq!(apply_to(&window, &mut bytes), Err(EditError::NotTcp));
    assert_eq!(bytes, before);
    // A UDP header that is cut short.
    let mut bytes = ip(false, UDP, &[0; 7]);
    let before = bytes.clone();
    assert_eq!(
        apply_to(&Rewrite { src: Some(to(false, 1, 1)), ..Rewrite::default() }, &mut bytes),
        Err(EditError::NoPorts)
    );
    assert_eq!(bytes, before);
}
