use super::*;
use crate::wire::{FrameBuilder, TcpSegment, checksum as sums};
use proptest::prelude::*;

const ROUTER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ROUTER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

const ALL: [Trouble; 4] = [Trouble::NoRoute, Trouble::Unreachable, Trouble::HopLimit, Trouble::TooBig(1400)];

fn tcp(v6: bool, payload: usize) -> Vec<u8> {
    let (src, dst) = if v6 { ("[2001:db8::9]:1", "[2001:db8:1::2]:2") } else { ("10.0.0.1:1", "10.0.1.2:2") };
    let segment = TcpSegment::new(src.parse().unwrap(), dst.parse().unwrap());
    FrameBuilder::new().raw_ip(&TcpSegment { payload: &vec![7; payload], ..segment })
}

fn read(bytes: &[u8]) -> Datagram {
    Datagram::read(bytes, 0).unwrap()
}

/// Seals an IPv4 header after a change.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let packet = decode_ip(&bytes, bytes.len() as u32);
    sums::fill_ipv4(&mut bytes, &packet);
    bytes
}

fn may(bytes: &[u8], trouble: Trouble) -> bool {
    may_tell(trouble, &read(bytes), bytes, false)
}

fn icmpv4(kind: u8) -> Vec<u8> {
    ipv4_datagram([10, 0, 0, 1].into(), [10, 0, 1, 2].into(), 0, vec![kind, 0, 0, 0, 0, 0, 0, 0])
}

fn icmpv6(kind: u8) -> Vec<u8> {
    let source = "2001:db8::9".parse().unwrap();
    ipv6_datagram(source, "2001:db8:1::2".parse().unwrap(), 64, vec![kind, 0, 0, 0, 0, 0, 0, 0])
}

#[test]
fn rfc_792_errors_say_what_happened_and_to_which_packet() {
    let packet = tcp(false, 8);
    for (trouble, head) in
        ALL.into_iter().zip([[3, 0, 0, 0, 0, 0], [3, 1, 0, 0, 0, 0], [11, 0, 0, 0, 0, 0], [3, 4, 0, 0, 0x05, 0x78]])
    {
        let error = error(trouble, ROUTER_V4, &read(&packet), &packet).unwrap();
        let header = read(&error);
        assert_eq!((header.source, header.destination), (ROUTER_V4, IpAddr::from([10, 0, 0, 1])));
        assert_eq!(error[20..22], head[..2]);
        assert_eq!(error[24..28], head[2..]);
        assert_eq!(error[28..], packet);
        assert_eq!(checksum(&error[20..]), 0);
    }
}

#[test]
fn rfc_4443_errors_say_what_happened_and_to_which_packet() {
    let packet = tcp(true, 8);
    for (trouble, head) in
        ALL.into_iter().zip([[1, 0, 0, 0, 0, 0], [1, 3, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0x05, 0x78]])
    {
        let error = error(trouble, ROUTER_V6, &read(&packet), &packet).unwrap();
        assert_eq!((error[40], error[41]), (head[0], head[1]));
        assert_eq!(error[44..48], head[2..]);
        assert_eq!(error[48..], packet);
        assert_eq!(transport_checksum(&error[8..24], &error[24..40], ICMPV6, &error[40..]), 0);
    }
    // RFC 8201 4: less than every link takes is not believed.
    let error = error(Trouble::TooBig(600), ROUTER_V6, &read(&packet), &packet).unwrap();
    assert_eq!(error[44..48], [0, 0, 5, 0]);
}

#[test]
fn rfc_1812_4_3_2_3_and_rfc_4443_2_4_c_errors_have_what_fits() {
    let packet = tcp(false, 3000);
    assert_eq!(error(Trouble::HopLimit, ROUTER_V4, &read(&packet), &packet).unwrap().len(), 576);
    let packet = tcp(true, 3000);
    assert_eq!(error(Trouble::HopLimit, ROUTER_V6, &read(&packet), &packet).unwrap().len(), 1280);
    assert_eq!(error(Trouble::HopLimit, ROUTER_V4, &read(&packet), &packet), None);
}

#[test]
fn rfc_1122_3_2_2_no_errors_about_errors() {
    for kind in [3, 4, 5, 11, 12] {
        assert!(!may(&icmpv4(kind), Trouble::HopLimit), "type {kind}");
    }
    assert!(may(&icmpv4(8), Trouble::HopLimit) && may(&icmpv4(0), Trouble::HopLimit));
    for kind in [1, 2, 3, 4, 100, 127, 137] {
        assert!(!may(&icmpv6(kind), Trouble::HopLimit), "type {kind}");
    }
    assert!(may(&icmpv6(128), Trouble::HopLimit) && may(&icmpv6(129), Trouble::TooBig(1280)));
    // A message without a type might be one.
    let empty = ipv4_datagram([10, 0, 0, 1].into(), [10, 0, 1, 2].into(), 0, Vec::new());
    assert!(!may(&empty, Trouble::HopLimit));
}

#[test]
fn rfc_1122_3_2_2_no_errors_about_later_fragments() {
    let mut packet = tcp(false, 64);
    packet[6..8].copy_from_slice(&[0x20, 0]);
    assert!(may(&sealed(packet.clone()), Trouble::HopLimit), "the first one");
    packet[6..8].copy_from_slice(&[0, 9]);
    assert!(!may(&sealed(packet), Trouble::HopLimit));
}

#[test]
fn rfc_1812_4_3_2_7_no_errors_to_or_about_many() {
    let with = |at: usize, address: [u8; 4]| {
        let mut packet = tcp(false, 8);
        packet[at..at + 4].copy_from_slice(&address);
        sealed(packet)
    };
    for source in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 5], [255; 4], [240, 0, 0, 1]] {
        assert!(!may(&with(12, source), Trouble::HopLimit), "{source:?}");
    }
    for destination in [[224, 0, 0, 5], [255; 4]] {
        assert!(!may(&with(16, destination), Trouble::HopLimit), "{destination:?}");
    }
    let packet = tcp(false, 8);
    assert!(!may_tell(Trouble::HopLimit, &read(&packet), &packet, true), "frame to a group");
}

#[test]
fn rfc_4443_2_4_e_no_errors_to_or_about_many_but_packet_too_big() {
    let with = |at: usize, address: &str| {
        let mut packet = tcp(true, 8);
        packet[at..at + 16].copy_from_slice(&address.parse::<Ipv6Addr>().unwrap().octets());
        packet
    };
    for source in ["::", "::1", "ff02::1"] {
        assert!(!may(&with(8, source), Trouble::TooBig(1280)), "{source}");
    }
    assert!(!may(&with(24, "ff05::1"), Trouble::HopLimit));
    assert!(may(&with(24, "ff05::1"), Trouble::TooBig(1280)));
}

fn echo_v4(payload: &[u8]) -> Vec<u8> {
    let message = [&[8, 0, 0, 0, 0x12, 0x34, 0, 1], payload].concat();
    ipv4_datagram([10, 0, 0, 1].into(), [192, 0, 2, 1].into(), 0, message)
}

#[test]
fn rfc_1122_3_2_2_6_echoes_return_all_data() {
    let request = echo_v4(b"payload");
    let Local::Echo(reply) = local(&read(&request), &request, || true) else { panic!() };
    let header = read(&reply);
    assert_eq!((header.source, header.destination), (ROUTER_V4, IpAddr::from([10, 0, 0, 1])));
    assert_eq!((reply[20], &reply[24..]), (0, &request[24..]));
    assert_eq!(checksum(&reply[20..]), 0);
    assert_eq!(local(&read(&request), &request, || false), Local::Other);
}

#[test]
fn rfc_4443_4_2_echoes_return_all_data() {
    let request = icmpv6(128);
    let Local::Echo(reply) = local(&read(&request), &request, || true) else { panic!() };
    assert_eq!((reply[40], &reply[44..]), (129, &request[44..]));
    assert_eq!(transport_checksum(&reply[8..24], &reply[24..40], ICMPV6, &reply[40..]), 0);
}

#[test]
fn what_is_no_echo_request_gets_no_echo() {
    let mut wrong = echo_v4(b"payload");
    wrong[30] ^= 1;
    assert_eq!(local(&read(&wrong), &wrong, || true), Local::Other, "checksum");
    assert_eq!(local(&read(&icmpv4(0)), &icmpv4(0), || true), Local::Other);
    let segment = tcp(false, 8);
    assert_eq!(local(&read(&segment), &segment, || true), Local::Other);
    let mut piece = echo_v4(b"payload");
    piece[6] = 0x20;
    let piece = sealed(piece);
    assert_eq!(local(&read(&piece), &piece, || true), Local::Fragment);
}

proptest! {
    #[test]
    fn checksums_agree_with_those_of_tcp(payload in 0usize..99, v6: bool) {
        let bytes = tcp(v6, payload);
        let header = read(&bytes);
        let (source, destination) = if v6 { (&bytes[8..24], &bytes[24..40]) } else { (&bytes[12..16], &bytes[16..20]) };
        prop_assert_eq!(transport_checksum(source, destination, 6, &bytes[header.header_len..]), 0);
    }

    #[test]
    fn errors_about_anything_are_intact(mut bytes in prop::collection::vec(any::<u8>(), 20..100), v6: bool) {
        bytes[0] = if v6 { 0x60 } else { 0x45 };
        let len = bytes.len();
        let (field, value) = if v6 { (4, len.saturating_sub(40)) } else { (2, len) };
        put(&mut bytes, field, value as u16);
        let bytes = if v6 { bytes } else { sealed(bytes) };
        if let Ok(datagram) = Datagram::read(&bytes, 0) {
            let source = if v6 { ROUTER_V6 } else { ROUTER_V4 };
            for trouble in ALL {
                let _ = may(&bytes, trouble);
                let error = error(trouble, source, &datagram, &bytes).unwrap();
                prop_assert_eq!(read(&error).len, error.len());
            }
            let _ = local(&datagram, &bytes, || true);
        }
    }
}
