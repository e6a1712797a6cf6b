//! ICMP errors about translated packets, both ways, at whatever core they arrive.

use std::net::Ipv4Addr;

use mos_core::wire::TcpFlags;
use mos_core::wire::checksum::ipv4_header_ok;

use super::world::{World, decoded, echo, end, icmp, tcp, udp};
use super::*;

/// The quoted packet, as if it had come alone.
fn quoted(frame: &[u8]) -> Vec<u8> {
    [&frame[..14], &frame[42..]].concat()
}

fn packets(server: SocketAddrV4, number: u8) -> [Vec<u8>; 3] {
    let client = SocketAddrV4::new([10, 0, 0, number].into(), 4000);
    [
        tcp(client, server, TcpFlags::SYN, [1, 0], b""),
        udp(client, server, b"who is there?"),
        echo(*client.ip(), *server.ip(), 8, 4000),
    ]
}

/// A router on the way, and the server itself, report about what the NAT has sent: the host inside learns about what it has sent,
/// byte by byte.
#[test]
fn from_outside() {
    let server = end("198.51.100.1:80");
    for cores in 1..=3 {
        let mut world = World::new(config(cores));
        let mut elsewhere = 0;
        for number in 1..20 {
            for packet in packets(server, number) {
                let sent = world.send(&packet).unwrap();
                for (router, kind, len) in
                    [([192, 0, 2, number], 11, 28), (server.ip().octets(), 3, 28), ([192, 0, 2, 200], 12, usize::MAX)]
                {
                    let quote = &sent[14..sent.len().min(14usize.saturating_add(len))];
                    let error = icmp(router.into(), "203.0.113.1".parse().unwrap(), kind, [0, 0, 5, 220], quote);
                    elsewhere += usize::from(world.core_of(&error) != world.core_of(&packet));
                    let received = world.send(&error).unwrap();
                    super::world::ends(&received);
                    assert_eq!(Ipv4Addr::from_bits(decoded(&received).dst_v4), Ipv4Addr::new(10, 0, 0, number));
                    assert_eq!(Ipv4Addr::from_bits(decoded(&received).src_v4), Ipv4Addr::from(router));
                    assert_eq!(received[34], kind);
                    let quoted = quoted(&received);
                    assert_eq!(quoted, packet[..quoted.len()], "{cores} cores");
                }
            }
        }
        assert_eq!(world.nat.stats().errors, 19 * 9);
        assert_eq!(elsewhere > 20, cores > 1, "{elsewhere}");
    }
}

/// A host or a router inside reports about what has come from outside: it comes from the address outside, about what was sent there.
#[test]
fn from_inside() {
    let server = end("198.51.100.1:80");
    for cores in 1..=3 {
        let mut world = World::new(config(cores));
        for number in 1..20 {
            let (client, other) = (SocketAddrV4::new([10, 0, 0, number].into(), 4000), Ipv4Addr::new(10, 77, 0, 1));
            for packet in packets(server, number) {
                let sent = world.send(&packet).unwrap();
                let (outside, _) = super::world::ends(&sent);
                let answer = match sent[23] {
                    6 => tcp(server, outside, TcpFlags::SYN | TcpFlags::ACK, [9, 2], b""),
                    17 => udp(server, outside, b"me"),
                    _ => echo(*server.ip(), *outside.ip(), 0, outside.port()),
                };
                let received = world.send(&answer).unwrap();
                for sender in [*client.ip(), other] {
                    let error = icmp(sender, *server.ip(), 3, [0; 4], &received[14..]);
                    let passed = world.send(&error).unwrap();
                    super::world::ends(&passed);
                    assert_eq!(Ipv4Addr::from_bits(decoded(&passed).src_v4), *outside.ip());
                    assert_eq!(quoted(&passed), answer);
                    assert!(ipv4_header_ok(&passed[42..]));
                }
            }
        }
        assert_eq!(world.nat.stats().errors, 19 * 6);
    }
}

#[test]
fn about_nothing_that_is_known() {
    let (mut world, server, nat) = (World::new(config(2)), end("198.51.100.1:80"), end("203.0.113.1:4000"));
    let sent = world.send(&udp(end("10.0.0.1:4000"), server, b"x")).unwrap();
    let error = |quote: &[u8]| icmp([192, 0, 2, 1].into(), *nat.ip(), 3, [0; 4], quote);
    let mut spoiled = error(&sent[14..]);
    spoiled[60] ^= 1;
    let mut fragment = sent[14..].to_vec();
    fragment[7] = 9;
    let frames = [
        spoiled,
        error(&fragment),
        error(&sent[14..40]),
        error(&udp(nat, server, b"never sent")[14..]),
        error(&udp(server, nat, b"the other way")[14..]),
        // To another address than it is about.
        icmp([192, 0, 2, 1].into(), [10, 0, 0, 1].into(), 3, [0; 4], &sent[14..]),
        icmp([10, 0, 0, 1].into(), *server.ip(), 3, [0; 4], &udp(server, end("10.0.0.1:4"), b"never received")[14..]),
        // A redirect.
        icmp([192, 0, 2, 1].into(), *nat.ip(), 5, [0; 4], &sent[14..]),
    ];
    for frame in &frames {
        assert_eq!(world.send(frame), None);
    }
    assert_eq!((world.nat.stats().no_mapping, world.nat.stats().errors), (frames.len() as u64, 0));
}

/// When a mapping is gone, so is what the errors are translated by.
#[test]
fn about_what_is_over() {
    let (mut world, server) = (World::new(config(2)), end("198.51.100.1:80"));
    let sent: Vec<_> = packets(server, 1).iter().map(|packet| world.send(packet).unwrap()).collect();
    let (outside, _) = super::world::ends(&sent[0]);
    world.send(&tcp(server, outside, TcpFlags::RST | TcpFlags::ACK, [0, 2], b"")).unwrap();
    world.wait(31);
    world.assert_empty();
    for sent in sent {
        assert_eq!(world.send(&icmp([192, 0, 2, 1].into(), [203, 0, 113, 1].into(), 3, [0; 4], &sent[14..])), None);
    }
}
