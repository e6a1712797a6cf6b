//! Packets of each kind, out and back.

use mos_core::wire::TcpFlags;

use super::world::{World, decoded, echo, end, ipv4, tcp, udp};
use super::*;

const SYN: u8 = TcpFlags::SYN;
const ACK: u8 = TcpFlags::ACK;
const FIN: u8 = TcpFlags::FIN;
const RST: u8 = TcpFlags::RST;

/// A connection from its SYN to its end, and under which name the server knows the client.
fn connection(world: &mut World, client: SocketAddrV4, server: SocketAddrV4) -> SocketAddrV4 {
    let (outside, to) = world.pass(&tcp(client, server, SYN, [100, 0], b"")).unwrap();
    assert_eq!(to, server);
    let back = |world: &mut World, flags, numbers, payload: &[u8]| {
        assert_eq!(world.pass(&tcp(server, outside, flags, numbers, payload)), Some((server, client)));
    };
    back(world, SYN | ACK, [500, 101], b"");
    let out = |world: &mut World, flags, numbers, payload: &[u8]| {
        assert_eq!(world.pass(&tcp(client, server, flags, numbers, payload)), Some((outside, server)));
    };
    out(world, ACK, [101, 501], b"");
    out(world, ACK, [101, 501], b"question");
    back(world, ACK, [501, 109], b"answer");
    out(world, ACK | FIN, [109, 507], b"");
    back(world, ACK | FIN, [507, 110], b"");
    out(world, ACK, [110, 508], b"");
    // TIME_WAIT: the last FIN may come again.
    back(world, ACK | FIN, [507, 110], b"");
    outside
}

#[test]
fn connections_out_and_back() {
    for cores in 1..=3 {
        let mut world = World::new(config(cores));
        for number in 0..20 {
            let client = end(&format!("10.0.0.{number}:4000"));
            let outside = connection(&mut world, client, end("198.51.100.1:80"));
            assert_eq!(outside.ip().to_string(), "203.0.113.1");
            world.wait(10);
            assert_eq!(world.nat.stats().in_use(), 0);
        }
        world.assert_empty();
    }
}

/// The same client and server port again, while the old connection is in TIME_WAIT and after it was reset.
#[test]
fn a_connection_may_follow_another_at_once() {
    let mut world = World::new(config(2));
    let (client, server) = (end("10.0.0.1:4000"), end("198.51.100.1:80"));
    let first = connection(&mut world, client, server);
    let (second, _) = world.pass(&tcp(client, server, SYN, [90_000, 0], b"")).unwrap();
    assert_ne!(first, second, "the port that was free for the longest time comes first");
    assert_eq!(world.pass(&tcp(server, second, RST | ACK, [0, 90_001], b"")), Some((server, client)));
    let (third, _) = world.pass(&tcp(client, server, SYN, [95_000, 0], b"")).unwrap();
    assert!(third != first && third != second);
    assert_eq!(world.pass(&tcp(server, third, RST | ACK, [0, 95_001], b"")), Some((server, client)));
    // Late packets of the old ones go nowhere.
    assert_eq!(world.pass(&tcp(server, second, ACK, [1, 1], b"late")), None);
    assert_eq!(world.pass(&tcp(client, server, ACK, [7, 7], b"late")), None);
    world.wait(1000);
    world.assert_empty();
    assert_eq!(world.nat.stats().no_mapping, 2);
}

#[test]
fn datagrams_out_and_back_until_they_expire() {
    for cores in [1, 2] {
        let mut world = World::new(config(cores));
        let (client, server) = (end("10.0.0.1:5353"), end("198.51.100.1:53"));
        let (outside, to) = world.pass(&udp(client, server, b"question")).unwrap();
        assert_eq!(to, server);
        world.wait(29);
        assert_eq!(world.pass(&udp(client, server, b"question")), Some((outside, server)));
        world.wait(29);
        assert_eq!(world.pass(&udp(server, outside, b"answer")), Some((server, client)));
        world.wait(299);
        assert_eq!(world.pass(&udp(client, server, b"")), Some((outside, server)));
        world.wait(299);
        assert_eq!(world.pass(&udp(server, outside, b"answer")), Some((server, client)));
        assert_eq!(world.nat.stats().in_use(), 1);
        world.wait(301);
        world.assert_empty();
        assert_eq!(world.pass(&udp(server, outside, b"late")), None);
        // Unanswered it lasts for 30 seconds, to the millisecond.
        let (outside, _) = world.pass(&udp(client, server, b"question")).unwrap();
        world.wait(30);
        assert_eq!(world.pass(&udp(server, outside, b"late")), None);
        world.assert_empty();
    }
}

/// A checksum of 0 says that there is none, and stays.
#[test]
fn datagrams_without_a_checksum_stay_without() {
    let mut world = World::new(config(1));
    let mut frame = udp(end("10.0.0.1:5353"), end("198.51.100.1:53"), b"question");
    frame[40..42].fill(0);
    assert_eq!(world.send(&frame).unwrap()[40..42], [0, 0]);
}

#[test]
fn on_one_core_a_host_is_the_same_for_everybody() {
    let mut world = World::new(config(1));
    let client = end("10.0.0.1:5353");
    let (outside, _) = world.pass(&udp(client, end("198.51.100.1:53"), b"one")).unwrap();
    let passed = world.pass(&udp(client, end("198.51.100.2:54"), b"two")).unwrap();
    assert_eq!(passed, (outside, end("198.51.100.2:54")));
    assert_eq!(world.nat.stats().in_use(), 1);
    let stranger = end("198.51.100.3:55");
    assert_eq!(world.pass(&udp(stranger, outside, b"three")), Some((stranger, client)));
    // A stranger does not keep the mapping alive.
    world.wait(20);
    assert_eq!(world.pass(&udp(stranger, outside, b"three")), Some((stranger, client)));
    world.wait(20);
    assert_eq!(world.pass(&udp(stranger, outside, b"three")), None);
    world.assert_empty();
}

#[test]
fn on_several_cores_only_the_one_who_was_asked_may_answer() {
    let mut world = World::new(config(2));
    let (client, server) = (end("10.0.0.1:5353"), end("198.51.100.1:53"));
    let (outside, _) = world.pass(&udp(client, server, b"one")).unwrap();
    assert_eq!(world.pass(&udp(end("198.51.100.1:54"), outside, b"two")), None);
    assert_eq!(world.pass(&udp(server, outside, b"three")), Some((server, client)));
    assert_eq!(world.nat.stats().no_mapping, 1);
}

#[test]
fn echoes_out_and_back() {
    for cores in 1..=3 {
        let mut world = World::new(config(cores));
        let server = *end("198.51.100.1:0").ip();
        for number in 1..20 {
            let client = *end(&format!("10.0.0.{number}:0")).ip();
            let (outside, _) = world.pass(&echo(client, server, 8, 77)).unwrap();
            assert_eq!(world.pass(&echo(client, server, 8, 77)).unwrap().0, outside);
            let answer = world.pass(&echo(server, *outside.ip(), 0, outside.port())).unwrap();
            assert_eq!(answer.1, SocketAddrV4::new(client, 77));
        }
        assert_eq!(world.nat.stats().in_use(), 19);
        world.wait(31);
        world.assert_empty();
        assert_eq!(world.pass(&echo(server, "203.0.113.1".parse().unwrap(), 8, 5)), None, "a request from outside");
    }
}

#[test]
fn hairpins_see_the_outside_of_each_other() {
    let mut world = World::new(config(1));
    let (a, b, server) = (end("10.0.0.1:5000"), end("10.0.0.2:6000"), end("198.51.100.1:3478"));
    let (outside_a, _) = world.pass(&udp(a, server, b"who am I?")).unwrap();
    assert_eq!(world.pass(&udp(b, outside_a, b"hello")).map(|ends| ends.1), Some(a));
    let (outside_b, _) = world.pass(&udp(b, server, b"who am I?")).unwrap();
    assert_eq!(world.pass(&udp(a, outside_b, b"hello")), Some((outside_a, b)));
    assert_eq!(world.pass(&udp(b, outside_a, b"hello")), Some((outside_b, a)));
    assert_eq!(world.pass(&udp(b, end("203.0.113.1:1"), b"nobody")), None);
    assert_eq!(world.pass(&tcp(b, end("203.0.113.1:1024"), SYN, [1, 0], b"")), None);
    let stats = world.nat.stats();
    assert_eq!((stats.hairpinned, stats.no_mapping), (3, 2));
}

/// What is not the NAT's business, byte by byte.
#[test]
fn all_else_passes() {
    let mut world = World::new(config(2));
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6], &[0; 28]].concat();
    let v6 = mos_core::wire::TcpSegment::new("[fd00::1]:1".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
    let frames = [
        arp,
        v6.to_ethernet(),
        udp(end("10.0.0.1:1"), end("10.9.0.1:2"), b"both inside"),
        tcp(end("10.0.0.1:1"), end("10.9.0.1:2"), SYN, [1, 0], b""),
        tcp(end("10.0.0.1:1"), end("10.9.0.1:2"), ACK, [1, 0], b""),
        udp(end("198.51.100.1:1"), end("192.0.2.1:2"), b"both outside"),
        udp(end("10.0.0.1:5353"), end("224.0.0.251:5353"), b"for the link"),
        ipv4(47, *end("198.51.100.1:1").ip(), *end("192.0.2.1:2").ip(), &[0; 8]),
    ];
    for frame in frames {
        assert_eq!(world.send(&frame).as_ref(), Some(&frame));
    }
    assert_eq!(world.nat.stats().made(), 0);
}

/// What would tell anybody outside of an address inside, or get in unasked.
#[test]
fn what_cannot_be_translated_is_dropped_and_counted() {
    let mut world = World::new(config(2));
    let (client, server, nat) = (end("10.0.0.1:4000"), end("198.51.100.1:80"), end("203.0.113.1:4000"));
    let mut fragment = udp(client, server, b"01234567");
    fragment[20] = 0x20;
    let mut bad = tcp(client, server, SYN, [1, 0], b"");
    bad[50] ^= 1;
    let dropped = [
        fragment,
        bad,
        tcp(client, server, ACK, [1, 1], b"of no connection"),
        tcp(client, server, SYN | ACK, [1, 1], b""),
        ipv4(47, *client.ip(), *server.ip(), &[0; 8]),
        ipv4(17, *client.ip(), *server.ip(), &[0; 7]),
        echo(*client.ip(), *server.ip(), 0, 5),
        tcp(server, nat, SYN, [1, 0], b""),
        tcp(server, nat, ACK, [1, 0], b""),
        udp(server, nat, b"unasked"),
        tcp(server, client, SYN, [1, 0], b""),
        udp(server, client, b"past the NAT"),
        echo(*server.ip(), *nat.ip(), 0, 5),
    ];
    for frame in dropped {
        assert_eq!(world.send(&frame), None, "{:?}", decoded(&frame));
    }
    let stats = world.nat.stats();
    assert_eq!((stats.fragments, stats.bad_checksums, stats.untranslatable, stats.no_mapping), (1, 1, 3, 8));
    assert_eq!((stats.made(), world.cores.iter().map(|core| core.stats().flows).sum::<u64>()), (0, 0));
}

/// A monitor beside the NAT finds no way past it.
#[test]
fn no_other_monitor_lets_anything_in() {
    let mut world = World::new(config(1));
    let other = Monitor::<u32, ()>::new("other", 0).on_snd(Event::PktIn, |cx| *cx.state += 1);
    let other = world.cores[0].open(other).unwrap();
    let (client, server) = (end("10.0.0.1:4000"), end("198.51.100.1:80"));
    for frame in [tcp(server, client, SYN, [1, 0], b""), tcp(server, client, ACK, [2, 1], b"")] {
        assert_eq!(world.send(&frame), None);
    }
    connection(&mut world, client, server);
    assert_eq!(world.cores[0].state::<u32>(other), Some(&9));
}

#[test]
fn when_ports_run_out_nobody_else_suffers() {
    for (protocol, timeout) in [(6, 10), (17, 31), (1, 31)] {
        let mut world = World::new(NatConfig { ports: 5000..=5009, ..config(1) });
        let server = end("198.51.100.1:80");
        let packet = |number: u16| {
            let client = SocketAddrV4::new([10, 0, 0, number as u8].into(), 4000);
            match protocol {
                6 => tcp(client, server, SYN, [1, 0], b""),
                17 => udp(client, server, b"x"),
                _ => echo(*client.ip(), *server.ip(), 8, 9),
            }
        };
        let outside: Vec<_> = (0..10).map(|number| world.pass(&packet(number)).unwrap().0).collect();
        for _ in 0..3 {
            assert_eq!(world.pass(&packet(10)), None);
            assert!((0..10).all(|number| world.pass(&packet(number)).unwrap().0 == outside[usize::from(number)]));
        }
        let stats = world.nat.stats();
        assert_eq!((stats.exhausted(), stats.in_use(), stats.made()), (3, 10, 10));
        // Said once in a second.
        assert_eq!(world.paper.text().matches("port is left").count(), 1, "{}", world.paper.text());
        world.wait(2);
        assert_eq!(world.pass(&packet(10)), None);
        assert!(world.paper.text().contains(": 3 packets dropped\n"), "{}", world.paper.text());
        // A port comes back, and the one who has waited gets it.
        if protocol == 6 {
            assert!(world.pass(&tcp(server, outside[3], RST | ACK, [0, 2], b"")).is_some());
        } else {
            world.wait(timeout);
        }
        let (got, _) = world.pass(&packet(10)).unwrap();
        assert!(protocol != 6 || got == outside[3]);
    }
}

#[test]
fn reports_are_as_expected() {
    let mut world = World::new(config(2));
    for number in 0..30 {
        connection(&mut world, end(&format!("10.0.0.{number}:4000")), end("198.51.100.1:80"));
        world.send(&udp(end(&format!("10.0.0.{number}:4000")), end("198.51.100.1:53"), b"x")).unwrap();
        world.send(&echo([10, 0, 0, number].into(), [198, 51, 100, 1].into(), 8, 5)).unwrap();
    }
    world.send(&udp(end("198.51.100.1:53"), end("203.0.113.1:53"), b"x"));
    world.nat.finish().unwrap();
    testing::check_golden("nat/expected.txt", &world.paper.text());
}
